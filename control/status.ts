import pLimit from 'p-limit'
import { compareXnames, parseXname, type XnameType } from '../exporter/inventory/xname.ts'
import { RedfishError } from '../exporter/redfish/error.ts'
import { errorText } from '../exporter/service/log.ts'
import type { Components } from './components.ts'
import { type Operation, supportedOperations } from './operation.ts'
import type { ManagementState, PowerStatusRequest, ShownPowerState } from './request.ts'
import type { PowerState } from './system.ts'

/** A component as PCS shows it. */
export interface PowerStatus {
  xname: string
  /** Empty for a name that is not known. */
  powerState: ShownPowerState | ''
  managementState: ManagementState | ''
  /** Why the state is not known; else empty. */
  error: string
  supportedPowerTransitions: readonly Operation[]
  /** When the device was asked for this answer, whether it gave one or not. */
  lastUpdated: Date
}

export interface StatusContext {
  components: Components
  now: () => Date
  /** Deadline of one device's answer. */
  statusSeconds: number
  /** Components asked at once. */
  inFlight: number
}

/** Reads the power of components from their devices, now: nothing here is remembered. */
export async function readPowerStatus(
  { xnames, powerState, managementState }: PowerStatusRequest,
  context: StatusContext,
): Promise<PowerStatus[]> {
  const limit = pLimit(context.inFlight)
  const read =
    xnames.length > 0
      ? xnames.map((xname) => limit(() => readOne(xname, context)))
      : context.components.controllers().map((xname) => limit(() => readAll(xname, context)))
  const found = (await Promise.all(read)).flat()
  if (xnames.length === 0) found.sort((a, b) => compareXnames(a.xname, b.xname))
  // A name that is not known passes every filter, so that no question stays without an answer.
  return found.filter(
    (status) =>
      status.powerState === '' ||
      ((powerState ?? status.powerState) === status.powerState &&
        (managementState ?? status.managementState) === status.managementState),
  )
}

async function readOne(xname: string, context: StatusContext): Promise<PowerStatus> {
  const { components } = context
  if (components.isController(xname)) return await readController(xname, context)
  if (components.controllerOf(xname) === undefined) return unknown(xname, context)
  return await readNode(xname, context)
}

/** A controller and its nodes: those it had when it last said so, if it does not answer. */
async function readAll(controller: string, context: StatusContext): Promise<PowerStatus[]> {
  const { components } = context
  const own = await readController(controller, context)
  const listed =
    own.powerState === 'on'
      ? await inTime(context, (signal) => components.nodesOf(controller, signal))
      : { error: own.error }
  if ('error' in listed) {
    const nodes = components.knownNodesOf(controller)
    return [own, ...nodes.map((xname) => silent(xname, listed.error, context))]
  }
  return [own, ...(await Promise.all(listed.value.map((xname) => readNode(xname, context))))]
}

async function readController(xname: string, context: StatusContext): Promise<PowerStatus> {
  const answer = await inTime(context, (signal) => context.components.probe(xname, signal))
  if ('error' in answer) return silent(xname, answer.error, context)
  return { ...silent(xname, '', context), powerState: 'on', managementState: 'available' }
}

async function readNode(xname: string, context: StatusContext): Promise<PowerStatus> {
  const answer = await inTime(context, (signal) => context.components.readNode(xname, signal))
  if ('error' in answer) return silent(xname, answer.error, context)
  if (answer.value === undefined) return unknown(xname, context)
  return {
    xname,
    powerState: shown(answer.value.powerState),
    managementState: 'available',
    error: '',
    supportedPowerTransitions: supportedOperations(answer.value.reset?.allowed ?? []),
    lastUpdated: context.now(),
  }
}

/** As PCS: what is on its way off still draws power, what is on its way on is not there yet. */
function shown(state: PowerState | undefined): ShownPowerState {
  if (state === 'On' || state === 'PoweringOff') return 'on'
  return state === 'Off' || state === 'PoweringOn' ? 'off' : 'undefined'
}

/** Silence is never taken for off. */
function silent(xname: string, error: string, { now }: StatusContext): PowerStatus {
  return {
    xname,
    powerState: 'undefined',
    managementState: 'unavailable',
    error,
    supportedPowerTransitions: [],
    lastUpdated: now(),
  }
}

/** Types that PCS has a power state for. */
const poweredTypes: ReadonlySet<XnameType> = new Set([
  'Chassis',
  'ChassisBMC',
  'ComputeModule',
  'RouterModule',
  'NodeBMC',
  'RouterBMC',
  'Node',
])

/** In the words of PCS, its spelling included. */
function unknown(xname: string, { now }: StatusContext): PowerStatus {
  const error = poweredTypes.has(parseXname(xname).type)
    ? 'Component not found in component map.'
    : 'Component can not have power state and managment state data'
  return {
    xname,
    powerState: '',
    managementState: '',
    error,
    supportedPowerTransitions: [],
    lastUpdated: now(),
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
