import { type Collector, collectorFor, type Plan } from '../devices/kinds.ts'
import type { Device } from '../inventory/static.ts'
import type { Get } from '../redfish/collection.ts'
import type { Round } from './pace.ts'
import { tolerating } from './round.ts'

/** What a device is and has. */
export interface Known {
  collector: Collector
  plan: Plan
  /** What its plan has besides power and energy, parted by pace. */
  state: readonly string[]
  slow: readonly string[]
  /** What is polled again and again. */
  paths: readonly string[]
  roundOf: ReadonlyMap<string, Round>
  /** Whether no resource on the way to all this failed to answer in time. */
  complete: boolean
}

export interface StructureOptions {
  get: Get
  /** Found before; absent: the device is asked what it is. */
  collector?: Collector | undefined
  /** Told before it is asked for more. */
  onCollector: (collector: Collector) => void
}

/** @throws {RedfishError} when the device cannot be asked. */
export async function findStructure(
  device: Pick<Device, 'xname' | 'kind'>,
  options: StructureOptions,
): Promise<Known> {
  let complete = true
  const collector = options.collector ?? (await collectorFor(device, options.get))
  options.onCollector(collector)
  const get = tolerating(options.get, () => {
    complete = false
  })
  const plan = await collector.plan(get)
  const { fast, once = [] } = plan
  const state = plan.slow.filter(isState)
  const slow = plan.slow.filter((path) => !isState(path))
  const byRound: [Round, readonly string[]][] = [
    ['structure', once],
    ['slow', slow],
    ['state', state],
    ['fast', fast],
  ]
  const roundOf = new Map(byRound.flatMap(([round, paths]) => paths.map((path) => [path, round])))
  return { collector, plan, state, slow, paths: [...fast, ...plan.slow], roundOf, complete }
}

/** How many requests at once: what the settings allow and the kind bears. */
export function limitsOf({ collector }: Pick<Known, 'collector'>, perDevice: number) {
  return { atOnce: Math.min(perDevice, collector.requestsAtOnce ?? Number.POSITIVE_INFINITY) }
}

/**
 * What tells a power state, health, a limit or an alarm: the systems, chassis and managers
 * themselves, `Controls`, alarms and leak detectors.
 */
function isState(path: string): boolean {
  return part.test(path) || stateOfPart.test(path)
}

const part = /^\/redfish\/v1\/(?:Systems|Chassis|Managers)\/[^/]+\/?$/
const stateOfPart = /^\/redfish\/v1\/.*\/(?:Controls|Alarms|LeakDetectors)\/[^/]+\/?$/
