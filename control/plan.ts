import { compareXnames, isXname, parseXname, type XnameType } from '../exporter/inventory/xname.ts'
import type { Operation } from './operation.ts'
import { ancestorsOf, placesOf } from './sequence.ts'
import type { Phase } from './task.ts'
import { notAchieved } from './transition.ts'

/** What is known of the components without asking a device. */
export interface Inventory {
  /** The controller of a component; undefined: none is configured. */
  controllerOf(xname: string): string | undefined
  /** All that is known within a component, itself left out. */
  within(xname: string): readonly string[]
}

export interface PlanRequest {
  operation: Operation
  /** Without repeats. */
  xnames: readonly string[]
  /** Also all that is known within them. */
  recursive?: boolean | undefined
  /** Also all around them that has a power switch. */
  prereq?: boolean | undefined
}

/** A task as it is first stored: to be done, or ended at once since it cannot be. */
export interface PlannedTask {
  xname: string
  /** xname of the controller. */
  device: string | undefined
  state: 'new' | 'failed' | 'unsupported'
  description: string
  error: string | undefined
  /** The transition that is in its way. */
  heldBy?: string
  phase?: Phase
  /** Tasks of the same transition: it goes on after them, off before them. */
  parents?: readonly string[]
  hasChildren?: boolean
}

/**
 * The tasks of a transition in the order of their places, with what each waits for. Asks no device
 * and stores nothing: a dry run shows the same.
 */
export function planTransition(request: PlanRequest, inventory: Inventory): PlannedTask[] {
  const { operation } = request
  const tasks = expand(request, inventory).map((xname) => planOne(xname, inventory))
  const done = tasks.filter(({ state }) => state === 'new').map(({ xname }) => xname)
  const places = new Map(placesOf(done, operation).map((place) => [place.xname, place]))
  return tasks.map((task) => {
    const { parents = [], hasChildren = false, isController } = places.get(task.xname) ?? {}
    const phase = operation === 'On' || isController ? 'on' : 'off'
    return { ...task, phase, parents, hasChildren }
  })
}

function expand({ xnames, recursive, prereq }: PlanRequest, inventory: Inventory) {
  const asked = new Set(xnames)
  for (const xname of xnames.filter(isXname)) {
    const inner = recursive ? inventory.within(xname) : []
    const outer = prereq ? ancestorsOf(xname) : []
    for (const found of [...inner, ...outer]) {
      if (isFit(found) && inventory.controllerOf(found) !== undefined) asked.add(found)
    }
  }
  return [...asked].sort(compareXnames)
}

/** A BMC is never added: its place has the power, and a restart of it was not asked for. */
function isFit(xname: string): boolean {
  return poweredTypes.has(parseXname(xname).type) && !/BMC$/.test(parseXname(xname).type)
}

function planOne(xname: string, { controllerOf }: Inventory): PlannedTask {
  const refuse = (state: 'failed' | 'unsupported', error: string): PlannedTask => ({
    xname,
    device: undefined,
    state,
    description: notAchieved,
    error,
  })
  if (!isXname(xname)) return refuse('failed', 'Invalid xname')
  const { type } = parseXname(xname)
  if (!poweredTypes.has(type)) {
    return refuse('unsupported', `No power control for component type ${type}`)
  }
  const device = controllerOf(xname)
  if (device === undefined) return refuse('failed', 'Missing xname')
  return { xname, device, state: 'new', description: 'Gathering data', error: undefined }
}

/** The types whose power can be changed. */
export const poweredTypes: ReadonlySet<XnameType> = new Set([
  'Chassis',
  'ChassisBMC',
  'ComputeModule',
  'RouterModule',
  'NodeBMC',
  'RouterBMC',
  'Node',
  'CabinetPDUPowerConnector',
  'CabinetPDUOutlet',
])
