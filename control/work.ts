import { setTimeout as sleep } from 'node:timers/promises'
import type { LimitFunction } from 'p-limit'
import type { Pool } from 'pg'
import { RedfishError } from '../exporter/redfish/error.ts'
import { inTransaction } from '../remote-write/postgres/transaction.ts'
import { type AuditEntry, audit } from './audit.ts'
import type { ClaimedTask } from './claim.ts'
import type { Hold } from './claim-loop.ts'
import type { Components } from './components.ts'
import { type Reset, requestOf } from './controller.ts'
import type { Exporters } from './exporters.ts'
import type { WorkMetrics } from './metrics.ts'
import { describe, observeFailure, observeSilence, observeSystem } from './observe.ts'
import { recordStep } from './queue.ts'
import { turnOf } from './sequence.ts'
import type { ResetAction } from './system.ts'
import type { Task } from './task.ts'
import { nextStep, type Observation, type Step } from './transition.ts'

/** What all tasks of a process are worked on with. */
export interface WorkContext {
  pool: Pool
  components: Components
  exporters: Exporters
  metrics: Pick<WorkMetrics, 'deviceErrors'>
  now: () => Date
  confirmSeconds: number
  /** Steps are kept so many at once: the rest of the pool is for claims and for the API. */
  keeping: LimitFunction
  /** The transitions whose end was asked for. */
  aborted: () => ReadonlySet<string>
}

/** A claimed task while this process works on it. */
export interface Assignment extends WorkContext, Hold {
  claimed: ClaimedTask
}

/** What has been learnt, and how. */
interface Look {
  observation: Observation
  sent: string | undefined
  /** How a reset is sent, when the component was read. */
  reset?: ResetAction | undefined
}

/** A look with when a step was decided on it, and the command that is about to leave. */
interface Taken extends Look {
  at: Date
  sending?: string
}

/**
 * Brings a task to its end or its next turn: looks, asks the state machine, keeps the step, takes
 * it. Undefined when the task is left to be claimed again: we are closing, or the step was not to
 * be taken.
 */
export async function workOn(assignment: Assignment): Promise<Task | undefined> {
  let { task } = assignment.claimed
  let reason: string | undefined
  let look = blocked(assignment) ?? (await read(assignment))
  while (look !== undefined) {
    const { confirmSeconds } = assignment
    const at = assignment.now()
    const step = nextStep(task, look.observation, { now: at, confirmSeconds })
    // A look that changes nothing leaves no row.
    const isNews = step.reason !== reason || !isSame(task, step.task)
    if (step.next === 'reset') {
      look = await reset(assignment, step, { ...look, at })
    } else {
      if (isNews && !(await keep(assignment, step, { ...look, at }))) return undefined
      if (step.next !== 'wait') return step.task
      await pause(assignment, step.until)
      look = await read(assignment)
    }
    task = step.task
    reason = step.reason
  }
  return undefined
}

/** What it has waited for may have ended so that it must not go on. */
function blocked({ claimed }: Assignment): Look | undefined {
  const turn = turnOf(claimed.task, claimed.relatives)
  if (claimed.aborted || typeof turn === 'string') return undefined
  return { observation: { kind: 'blocked', by: turn.blockedBy }, sent: undefined }
}

function isSame(a: Task, b: Task): boolean {
  return (Object.keys(b) as (keyof Task)[]).every((key) => a[key] === b[key])
}

/** A command and an end come with their row in the audit. */
async function keep(
  assignment: Assignment,
  step: Step,
  { observation, sent, at, sending }: Taken,
): Promise<boolean> {
  const { pool, claimed, lease } = assignment
  const taken = { at, sent, received: describe(observation), step }
  const place = { taskId: claimed.id, steps: claimed.steps, lease }
  const entry = auditEntry(claimed, step, { at, sending })
  const isKept = await assignment.keeping(async () => {
    if (entry === undefined) return await recordStep(pool, place, taken)
    return await inTransaction(pool, async (client) => {
      const isRecorded = await recordStep(client, place, taken)
      if (isRecorded) await audit(client, entry)
      return isRecorded
    })
  })
  if (isKept) claimed.steps++
  return isKept
}

function auditEntry(
  { transitionId: workId, xname }: ClaimedTask,
  { next, task, reason }: Step,
  { at, sending }: { at: Date; sending: string | undefined },
): AuditEntry | undefined {
  if (next !== 'reset' && next !== 'finish') return undefined
  const { operation, observed, observedBefore: before, state, error } = task
  const row = { at, workId, xname, operation }
  if (next === 'reset') return { ...row, event: 'sent', before: observed, sent: sending }
  const outcome = error === undefined ? state : `${state}: ${error}`
  return { ...row, event: 'ended', before, after: observed, outcome, detail: { reason } }
}

/** Asks the device; undefined when the task is to be left. */
async function read(assignment: Assignment): Promise<Look | undefined> {
  const { claimed, aborted, interrupt } = assignment
  if (!interrupt.aborted && !claimed.aborted) {
    const look = await readDevice(assignment)
    if (!interrupt.aborted) return look
  }
  const isAborted = claimed.aborted || aborted().has(claimed.transitionId)
  return isAborted ? { observation: { kind: 'abort' }, sent: undefined } : undefined
}

async function readDevice({ claimed, components, metrics, interrupt }: Assignment): Promise<Look> {
  try {
    const system = await components.read(claimed.xname, interrupt)
    const sent = system && `GET ${system.path}`
    return { observation: observeSystem(system), sent, reset: system?.reset }
  } catch (error) {
    if (!(error instanceof RedfishError)) throw error
    if (!interrupt.aborted) metrics.deviceErrors.inc({ reason: error.kind })
    return { observation: observeSilence(error), sent: `GET ${error.path}` }
  }
}

/** Keeps the step, then sends: so it is known later that the command may have left. */
async function reset(
  assignment: Assignment,
  step: Step & { next: 'reset' },
  look: Taken,
): Promise<Look | undefined> {
  const { components, claimed, exporters } = assignment
  const { reset } = look
  if (reset === undefined) throw new Error(`${claimed.xname}: a reset without a target`)
  return await components.alone(claimed.xname, async () => {
    await exporters.hold(claimed.device)
    try {
      const command = { ...reset, resetType: step.resetType }
      if (!(await keep(assignment, step, { ...look, sending: textOf(command) }))) return undefined
      return await send(assignment, command)
    } finally {
      exporters.release(claimed.device)
    }
  })
}

function textOf(reset: Reset): string {
  const { method, body } = requestOf(reset)
  return `${method} ${reset.target} ${JSON.stringify(body)}`
}

async function send(
  { claimed, components, metrics, hurry }: Assignment,
  reset: Reset,
): Promise<Look> {
  const sent = textOf(reset)
  try {
    await components.reset(claimed.xname, reset, hurry)
    return { observation: { kind: 'accepted' }, sent }
  } catch (error) {
    if (!(error instanceof RedfishError)) throw error
    metrics.deviceErrors.inc({ reason: error.kind })
    return { observation: observeFailure(error), sent }
  }
}

/** A tenth more at random: devices that were told at once are not all asked at once. */
async function pause({ interrupt, now }: Assignment, until: Date): Promise<void> {
  const milliseconds = Math.max(0, until.getTime() - now().getTime()) * (1 + Math.random() / 10)
  await sleep(milliseconds, undefined, { signal: interrupt }).catch((error: unknown) => {
    if (!interrupt.aborted) throw error
  })
}
