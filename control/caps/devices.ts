import pLimit from 'p-limit'
import { credentialFor, type Device } from '../../exporter/inventory/static.ts'
import { parentXname, parseXname } from '../../exporter/inventory/xname.ts'
import { createClient, type RedfishClient } from '../../exporter/redfish/client.ts'
import { collection, collectionIfAny, ifAny } from '../../exporter/redfish/collection.ts'
import { RedfishError } from '../../exporter/redfish/error.ts'
import { linkAt, listAt, textAt } from '../../exporter/redfish/parse.ts'
import { createTrust } from '../../exporter/redfish/trust.ts'
import type { ControlSettings } from '../settings.ts'
import { numberSystems } from '../system.ts'
import {
  type LimitWrite,
  limitLinks,
  type PowerLimit,
  parseControl,
  parseEnvironment,
  parsePower,
  parseZones,
  zoneLinks,
} from './limit.ts'

/** The power limits of nodes, asked of their devices. */
export interface CapDevices {
  /** The devices from now on. */
  update(devices: readonly Device[]): void
  /**
   * What the device shows now; empty: it has no power limits, or not yet, as Cray EX nodes that
   * were never on; undefined: no such node. @throws {RedfishError}
   */
  readLimits(node: string, signal: AbortSignal): Promise<PowerLimit[] | undefined>
  /** @throws {RedfishError} */
  writeLimits(node: string, write: LimitWrite, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

type Options = Pick<ControlSettings, 'devices' | 'credentials' | 'timeoutSeconds' | 'inFlight'> & {
  env: NodeJS.ProcessEnv
}

/** Clients of their own, made at first use: a slow reset must not hold up a reading of limits. */
export function createCapDevices(options: Options): CapDevices {
  const clients = new Map<string, RedfishClient>()
  const closing: Promise<void>[] = []
  let { devices } = options as { devices: readonly Device[] }
  const shared = { limit: pLimit(options.inFlight), trust: createTrust() }
  const clientOf = (node: string): RedfishClient => {
    const controller = parentXname(node) ?? ''
    const found = clients.get(controller)
    if (found) return found
    const device = devices.find(({ xname }) => xname === controller)
    if (!device) {
      const where = { xname: controller, path: '' }
      throw new RedfishError('unreachable', where, 'in no inventory of devices now')
    }
    const credential = credentialFor(device, options.credentials)
    const client = createClient({ ...options, ...shared, device, credential })
    clients.set(controller, client)
    return client
  }
  return {
    update(found) {
      for (const [xname, client] of clients) {
        const [before, after] = [devices, found].map((list) => list.find((d) => d.xname === xname))
        if (JSON.stringify(before) === JSON.stringify(after)) continue
        clients.delete(xname)
        closing.push(client.close())
      }
      devices = found
    },
    async readLimits(node, signal) {
      return await readLimits(numberOf(node), (path) => clientOf(node).get(path, signal))
    },
    async writeLimits(node, write, signal) {
      await writeLimits(clientOf(node), write, signal)
    },
    async close() {
      await Promise.all([...closing, ...[...clients.values()].map((client) => client.close())])
    },
  }
}

type Get = (path: string) => Promise<unknown>

/** Some take a PATCH only with the ETag that the resource has now; to others it is a riddle. */
async function writeLimits(
  client: RedfishClient,
  { method, path, body }: LimitWrite,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.send(method, path, body, signal)
  } catch (error) {
    if (!(error instanceof RedfishError) || !wantsTag(error)) throw error
    const tag = textAt(await client.get(path, signal), '@odata.etag')
    if (tag === undefined) throw error
    await client.send(method, path, body, signal, tag)
  }
}

/** Precondition Failed, Precondition Required. */
function wantsTag({ refusal }: RedfishError): boolean {
  return refusal?.status === 412 || refusal?.status === 428
}

/** Tries the forms from the newest to the oldest; the first that has limits counts. */
async function readLimits(number: number, get: Get): Promise<PowerLimit[] | undefined> {
  const system = numberSystems(await collection('/redfish/v1/Systems', get)).get(number)
  if (system === undefined) return undefined
  const chassis = await ifAny(get(await chassisOf(system, get)))
  const { controls, environment, power } = limitLinks(chassis)
  if (controls !== undefined) {
    const found: PowerLimit[] = []
    for (const path of await collectionIfAny(controls, get)) {
      const limit = parseControl(controls, path, await ifAny(get(path)))
      if (limit) found.push(limit)
    }
    if (found.length > 0) return nodeFirst(found)
  }
  if (environment !== undefined) {
    const found = parseEnvironment(environment, await ifAny(get(environment)))
    if (found.length > 0) return found
  }
  if (power === undefined) return []
  const body = await ifAny(get(power))
  const zones = await readZones(body, get)
  return zones.length > 0 ? zones : parsePower(power, body)
}

/** Linked to from Power, or from the service that it links to. */
async function readZones(power: unknown, get: Get): Promise<PowerLimit[]> {
  const { limits, service } = zoneLinks(power)
  const path = limits ?? (service && linkAt(await ifAny(get(service)), 'Links', 'PowerLimit'))
  return path === undefined ? [] : parseZones(path, await ifAny(get(path)))
}

/** A Cray EX node's Chassis has the name of its System, which does not link to it. */
async function chassisOf(system: string, get: Get): Promise<string> {
  const [linked] = listAt(await get(system), 'Links', 'Chassis')
  return linkAt(linked) ?? system.replace('/Systems/', '/Chassis/')
}

function nodeFirst(limits: readonly PowerLimit[]): PowerLimit[] {
  const of = (scope: string) => limits.filter((limit) => limit.scope === scope)
  return [...of('node'), ...of('accelerator')]
}

function numberOf(node: string): number {
  return Number(/\d+$/.exec(parseXname(node).text)?.[0])
}
