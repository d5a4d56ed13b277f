import type { Pool } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import { withoutNulls } from './audit.ts'
import type { TaskCounts } from './openapi/schema.ts'
import type { Operation } from './operation.ts'
import type { Position } from './request.ts'
import type { PowerState } from './system.ts'
import type { TaskState } from './task.ts'

/** A transition as PCS shows it; times are RFC 3339. */
export interface TransitionSummary {
  transitionID: string
  operation: Operation
  createTime: Date
  automaticExpirationTime: Date
  transitionStatus: 'new' | 'in-progress' | 'completed' | 'aborted' | 'abort-signaled'
  taskCounts: TaskCounts
  /** Beside PCS's: how it went, once it has ended; `completed` alone does not tell. */
  result?: 'succeeded' | 'partial' | 'failed'
}

/** A task as PCS shows it, and after `error` what PCS does not tell. */
export interface TaskRecord {
  xname: string
  taskStatus: 'new' | 'in-progress' | 'failed' | 'succeeded' | 'unsupported'
  taskStatusDescription: string
  error?: string
  /** How it stands, with `timed-out` and `cancelled` told from `failed`. */
  state: TaskState
  /** The newest ResetType that was sent, and when. */
  resetType?: string
  sentTime?: Date
  startTime?: Date
  endTime?: Date
  /** PowerState that the device reported first and last. */
  powerStateBefore?: PowerState
  powerState?: PowerState
  /** What showed the state that it succeeded with; absent: nothing did. */
  confirmedBy?: 'power_state' | 'telemetry' | 'both'
  /** Measured before the last command and after the state was reached. */
  wattsBefore?: number
  wattsAfter?: number
  /** Those of this transition that it lies in: on after them, off before them. */
  parents?: string[]
  /** The transition that was at work on the component. */
  heldBy?: string
}

export interface StepRecord {
  time: Date
  sent?: string
  received: string
  next: 'reset' | 'wait' | 'yield' | 'finish'
  reason: string
}

const summaryColumns = `
  select transition_id as "transitionID", operation, created_at as "createTime",
    expires_at as "automaticExpirationTime", status as "transitionStatus",
    jsonb_build_object('total', total, 'new', new, 'in-progress', in_progress, 'failed', failed,
      'succeeded', succeeded, 'un-supported', unsupported) as "taskCounts",
    case when open > 0 then null when succeeded = total then 'succeeded'
      when succeeded > 0 then 'partial' else 'failed' end as result
  from transition_summary`

/** Which transitions are listed. */
export interface TransitionPage {
  limit: number
  /** The last of the page before. */
  after: Position | undefined
  status?: string | undefined
  xname?: string | undefined
  /** Created in [from, to). */
  from?: Date | undefined
  to?: Date | undefined
}

const listTransitionsSql = `
  ${summaryColumns}
  where ($2::timestamptz is null or (created_at, transition_id) < ($2, $3::uuid))
    and ($4::text is null or status = $4)
    and ($5::text is null or exists (
      select from task
      where task.transition_id = transition_summary.transition_id and task.xname = $5))
    and ($6::timestamptz is null or created_at >= $6)
    and ($7::timestamptz is null or created_at < $7)
  order by created_at desc, transition_id desc
  limit $1`

/** The newest first. */
export async function listTransitions(
  pool: Pool,
  { limit, after, status, xname, from, to }: TransitionPage,
): Promise<TransitionSummary[]> {
  const filters = [after?.at, after?.id, status, xname, from, to].map((value) => value ?? null)
  const { rows } = await pool.query<TransitionSummary>(listTransitionsSql, [limit, ...filters])
  return rows.map(withoutNulls)
}

const getTransitionSql = `${summaryColumns} where transition_id = $1`

/** @throws {RequestError} 404 if there is no such transition. */
export async function getTransition(pool: Pool, id: string): Promise<TransitionSummary> {
  const { rows } = await pool.query<TransitionSummary>(getTransitionSql, [id])
  const [transition] = rows
  if (!transition) throw new RequestError(404, 'not_found', `transition ${id} does not exist`)
  return withoutNulls(transition)
}

const listTasksSql = `
  select xname,
    case when state in ('timed-out', 'cancelled') then 'failed' else state end as "taskStatus",
    description as "taskStatusDescription", error, state, reset_type as "resetType",
    sent_at as "sentTime", started_at as "startTime", ended_at as "endTime",
    observed_before as "powerStateBefore", observed as "powerState",
    confirmed_by as "confirmedBy", watts_before as "wattsBefore", watts_after as "wattsAfter",
    nullif(parents, '{}') as parents, held_by as "heldBy"
  from task where transition_id = $1 order by task_id`

/** A transition's tasks, in the order of their places. */
export async function listTasks(pool: Pool, id: string): Promise<TaskRecord[]> {
  return (await pool.query<TaskRecord>(listTasksSql, [id])).rows.map(withoutNulls)
}

const listStepsSql = `
  select xname, at as "time", sent, received, next, reason
  from task_step join task using (task_id)
  where transition_id = $1 order by task_id, step`

/** Every step that was taken for a transition, by xname. */
export async function listSteps(pool: Pool, id: string): Promise<Map<string, StepRecord[]>> {
  const steps = new Map<string, StepRecord[]>()
  const { rows } = await pool.query<StepRecord & { xname: string }>(listStepsSql, [id])
  for (const { xname, ...step } of rows) {
    const ofTask = steps.get(xname) ?? []
    steps.set(xname, ofTask)
    ofTask.push(withoutNulls(step))
  }
  return steps
}

const oldestOpenSql = `
  select extract(epoch from $1 - min(created_at))::float8 as seconds
  from task join transition using (transition_id) where state in ('new', 'in-progress')`

/** Age of the oldest unfinished task in seconds; 0 when there is none. */
export async function oldestOpenSeconds(pool: Pool, now: Date): Promise<number> {
  const { rows } = await pool.query<{ seconds: number | null }>(oldestOpenSql, [now])
  return rows[0]?.seconds ?? 0
}
