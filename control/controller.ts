import pLimit, { type LimitFunction } from 'p-limit'
import type { Device } from '../exporter/inventory/static.ts'
import { parentXname, parseXname } from '../exporter/inventory/xname.ts'
import type { RedfishClient } from '../exporter/redfish/client.ts'
import { collection, ifAny } from '../exporter/redfish/collection.ts'
import { isResourceFault, RedfishError } from '../exporter/redfish/error.ts'
import { textAt } from '../exporter/redfish/parse.ts'
import { Outlets } from './outlets.ts'
import {
  numberSystems,
  parseManager,
  parseResetTypes,
  parseSystem,
  type ResetForm,
  type System,
} from './system.ts'

export interface Reset {
  target: string
  resetType: string
  /** Absent: `ResetType`. */
  form?: ResetForm | undefined
}

export interface Clients {
  reads: RedfishClient
  /** Apart from the reads: a command that hangs must not hide the state of the device. */
  commands: RedfishClient
  /** Shared by all devices: commands in flight, strictly, also those that are answered late. */
  limit: LimitFunction
}

/** How long a device's answer to what hardly changes is used. */
const keptSeconds = 300

interface Kept<T> {
  value: T
  until: number
}

/** One controller with what it has said of the components that it switches. */
export class Controller {
  readonly device: Device
  readonly alone = pLimit(1)
  readonly #clients: Clients
  readonly #outlets: Outlets
  #systems: Kept<Map<number, string>> | undefined
  #manager: Kept<string> | undefined
  readonly #resetTypes = new Map<string, Kept<readonly string[]>>()

  constructor(device: Device, clients: Clients) {
    this.device = device
    this.#clients = clients
    this.#outlets = new Outlets(device)
  }

  async nodes(signal?: AbortSignal): Promise<string[]> {
    if (parseXname(this.device.xname).type !== 'NodeBMC') return []
    await this.#listSystems(signal)
    return this.knownNodes()
  }

