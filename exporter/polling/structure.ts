import { type Collector, collectorFor, type Plan } from '../devices/kinds.ts'
import type { Device, DeviceKind } from '../inventory/static.ts'
import { type Get, ifAny } from '../redfish/collection.ts'
import { fieldAt } from '../redfish/parse.ts'
import type { Looks } from './looking.ts'
import type { Round } from './pace.ts'
import { tolerating } from './round.ts'
import type { SharedTexts } from './shared-texts.ts'

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
  /** Whether its service says that it gives parts of a resource (`$select`). */
  selects: boolean
  /** Whether no resource on the way to all this failed to answer in time. */
  complete: boolean
}

export interface StructureOptions {
  get: Get
  /** Found before; absent: the device is asked what it is. */
  collector?: Collector | undefined
  /** Told before it is asked for more. */
  onCollector: (collector: Collector) => void
  /** What earlier looks have shown of its lists. */
  looks: Looks
  texts: SharedTexts
}

/** @throws {RedfishError} when the device cannot be asked. */
export async function findStructure(
  device: Pick<Device, 'xname' | 'kind'>,
  options: StructureOptions,
): Promise<Known> {
  let complete = true
  let collector = options.collector
  const ask = options.looks.once(options.get, () => collector?.kind)
  collector ??= await collectorFor(device, ask)
  options.onCollector(collector)
  const get = tolerating(ask, () => {
    complete = false
  })
  const selects = rootTells.has(collector.kind) && (await canSelect(get))
  const plan = withShared(await collector.plan(get), options.texts)
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
  return {
    collector,
    plan,
    state,
    slow,
    paths: [...fast, ...plan.slow],
    roundOf,
    selects,
    complete,
  }
}

/** Kinds whose services may offer more than plain requests, by what their root says. */
const rootTells: ReadonlySet<DeviceKind> = new Set(['ami', 'ilo', 'intel', 'openbmc', 'redfish'])

async function canSelect(get: Get): Promise<boolean> {
  const root = await ifAny(get('/redfish/v1'))
  return fieldAt(root, 'ProtocolFeaturesSupported', 'SelectQuery') === true
}

/** Devices of a kind have the same paths. */
function withShared({ fast, slow, once, expand }: Plan, texts: SharedTexts): Plan {
  const shared = (paths: readonly string[]) => paths.map((path) => texts.of(path))
  return { fast: shared(fast), slow: shared(slow), ...(once && { once: shared(once) }), expand }
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
