import { compareXnames, parentXname, parseXname } from '../exporter/inventory/xname.ts'
import { isRestart, type Operation } from './operation.ts'
import type { PowerState } from './system.ts'
import type { Phase, Task } from './task.ts'

/** Where a component stands among the others of its transition. */
export interface Place {
  xname: string
  /** Those that it lies in or is fed by: on after them, off before them. */
  parents: readonly string[]
  hasChildren: boolean
  /** A BMC, which can only be restarted. */
  isController: boolean
}

/**
 * The order among components: a cabinet's outlets, then chassis, slots, BMCs and nodes go on; nodes
 * first go off. Only those that are named count; of two outlets that may feed a node, both do.
 */
export function placesOf(xnames: readonly string[], operation: Operation): Place[] {
  const named = new Set(xnames)
  const outlets = new Map<string, string[]>()
  for (const xname of xnames) {
    if (!isOutlet(xname)) continue
    const cabinet = cabinetOf(xname)
    outlets.set(cabinet, [...(outlets.get(cabinet) ?? []), xname])
  }
  const parentsOf = (xname: string): string[] => {
    if (isOutlet(xname)) return []
    const around = ancestorsOf(xname).filter((ancestor) => named.has(ancestor))
    const bmc = around.find(isController)
    const whole = around.find((ancestor) => !isController(ancestor))
    // BMCs come on with their slot: they only stand between in a restart, which is theirs too.
    const found = [bmc && isRestart(operation) ? bmc : undefined, whole].filter(
      (x) => x !== undefined,
    )
    return whole === undefined ? [...found, ...(outlets.get(cabinetOf(xname)) ?? [])] : found
  }
  const parents = new Map(xnames.map((xname) => [xname, parentsOf(xname)]))
  const withChildren = new Set([...parents.values()].flat())
  return [...parents].map(([xname, of]) => ({
    xname,
    parents: of,
    hasChildren: withChildren.has(xname),
    isController: isController(xname),
  }))
}

/** The places around one, the nearest first. */
export function ancestorsOf(xname: string): string[] {
  const parent = parentXname(xname)
  return parent === undefined ? [] : [parent, ...ancestorsOf(parent)]
}

export function isOutlet(xname: string): boolean {
  const { type } = parseXname(xname)
  return type === 'CabinetPDUPowerConnector' || type === 'CabinetPDUOutlet'
}

export function isController(xname: string): boolean {
  return /BMC$/.test(parseXname(xname).type)
}

function cabinetOf(xname: string): string {
  return ancestorsOf(xname).at(-1) ?? xname
}

/** A task that another one of its transition waits for. */
export interface Relative {
  xname: string
  relation: 'parent' | 'child'
  isOpen: boolean
  phase: Phase
  /** What its device reported last. */
  observed: PowerState | undefined
}

export type Turn = 'go' | 'wait' | { blockedBy: string }

/**
 * Whether it is a task's turn. Off: when all below are past their off; never while one below has
 * ended and was not seen off, unless all is forced. On: when all around have ended, each seen on;
 * an outlet that failed is no reason, since a rack has two feeds.
 */
export function turnOf(
  task: Pick<Task, 'operation' | 'phase'>,
  relatives: readonly Relative[],
): Turn {
  if (relatives.some((relative) => isAwaited(task.phase, relative))) return 'wait'
  const blocking = relatives.filter((relative) => isObstacle(task, relative))
  const [first] = blocking.map(({ xname }) => xname).sort(compareXnames)
  return first === undefined ? 'go' : { blockedBy: first }
}

function isAwaited(phase: Phase, { relation, isOpen, phase: its }: Relative): boolean {
  if (!isOpen) return false
  return relation === 'parent' ? phase === 'on' : its === 'off'
}

function isObstacle(task: Pick<Task, 'operation' | 'phase'>, relative: Relative): boolean {
  const { relation, observed, isOpen, phase, xname } = relative
  if (relation === 'parent') {
    return task.phase === 'on' && observed !== 'On' && !isOutlet(xname)
  }
  if (task.phase === 'on' || task.operation === 'Force-Off') return false
  return !isOpen && phase === 'off' && observed !== 'Off'
}