  knownNodes(): string[] {
    const numbers = [...(this.#systems?.value.keys() ?? [])]
    return numbers.sort((a, b) => a - b).map((number) => `${this.device.xname}n${number}`)
  }

  /** Lists what it switches besides itself. @throws {RedfishError} */
  async learn(signal: AbortSignal): Promise<void> {
    const { type } = parseXname(this.device.xname)
    if (type === 'CabinetPDUController') {
      await this.#outlets.list((path) => this.#get(path, signal))
    } else await this.nodes(signal)
  }

  /** What was listed; of a BMC that has said nothing yet, the one node that each has. */
  switched(): string[] {
    const { xname } = this.device
    const { type } = parseXname(xname)
    if (type === 'CabinetPDUController') return this.#outlets.known()
    if (type !== 'NodeBMC') return []
    return this.#systems === undefined ? [`${xname}n0`] : this.knownNodes()
  }

  async probe(signal?: AbortSignal): Promise<void> {
    await this.#get('/redfish/v1', signal)
  }

  /** Undefined: there is no such component, or an empty slot. @throws {RedfishError} */
  async read(xname: string, signal?: AbortSignal): Promise<System | undefined> {
    const { type } = parseXname(xname)
    switch (type) {
      case 'Node':
        return await this.#readNode(numberOf(xname), signal)
      case 'Chassis':
        return await this.#readChassis('Enclosure', signal)
      case 'ComputeModule':
        return await this.#readChassis(`Blade${numberOf(xname)}`, signal)
      case 'RouterModule':
        return await this.#readChassis(`Perif${numberOf(xname)}`, signal)
      case 'CabinetPDUPowerConnector':
      case 'CabinetPDUOutlet':
        return await this.#outlets.read(xname, (path) => this.#get(path, signal))
      default:
        return await this.#readManager(signal)
    }
  }

  async reset({ target, resetType, form }: Reset, signal: AbortSignal): Promise<void> {
    const { method, body } = requestOf({ resetType, form })
    const { commands, limit } = this.#clients
    await limit(() => commands.send(method, target, body, signal))
  }

  async close(): Promise<void> {
    await Promise.all([this.#clients.reads.close(), this.#clients.commands.close()])
  }

  async #readNode(number: number, signal?: AbortSignal): Promise<System | undefined> {
    const path = (await this.#listSystems(signal)).get(number) ?? (await this.#find(number, signal))
    if (path === undefined) return undefined
    try {
      return await this.#readSystem(path, signal)
    } catch (error) {
      if (isResourceFault(error)) this.#listAgain()
      throw error
    }
  }

  /** A node that was not there when the systems were last listed. */
  async #find(number: number, signal?: AbortSignal): Promise<string | undefined> {
    this.#listAgain()
    return (await this.#listSystems(signal)).get(number)
  }

  #listAgain(): void {
    if (this.#systems) this.#systems.until = 0
  }

  async #listSystems(signal?: AbortSignal): Promise<Map<number, string>> {
    if (this.#systems && this.#systems.until > performance.now()) return this.#systems.value
    const paths = await collection('/redfish/v1/Systems', (path) => this.#get(path, signal))
    const value = numberSystems(paths)
    this.#systems = keep(value)
    return value
  }

  /** Chassis controllers list slots that are empty, as absent. */
  async #readChassis(name: string, signal?: AbortSignal): Promise<System | undefined> {
    const path = `/redfish/v1/Chassis/${name}`
    const body = await ifAny(this.#get(path, signal))
    if (body === undefined || textAt(body, 'Status', 'State') === 'Absent') return undefined
    return await this.#withResetTypes(this.#parse(path, body), signal)
  }

  async #readSystem(path: string, signal?: AbortSignal): Promise<System> {
    const system = this.#parse(path, await this.#get(path, signal))
    return await this.#withResetTypes(system, signal)
  }

  #parse(path: string, body: unknown): System {
    const system = parseSystem(path, body)
    if (system !== undefined) return system
    const where = { xname: this.device.xname, path }
    throw new RedfishError('malformed', where, 'neither PowerState nor a Reset action')
  }

  async #readManager(signal?: AbortSignal): Promise<System> {
    if (!this.#manager || this.#manager.until <= performance.now()) {
      const get = (path: string) => this.#get(path, signal)
      const paths = await collection('/redfish/v1/Managers', get)
      // Cray's node controllers list their boards' microcontrollers beside themselves.
      const path = paths.find((each) => each.endsWith('/BMC')) ?? paths[0]
      if (path === undefined) {
        const where = { xname: this.device.xname, path: '/redfish/v1/Managers' }
        throw new RedfishError('unsupported', where, 'no manager')
      }
      this.#manager = keep(path)
    }
    const path = this.#manager.value
    return await this.#withResetTypes(parseManager(path, await this.#get(path, signal)), signal)
  }

  async #withResetTypes(system: System, signal?: AbortSignal): Promise<System> {
    const { reset } = system
    if (!reset?.actionInfo || reset.allowed.length > 0) return system
    const allowed = await this.#readResetTypes(reset.actionInfo, signal)
    return { ...system, reset: { ...reset, allowed } }
  }

  /** Controllers drop them now and then for a moment: an empty list is not kept. */
  async #readResetTypes(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    const kept = this.#resetTypes.get(path)
    if (kept && kept.until > performance.now()) return kept.value
    const value = parseResetTypes(await this.#get(path, signal))
    if (value.length === 0) return kept?.value ?? []
    this.#resetTypes.set(path, keep(value))
    return value
  }

  async #get(path: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#clients.reads.get(path, signal)
  }
}

/** How a reset goes over the wire. */
export function requestOf({ resetType, form = 'ResetType' }: Pick<Reset, 'resetType' | 'form'>) {
  const method = form === 'control_action' ? ('PATCH' as const) : ('POST' as const)
  return { method, body: { [form]: resetType } }
}

/** The controller that switches a component, by its place; itself for a BMC. */
export function placeOfController(xname: string): string | undefined {
  switch (parseXname(xname).type) {
    case 'Node':
      return parentXname(xname)
    case 'Chassis':
      return `${xname}b0`
    case 'ComputeModule':
    case 'RouterModule':
      return `${parentXname(xname)}b0`
    case 'CabinetPDUPowerConnector':
    case 'CabinetPDUOutlet':
      return parentXname(parentXname(xname) ?? '')
    default:
      return xname
  }
}

export function numberOf(xname: string): number {
  return Number(/\d+$/.exec(xname)?.[0])
}

function keep<T>(value: T): Kept<T> {
  return { value, until: performance.now() + keptSeconds * 1000 }
}
