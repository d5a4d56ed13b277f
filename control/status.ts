import { setMaxListeners } from 'node:events'
import pLimit from 'p-limit'
import { parseXname } from '../exporter/inventory/xname.ts'
import { isResourceFault, RedfishError } from '../exporter/redfish/error.ts'
import { errorText } from '../exporter/service/log.ts'
import type { Components } from './components.ts'
import { type Operation, supportedOperations } from './operation.ts'
import { poweredTypes } from './plan.ts'
import type { ManagementState, PowerStatusRequest, ShownPowerState } from './request.ts'
import { ancestorsOf, isController } from './sequence.ts'
import type { PowerState } from './system.ts'

/** A component as PCS shows it, and when it was asked. */
export interface PowerStatus {
  xname: string
  /** Empty for a name that is not known. */
  powerState: ShownPowerState | ''
  managementState: ManagementState | ''
  /** Why the state is not known; else empty. */
  error: string
  supportedPowerTransitions: readonly Operation[]
  /** As PCS: of the last change, not of the last look; empty for a name that is not known. */
  lastUpdated: Date | ''
  /** When the device was asked for this answer, whether it gave one or not. */
  observedAt?: Date
  /** When this process first saw the state that it has. */
  changedAt?: Date
}

export interface StatusContext {
  components: Components
  now: () => Date
  /** Deadline of one device's answer. */
  statusSeconds: number
  /** Components asked at once. */
  inFlight: number
  changes: Changes
}

/** The state of each component when it was asked last, and since when it has been that. */
export type Changes = Map<string, { state: ShownPowerState; since: Date }>

/** A silent controller may be asked for nodes that it never had. */
const mostChanges = 100_000

/** Reads the power of components from their devices, now: no state here is remembered. */
export async function readPowerStatus(
  { xnames, powerState, managementState }: PowerStatusRequest,
  context: StatusContext,
): Promise<PowerStatus[]> {
  const limit = pLimit(context.inFlight)
  const asked = xnames.length > 0 ? xnames : await allComponents(context)
  const read = asked.map((xname) => limit(() => readOne(xname, context)))
  // A name that is not known passes every filter, so that no question stays without an answer.
  return (await Promise.all(read)).filter(
    (status) =>
      status.powerState === '' ||
      ((powerState ?? status.powerState) === status.powerState &&
        (managementState ?? status.managementState) === status.managementState),
  )
}

/** By place; of a controller that is silent what it had when it last said so. */
async function allComponents({ components, statusSeconds }: StatusContext): Promise<string[]> {
  const cabinets = [...new Set(components.controllers().map(cabinetOf))]
  const tooLate = AbortSignal.timeout(statusSeconds * 1000)
  // Every request in flight listens to it.
  setMaxListeners(0, tooLate)
  await components.learn(cabinets, tooLate)
  const found = cabinets.flatMap((cabinet) => components.within(cabinet))
  return found.filter(
    (xname) =>
      poweredTypes.has(parseXname(xname).type) && components.controllerOf(xname) !== undefined,
  )
}

function cabinetOf(xname: string): string {
  return ancestorsOf(xname).at(-1) ?? xname
}

async function readOne(xname: string, context: StatusContext): Promise<PowerStatus> {
  const { components, changes, now } = context
  if (components.controllerOf(xname) === undefined) return unknown(xname)
  const answer = await inTime(context, (signal) => readSystem(xname, components, signal))
  if ('value' in answer && answer.value === undefined) return unknown(xname)
  const system = 'value' in answer ? answer.value : undefined
  const allowed = system?.reset?.allowed ?? []
  const observedAt = now()
  // Silence is never taken for off.
  const powerState = shown(system?.powerState)
  const changedAt = sinceWhen(xname, { state: powerState, since: observedAt }, changes)
  return {
    xname,
    powerState,
    managementState: system === undefined ? 'unavailable' : 'available',
    error: 'error' in answer ? answer.error : '',
    supportedPowerTransitions: supportedOperations(allowed, { isController: isController(xname) }),
    lastUpdated: changedAt,
    observedAt,
    changedAt,
  }
}

/** As PCS: a BMC is on when it answers, whatever it says of itself. */
async function readSystem(xname: string, components: Components, signal: AbortSignal) {
  try {
    return await components.read(xname, signal)
  } catch (error) {
    if (!isController(xname) || !isResourceFault(error)) throw error
    return { path: '', powerState: 'On' as const, reset: undefined }
  }
}

function sinceWhen(
  xname: string,
  seen: { state: ShownPowerState; since: Date },
  changes: Changes,
): Date {
  const before = changes.get(xname)
  if (before?.state === seen.state) return before.since
  if (changes.size >= mostChanges) changes.clear()
  changes.set(xname, seen)
  return seen.since
}

/** As PCS: what is on its way off still draws power, what is on its way on is not there yet. */
function shown(state: PowerState | undefined): ShownPowerState {
  if (state === 'On' || state === 'PoweringOff') return 'on'
  return state === 'Off' || state === 'PoweringOn' ? 'off' : 'undefined'
}

/** In the words of PCS, its spelling included. */
function unknown(xname: string): PowerStatus {
  const error = poweredTypes.has(parseXname(xname).type)
    ? 'Component not found in component map.'
    : 'Component can not have power state and managment state data'
  return {
    xname,
    powerState: '',
    managementState: '',
    error,
    supportedPowerTransitions: [],
    lastUpdated: '',
  }
}

/** The answer or the reason why there is none, at the latest after `statusSeconds`. */
async function inTime<T>(
  { statusSeconds }: StatusContext,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<{ value: T } | { error: string }> {
  const signal = AbortSignal.timeout(statusSeconds * 1000)
  const late = new Promise<{ error: string }>((resolve) => {
    const error = `no answer within ${statusSeconds} s`
    signal.addEventListener('abort', () => resolve({ error }), { once: true })
  })
  const answer = ask(signal).then(
    (value) => ({ value }),
    (error: unknown) => {
      if (error instanceof RedfishError) return { error: errorText(error) }
      throw error
    },
  )
  return await Promise.race([answer, late])
}
