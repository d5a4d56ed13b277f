import { z } from 'zod'
import { secret } from '../service/settings.ts'
import { isXname, parseXname, xnameContains } from './xname.ts'

/** The kinds of device; absent in the settings, what a device says of itself decides. */
export const deviceKinds = [
  'cray-controller',
  'ilo',
  'ami',
  'intel',
  'openbmc',
  'redfish',
  'jaws',
  'rts',
  'hpe-pdu',
  'rack-pdu',
] as const
export type DeviceKind = (typeof deviceKinds)[number]

export const xname = z
  .string()
  .refine(isXname, 'expected an xname such as x1000c0b0')
  .transform((text) => parseXname(text).text)

/** One device to ask: a CMM, BMC or iPDU, named by the xname of its controller. */
export const deviceSettings = z.strictObject({
  xname,
  /** Scheme, host and port only: `https://10.1.0.5`. */
  url: z
    .url({ protocol: /^https?$/, error: 'expected a URL such as https://10.1.0.5' })
    .transform((url) => url.replace(/\/+$/, '')),
  kind: z.enum(deviceKinds).optional(),
})
export type Device = z.output<typeof deviceSettings>

/** How to log in to the devices within a place, and what to trust there. */
export const credentialSettings = z.strictObject({
  /** The place whose devices these are; absent: all. */
  within: xname.optional(),
  username: z.string(),
  password: secret,
  /** PEM certificates to trust besides the system's. */
  caFile: z.string().optional(),
  insecureSkipVerify: z.boolean().default(false),
})
export type Credential = z.output<typeof credentialSettings>

/** The first credential whose place holds the device. */
export function credentialFor(
  device: Pick<Device, 'xname'>,
  credentials: readonly Credential[],
): Credential | undefined {
  return credentials.find(
    ({ within }) => within === undefined || xnameContains(within, device.xname),
  )
}

export const deviceList = z
  .array(deviceSettings)
  .superRefine((devices, context) => {
    const seen = new Set<string>()
    for (const [index, device] of devices.entries()) {
      if (seen.has(device.xname)) {
        const message = `${device.xname} stands twice`
        context.addIssue({ code: 'custom', path: [index, 'xname'], message })
      }
      seen.add(device.xname)
    }
  })
  .default([])
