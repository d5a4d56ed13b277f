import fetch, { type Response } from 'node-fetch'
import { z } from 'zod'
import { createAgent, type Trust } from '../redfish/trust.ts'
import { withDeadline } from '../service/deadline.ts'
import type { Logger } from '../service/log.ts'
import { readSecret, seconds, secret } from '../service/settings.ts'
import type { DiscoverySource } from './discovery.ts'
import { controllerTypes, type Device, deviceSettings } from './static.ts'
import { isXname, parseXname } from './xname.ts'

/** HPE's Hardware State Manager. */
export const hsmSettings = z.strictObject({
  /** What stands before `/hsm/v2`: `https://api-gw-service-nmn.local/apis/smd`. */
  url: z
    .url({ protocol: /^https?$/, error: 'expected a URL such as https://api.example.org/apis/smd' })
    .transform((url) => url.replace(/\/+$/, '')),
  /** The bearer token; read for each request. */
  token: secret.optional(),
  /** PEM certificates to trust besides the system's. */
  caFile: z.string().optional(),
  insecureSkipVerify: z.boolean().default(false),
  everySeconds: seconds.default(60),
  timeoutSeconds: seconds.default(30),
})
export type HsmSettings = z.output<typeof hsmSettings>

export interface HsmContext {
  env: NodeJS.ProcessEnv
  trust: Trust
  log: Logger
}

const path = '/hsm/v2/Inventory/RedfishEndpoints'

/** 50,000 endpoints of a kilobyte, more than any system has. */
const largestBody = 50 * 1024 * 1024

/** The devices that HSM knows: controllers and iPDUs that are not disabled. */
export function hsm(settings: HsmSettings, context: HsmContext): DiscoverySource {
  let skipped = ''
  return {
    name: 'hsm',
    settings,
    everySeconds: settings.everySeconds,
    async read(signal) {
      const { devices, unusable } = parseEndpoints(await ask(settings, context, signal))
      if (unusable.join() !== skipped && unusable.length > 0) {
        const some = unusable.slice(0, 10)
        context.log.warn({ endpoints: some, count: unusable.length }, 'endpoints of HSM left out')
      }
      skipped = unusable.join()
      return devices
    },
  }
}

async function ask(
  settings: HsmSettings,
  { env, trust }: HsmContext,
  stopping: AbortSignal,
): Promise<unknown> {
  const { url, token, caFile, insecureSkipVerify, timeoutSeconds } = settings
  const headers: Record<string, string> = { accept: 'application/json' }
  if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
  const agent = await createAgent({ url, caFile, insecureSkipVerify, trust })
  try {
    return await withDeadline(timeoutSeconds * 1000, [stopping], async (signal) => {
      const options = { agent, headers, redirect: 'manual', size: largestBody, signal } as const
      return await bodyOf(await fetch(url + path, options))
    })
  } catch (cause) {
    throw new Error(`HSM ${url}${path}`, { cause })
  } finally {
    agent.destroy()
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  const text = await response.text()
  if (response.status !== 200) throw new Error(`HTTP ${response.status}`)
  return JSON.parse(text)
}

const endpointList = z.object({ RedfishEndpoints: z.array(z.unknown()) })

/** hms-smd, api/swagger_v2.yaml, "RedfishEndpoint.1.0.0": the fields that matter here. */
const endpoint = z.object({
  ID: z.string(),
  FQDN: z.string().optional(),
  Enabled: z.boolean().optional(),
})

interface Endpoints {
  devices: Device[]
  /** IDs of endpoints that cannot be a device of ours. */
  unusable: string[]
}

/**
 * The devices of an answer of HSM: xnames as it has them, `https://FQDN`, or the xname where it has
 * no FQDN. Their kinds they say themselves.
 * @throws {Error} when it is no list of endpoints at all.
 */
export function parseEndpoints(body: unknown): Endpoints {
  const list = endpointList.safeParse(body)
  if (!list.success) throw new Error('expected {"RedfishEndpoints": [...]}')
  const devices = new Map<string, Device>()
  const unusable: string[] = []
  for (const each of list.data.RedfishEndpoints) {
    const parsed = endpoint.safeParse(each)
    if (parsed.success && parsed.data.Enabled === false) continue
    const device = parsed.success ? deviceOf(parsed.data) : undefined
    if (device === undefined) unusable.push(parsed.data?.ID ?? 'no ID')
    else if (!devices.has(device.xname)) devices.set(device.xname, device)
  }
  return { devices: [...devices.values()], unusable }
}

function deviceOf({ ID, FQDN = '' }: z.output<typeof endpoint>): Device | undefined {
  if (!isXname(ID)) return undefined
  const { type, text } = parseXname(ID)
  // HSM lists a chassis controller by its chassis in older releases: x1000c3 for x1000c3b0.
  const xname = type === 'Chassis' ? `${text}b0` : text
  const isController = controllerTypes.some((each) => each === parseXname(xname).type)
  if (!isController) return undefined
  const device = deviceSettings.safeParse({ xname, url: `https://${FQDN === '' ? ID : FQDN}` })
  return device.success ? device.data : undefined
}
