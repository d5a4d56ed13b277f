import pLimit from 'p-limit'
import { controllerTypes, credentialFor, type Device } from '../exporter/inventory/static.ts'
import { compareXnames, isXname, parseXname, xnameContains } from '../exporter/inventory/xname.ts'
import { createClient } from '../exporter/redfish/client.ts'
import { RedfishError } from '../exporter/redfish/error.ts'
import { createTrust } from '../exporter/redfish/trust.ts'
import { Controller, placeOfController, type Reset } from './controller.ts'
import type { Inventory } from './plan.ts'
import { ancestorsOf } from './sequence.ts'
import type { ControlSettings } from './settings.ts'
import type { System } from './system.ts'

/**
 * The components whose power is known or changed, and the devices that are asked for them. Which
 * nodes a controller has, it says itself; that and its ResetTypes are kept for some minutes.
 */
export interface Components extends Inventory {
  /** The devices from now on; what is known of one that stays is kept. */
  update(devices: readonly Device[]): void
  /** The controller of a component, whether that exists or not; undefined: none is configured. */
  controllerOf(xname: string): string | undefined
  /** The controllers: what is asked when all components are wanted. */
  controllers(): readonly string[]
  isController(xname: string): boolean
  /** The nodes of a controller. @throws {RedfishError} */
  nodesOf(controller: string, signal?: AbortSignal): Promise<readonly string[]>
  /** The nodes that the controller had when it last said so. */
  knownNodesOf(controller: string): readonly string[]
  /** Lets the controllers within these places list what they switch; one that is silent is left. */
  learn(places: readonly string[], signal: AbortSignal): Promise<void>
  /** Asks the device now; undefined when it has no such component. @throws {RedfishError} */
  read(xname: string, signal?: AbortSignal): Promise<System | undefined>
  /** Runs `command` when no other command to the controller runs in this process. */
  alone<T>(xname: string, command: () => Promise<T>): Promise<T>
  /** Sends a reset; to be called in `alone`. @throws {RedfishError} */
  reset(xname: string, reset: Reset, signal: AbortSignal): Promise<void>
  /** Whether a controller answers at all. @throws {RedfishError} */
  probe(controller: string, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

type Options = Pick<ControlSettings, 'devices' | 'credentials' | 'timeoutSeconds' | 'inFlight'> & {
  env: NodeJS.ProcessEnv
}

export function createComponents(options: Options): Components {
  const connect = connector(options)
  const controllers = new Map<string, Controller>()
  const closing: Promise<void>[] = []
  const update = (devices: readonly Device[]) => {
    const wanted = new Map(devices.filter(isSwitch).map((device) => [device.xname, device]))
    for (const [xname, controller] of controllers) {
      if (isSame(controller.device, wanted.get(xname))) continue
      controllers.delete(xname)
      closing.push(controller.close())
    }
    for (const [xname, device] of wanted) {
      if (!controllers.has(xname)) controllers.set(xname, connect(device))
    }
  }
  update(options.devices)
  const controllerOf = (xname: string) => {
    const controller = placeOfController(xname)
    return controller !== undefined && controllers.has(controller) ? controller : undefined
  }
  const controllerFor = (xname: string): Controller => {
    const found = controllers.get(placeOfController(xname) ?? '')
    if (found) return found
    throw new RedfishError('unreachable', { xname, path: '' }, 'in no inventory of devices now')
  }
  return {
    update,
    controllerOf,
    controllers: () => [...controllers.keys()].sort(compareXnames),
    isController: (xname) => controllers.has(xname),
    nodesOf: (controller, signal) => controllerFor(controller).nodes(signal),
    knownNodesOf: (controller) => controllerFor(controller).knownNodes(),
    within: (place) => withinOf(place, controllers),
    async learn(places, signal) {
      const around = [...controllers.values()].filter(({ device }) =>
        places.some((place) => isXname(place) && xnameContains(place, device.xname)),
      )
      await Promise.allSettled(around.map((controller) => controller.learn(signal)))
    },
    read: async (xname, signal) => await controllerFor(xname).read(xname, signal),
    alone: (xname, command) => controllerFor(xname).alone(command),
    reset: async (xname, reset, signal) => await controllerFor(xname).reset(reset, signal),
    probe: (controller, signal) => controllerFor(controller).probe(signal),
    async close() {
      await Promise.all([...closing, ...[...controllers.values()].map((each) => each.close())])
    },
  }
}

function connector(options: Options): (device: Device) => Controller {
  const [reads, commands] = [pLimit(options.inFlight), pLimit(options.inFlight)]
  const trust = createTrust()
  return (device) => {
    const credential = credentialFor(device, options.credentials)
    const connect = () => createClient({ ...options, device, credential, limit: reads, trust })
    return new Controller(device, { reads: connect(), commands: connect(), limit: commands })
  }
}

function isSwitch({ xname }: Device): boolean {
  const { type } = parseXname(xname)
  return controllerTypes.some((each) => each === type)
}

function isSame(one: Device, other: Device | undefined): boolean {
  return other?.url === one.url && other.kind === one.kind && other.group === one.group
}

/** The slots of the controllers in a place, the controllers, and what they switch. */
function withinOf(place: string, controllers: ReadonlyMap<string, Controller>): string[] {
  const found = new Set<string>()
  for (const [xname, controller] of controllers) {
    if (!xnameContains(place, xname)) continue
    for (const each of [...ancestorsOf(xname), xname, ...controller.switched()]) {
      if (each !== place && xnameContains(place, each)) found.add(each)
    }
  }
  return [...found].sort(compareXnames)
}
