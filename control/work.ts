import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { RedfishError } from '../exporter/redfish/error.ts'
import type { Components } from './components.ts'
import type { ControlMetrics } from './metrics.ts'
import { describe, observeFailure, observeSilence, observeSystem } from './observe.ts'
import { type ClaimedTask, type Lease, recordStep } from './queue.ts'
import { nextStep, type Observation, type Step, type Task } from './transition.ts'

/** What all tasks of a process are worked on with. */
export interface WorkContext {
  pool: Pool
  components: Components
  metrics: ControlMetrics
  now: () => Date
  lease: Lease
  confirmSeconds: number
  /** Gives up commands that are on their way; their outcome is then unknown. */
  hurry: AbortSignal
}

/** A claimed task while this process works on it. */
export interface Assignment extends WorkContext {
  claimed: ClaimedTask
  aborted: boolean
  /** How many steps of the task are kept. */
  steps: number
  /** Ends pauses and reads: the transition was aborted, or else the task is to be left. */
  interrupt: AbortController
}

/** What has been learnt, and how. */
interface Look {
  observation: Observation
  sent: string | undefined
  /** Where a reset is posted to, when the system was read. */
  target?: string | undefined
}

/**
 * Brings a task to its end: looks, asks the state machine, keeps the step, takes it. Undefined
 * when the task is left to be claimed again: we are closing, or the step was not to be taken.
 */
export async function workOn(assignment: Assignment): Promise<Task | undefined> {
  let { task } = assignment.claimed
  let reason: string | undefined
  let look = await read(assignment)
  while (look !== undefined) {
    const { now, confirmSeconds } = assignment
    const step = nextStep(task, look.observation, { now: now(), confirmSeconds })
    // A look that changes nothing leaves no row.
    const isNews = step.reason !== reason || !isSame(task, step.task)
    if (step.next === 'reset') {
      look = await reset(assignment, step, look)
    } else {
      if (isNews && !(await keep(assignment, step, look))) return undefined
      if (step.next === 'finish') return step.task
      await pause(assignment, step.until)
      look = await read(assignment)
    }
    task = step.task
    reason = step.reason
  }
  return undefined
}

function isSame(a: Task, b: Task): boolean {
  return (Object.keys(b) as (keyof Task)[]).every((key) => a[key] === b[key])
}

async function keep(assignment: Assignment, step: Step, look: Look): Promise<boolean> {
  const { pool, claimed, lease, now, steps } = assignment
  const { observation, sent } = look
  const taken = { at: now(), sent, received: describe(observation), step }
  const isKept = await recordStep(pool, { taskId: claimed.taskId, steps, lease }, taken)
  if (isKept) assignment.steps++
  return isKept
}

/** Asks the device; undefined when the task is to be left. */
async function read(assignment: Assignment): Promise<Look | undefined> {
  if (!assignment.interrupt.signal.aborted) {
    const look = await readDevice(assignment)
    if (!assignment.interrupt.signal.aborted) return look
  }
  return assignment.aborted ? { observation: { kind: 'abort' }, sent: undefined } : undefined
}

async function readDevice({ claimed, components, metrics, interrupt }: Assignment): Promise<Look> {
  try {
    const system = await components.readNode(claimed.xname, interrupt.signal)
    const sent = system && `GET ${system.path}`
    return { observation: observeSystem(system), sent, target: system?.reset?.target }
  } catch (error) {
    if (!(error instanceof RedfishError)) throw error
    if (!interrupt.signal.aborted) metrics.deviceErrors.inc({ reason: error.kind })
    return { observation: observeSilence(error), sent: `GET ${error.path}` }
  }
}

/** Keeps the step, then sends: so it is known later that the command may have left. */
async function reset(
  assignment: Assignment,
  step: Step & { next: 'reset' },
  look: Look,
): Promise<Look | undefined> {
  const { components, claimed } = assignment
  const { target } = look
  if (target === undefined) throw new Error(`${claimed.xname}: a reset without a target`)
  return await components.alone(claimed.xname, async () => {
    if (!(await keep(assignment, step, look))) return undefined
    return await send(assignment, { target, resetType: step.resetType })
  })
}

async function send(
  { claimed, components, metrics, hurry }: Assignment,
  { target, resetType }: { target: string; resetType: string },
): Promise<Look> {
  const sent = `POST ${target} ${JSON.stringify({ ResetType: resetType })}`
  try {
    await components.resetNode(claimed.xname, { target, resetType }, hurry)
    return { observation: { kind: 'accepted' }, sent }
  } catch (error) {
    if (!(error instanceof RedfishError)) throw error
    metrics.deviceErrors.inc({ reason: error.kind })
    return { observation: observeFailure(error), sent }
  }
}

async function pause({ interrupt, now }: Assignment, until: Date): Promise<void> {
  const milliseconds = Math.max(0, until.getTime() - now().getTime())
  await sleep(milliseconds, undefined, { signal: interrupt.signal }).catch((error: unknown) => {
    if (!interrupt.signal.aborted) throw error
  })
}
