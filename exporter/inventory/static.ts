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

/** What a device is by its xname, in HSM's words. */
export const controllerTypes = [
  'ChassisBMC',
  'NodeBMC',
  'RouterBMC',
  'CabinetPDUController',
] as const

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
  /** A name of the site's own for devices that share a login and what to trust. */
  group: z.string().min(1).optional(),
})
export type Device = z.output<typeof deviceSettings>

/** How to log in to some devices, and what to trust there: those that fit all that is given. */
export const credentialSettings = z.strictObject({
  /** The device, or the place that it is in. */
  within: xname.optional(),
  /** Its group and its kind, as its entry states them. */
  group: z.string().min(1).optional(),
  kind: z.enum(deviceKinds).optional(),
  /** What its xname says that it is. */
  type: z.enum(controllerTypes).optional(),
  username: z.string(),
  password: secret,
  /** `session`: once for a Redfish session; a device without such gets `basic`, as each request. */
  login: z.enum(['basic', 'session']).default('basic'),
  /** PEM certificates to trust besides the system's. */
  caFile: z.string().optional(),
  insecureSkipVerify: z.boolean().default(false),
})
export type Credential = z.output<typeof credentialSettings>

/** The first credential that fits the device. */
export function credentialFor(
  device: Pick<Device, 'xname' | 'kind' | 'group'>,
  credentials: readonly Credential[],
): Credential | undefined {
  return credentials.find(
    ({ within, group, kind, type }) =>
      (within === undefined || xnameContains(within, device.xname)) &&
      (group === undefined || group === device.group) &&
      (kind === undefined || kind === device.kind) &&
      (type === undefined || type === parseXname(device.xname).type),
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
