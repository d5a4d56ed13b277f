import pLimit, { type LimitFunction } from 'p-limit'
import { credentialFor } from '../exporter/inventory/static.ts'
import { compareXnames, parentXname, parseXname } from '../exporter/inventory/xname.ts'
import { createClient, type RedfishClient } from '../exporter/redfish/client.ts'
import { collection } from '../exporter/redfish/collection.ts'
import { isResourceFault, RedfishError } from '../exporter/redfish/error.ts'
import { createTrust } from '../exporter/redfish/trust.ts'
import type { ControlSettings } from './settings.ts'
import { numberSystems, parseResetTypes, parseSystem, type System } from './system.ts'

/**
 * The components whose power is known or changed, and the devices that are asked for them. Which
 * nodes a controller has, it says itself; that and its ResetTypes are kept for some minutes.
 */
export interface Components {
  /** The controller of a node, whether the node exists or not; undefined: none is configured. */
  controllerOf(xname: string): string | undefined
  /** The controllers: what is asked when all components are wanted. */
  controllers(): readonly string[]
  isController(xname: string): boolean
  /** The nodes of a controller. @throws {RedfishError} */
  nodesOf(controller: string, signal?: AbortSignal): Promise<readonly string[]>
  /** The nodes that the controller had when it last said so. */
  knownNodesOf(controller: string): readonly string[]
  /** Asks the device now; undefined when it has no such node. @throws {RedfishError} */
  readNode(xname: string, signal?: AbortSignal): Promise<System | undefined>
  /** Runs `command` when no other command to the node's controller runs in this process. */
  alone<T>(xname: string, command: () => Promise<T>): Promise<T>
  /** Sends a reset; to be called in `alone`. @throws {RedfishError} */
  resetNode(xname: string, reset: Reset, signal: AbortSignal): Promise<void>
  /** Whether a controller answers at all. @throws {RedfishError} */
  probe(controller: string, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface Reset {
  target: string
  resetType: string
}

type Options = Pick<ControlSettings, 'devices' | 'credentials' | 'timeoutSeconds' | 'inFlight'> & {
  env: NodeJS.ProcessEnv
}

/** How long a device's answer to what hardly changes is used. */
const keptSeconds = 300

export function createComponents(options: Options): Components {
  const controllers = createControllers(options)
  const controllerAt = (xname: string): Controller => {
    const found = controllers.get(xname)
    if (found) return found
    throw new Error(`${xname} is no controller in the settings`)
  }
  const parentOf = (xname: string) => parentXname(xname) ?? ''
  return {
    controllerOf(xname) {
      const controller = parentOf(xname)
      return parseXname(xname).type === 'Node' && controllers.has(controller)
        ? controller
        : undefined
    },
    controllers: () => [...controllers.keys()].sort(compareXnames),
    isController: (xname) => controllers.has(xname),
    nodesOf: (controller, signal) => controllerAt(controller).nodes(signal),
    knownNodesOf: (controller) => controllerAt(controller).knownNodes(),
    readNode: (xname, signal) => controllerAt(parentOf(xname)).read(numberOf(xname), signal),
    alone: (xname, command) => controllerAt(parentOf(xname)).alone(command),
    resetNode: (xname, reset, signal) => controllerAt(parentOf(xname)).reset(reset, signal),
    probe: (controller, signal) => controllerAt(controller).probe(signal),
    async close() {
      await Promise.all([...controllers.values()].map((controller) => controller.close()))
    },
  }
}

function createControllers(options: Options): Map<string, Controller> {
  const [reads, commands] = [pLimit(options.inFlight), pLimit(options.inFlight)]
  const trust = createTrust()
  const controllers = new Map<string, Controller>()
  for (const device of options.devices) {
    const { type, text: xname } = parseXname(device.xname)
    if (!controllerTypes.has(type)) continue
    const credential = credentialFor(device, options.credentials)
    const connect = (limit: LimitFunction) =>
      createClient({ ...options, device, credential, limit, trust })
    const clients = { reads: connect(reads), commands: connect(commands) }
    controllers.set(xname, new Controller(xname, clients))
  }
  return controllers
}

const controllerTypes: ReadonlySet<string> = new Set(['NodeBMC', 'ChassisBMC', 'RouterBMC'])

function numberOf(node: string): number {
  return Number(/\d+$/.exec(node)?.[0])
}

interface Clients {
  reads: RedfishClient
  /** Apart from the reads: a command that hangs must not hide the state of the device. */
  commands: RedfishClient
}

interface Kept<T> {
  value: T
  until: number
}

/** One controller with what it has said of its nodes. */
class Controller {
  readonly #xname: string
  readonly #clients: Clients
  #systems: Kept<Map<number, string>> | undefined
  readonly alone = pLimit(1)
  readonly #resetTypes = new Map<string, Kept<readonly string[]>>()

  constructor(xname: string, clients: Clients) {
    this.#xname = xname
    this.#clients = clients
  }

  async nodes(signal?: AbortSignal): Promise<string[]> {
    if (parseXname(this.#xname).type !== 'NodeBMC') return []
    await this.#listSystems(signal)
    return this.knownNodes()
  }

  knownNodes(): string[] {
    const numbers = [...(this.#systems?.value.keys() ?? [])]
    return numbers.sort((a, b) => a - b).map((number) => `${this.#xname}n${number}`)
  }

  async probe(signal?: AbortSignal): Promise<void> {
    await this.#get('/redfish/v1', signal)
  }

  async read(number: number, signal?: AbortSignal): Promise<System | undefined> {
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

  async reset({ target, resetType }: Reset, signal: AbortSignal): Promise<void> {
    await this.#clients.commands.send('POST', target, { ResetType: resetType }, signal)
  }

  async close(): Promise<void> {
    await Promise.all([this.#clients.reads.close(), this.#clients.commands.close()])
  }

  async #listSystems(signal?: AbortSignal): Promise<Map<number, string>> {
    if (this.#systems && this.#systems.until > performance.now()) return this.#systems.value
    const paths = await collection('/redfish/v1/Systems', (path) => this.#get(path, signal))
    const value = numberSystems(paths)
    this.#systems = keep(value)
    return value
  }

  async #readSystem(path: string, signal?: AbortSignal): Promise<System> {
    const system = parseSystem(path, await this.#get(path, signal))
    if (system === undefined) {
      const where = { xname: this.#xname, path }
      throw new RedfishError('malformed', where, 'neither PowerState nor a Reset action')
    }
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

function keep<T>(value: T): Kept<T> {
  return { value, until: performance.now() + keptSeconds * 1000 }
}
