import pLimit from 'p-limit'
import type { Pool } from 'pg'
import { parseXname } from '../exporter/inventory/xname.ts'
import { RedfishError } from '../exporter/redfish/error.ts'
import { errorText } from '../exporter/service/log.ts'
import type { Components } from './components.ts'
import { requestOf } from './controller.ts'
import type { Draws } from './draw.ts'
import { observeSystem } from './observe.ts'
import type { PlanEntry } from './openapi/schema.ts'
import { isRestart } from './operation.ts'
import type { PlannedTask } from './plan.ts'
import type { TransitionRequest } from './request.ts'
import { isController } from './sequence.ts'
import type { ControlSettings } from './settings.ts'
import { newTask } from './task.ts'
import { nextStep } from './transition.ts'

interface DryRun {
  pool: Pool
  components: Pick<Components, 'read'>
  settings: Pick<ControlSettings, 'inFlight' | 'statusSeconds' | 'ramp'>
  draws: Draws
  now: () => Date
}

/**
 * What a transition would do first to each component, by a fresh reading of its device and the
 * rules that tasks are worked on by. Nothing is stored or sent.
 */
export async function dryRun(
  request: TransitionRequest,
  tasks: readonly PlannedTask[],
  context: DryRun,
): Promise<object> {
  const limit = pLimit(context.settings.inFlight)
  const orders = ordersOf(tasks)
  const counts = await rampCounts(request, tasks, context)
  const entries = tasks.map((task) =>
    limit(async () => ({
      ...(orders.has(task.xname) && { order: orders.get(task.xname) }),
      ...(await planOne(task, request, context)),
      ...(task.parents?.length && { parents: task.parents }),
      ...counts.get(task.xname),
    })),
  )
  const plan = await Promise.all(entries)
  plan.sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
  return { dryRun: true, operation: request.operation, plan }
}

async function planOne(
  { xname, state, error, phase }: PlannedTask,
  { operation, deadlineMinutes, forced }: TransitionRequest,
  { components, settings, now }: DryRun,
): Promise<PlanEntry> {
  if (state !== 'new') return { xname, action: 'blocked', reason: error ?? state }
  try {
    const signal = AbortSignal.timeout(settings.statusSeconds * 1000)
    const system = await components.read(xname, signal)
    const [at, expiresAt] = [now(), new Date(now().getTime() + 86_400_000)]
    const given = { operation, deadlineMinutes, forced, expiresAt, ...(phase && { phase }) }
    const task = newTask({ ...given, isController: isController(xname) })
    const step = nextStep(task, observeSystem(system), { now: at, confirmSeconds: 1 })
    const { next, reason } = step
    if (next === 'wait' || next === 'yield') return { xname, action: 'wait', reason }
    if (next === 'finish') {
      const action = step.task.state === 'succeeded' ? 'skip' : 'blocked'
      return { xname, action, reason: step.task.error ?? reason }
    }
    const { target: url = '', form } = system?.reset ?? {}
    const request = requestOf({ resetType: step.resetType, form })
    return { xname, action: 'send', reason, url, ...request }
  } catch (cause) {
    if (!(cause instanceof RedfishError)) throw cause
    return { xname, action: 'blocked', reason: errorText(cause) }
  }
}

/** What the ramp counts each node as that is turned on; empty where it does not count watts. */
async function rampCounts(
  { operation }: TransitionRequest,
  tasks: readonly PlannedTask[],
  { pool, settings, draws, now }: DryRun,
): Promise<Map<string, Pick<PlanEntry, 'rampWatts' | 'rampWattsFrom'>>> {
  const endsOn = operation === 'On' || isRestart(operation)
  if (settings.ramp.wattsPerMinute === undefined || !endsOn) return new Map()
  const isNode = (xname: string) => parseXname(xname).type === 'Node'
  const nodes = tasks.filter(({ xname, state }) => state === 'new' && isNode(xname))
  const xnames = nodes.map(({ xname }) => xname)
  const drawOf = await draws(pool, xnames, now())
  return new Map(
    xnames.map((xname) => {
      const { watts: rampWatts, from: rampWattsFrom } = drawOf(xname)
      return [xname, { rampWatts, rampWattsFrom }]
    }),
  )
}

/** Which tasks go together, 1 first: on after those around, off before them. */
function ordersOf(tasks: readonly PlannedTask[]): Map<string, number> {
  const open = new Map(
    tasks.filter(({ state }) => state === 'new').map((task) => [task.xname, task]),
  )
  const depths = new Map<string, number>()
  const depthOf = (xname: string): number => {
    const known = depths.get(xname)
    if (known !== undefined) return known
    const parents = (open.get(xname)?.parents ?? []).filter((parent) => open.has(parent))
    const depth = 1 + Math.max(0, ...parents.map(depthOf))
    depths.set(xname, depth)
    return depth
  }
  for (const xname of open.keys()) depthOf(xname)
  const deepest = Math.max(0, ...depths.values())
  const isOff = [...open.values()].some(({ phase }) => phase === 'off')
  return isOff ? new Map([...depths].map(([xname, d]) => [xname, deepest + 1 - d])) : depths
}
