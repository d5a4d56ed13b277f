import { randomUUID } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import { inTransaction } from '../remote-write/postgres/transaction.ts'
import type { Lease } from './claim-loop.ts'
import type { Action, Operation } from './operation.ts'
import type { PlannedTask } from './plan.ts'
import { lockCabinets, refuseHeld } from './reserve.ts'
import type { Step } from './transition.ts'

export interface NewTransition {
  request: {
    operation: Operation
    deadlineMinutes: number
    /** In place of the minutes, for some actions. */
    deadlineSeconds?: Readonly<Partial<Record<Action, number>>> | undefined
    /** Whether ForceOff may stand for a graceful off that is not offered. */
    forced?: boolean | undefined
    /** SHA-256 of all that was asked for. */
    digest: Buffer
  }
  tasks: readonly PlannedTask[]
  idempotencyKey: string | undefined
  createdAt: Date
  expiresAt: Date
}

export interface Accepted {
  transitionId: string
  operation: Operation
  /** False when the same request had come before, with the same key. */
  isNew: boolean
}

/**
 * Stores a transition and its tasks, all or nothing; when it answers they are durable. A
 * component that another transition is in the way of gets a failed one that names it.
 * @throws {RequestError} 422 when the idempotency key was used for another request.
 */
export async function createTransition(pool: Pool, transition: NewTransition): Promise<Accepted> {
  const { operation } = transition.request
  return await inTransaction(pool, async (client) => {
    const transitionId = await insertTransition(client, transition)
    if (transitionId === undefined) {
      return { transitionId: await findRepeated(client, transition), operation, isNew: false }
    }
    await insertTasks(client, transitionId, transition)
    return { transitionId, operation, isNew: true }
  })
}

const insertTransitionSql = `
  insert into transition (transition_id, operation, deadline_minutes, created_at, expires_at,
    idempotency_key, request_digest, deadline_seconds, forced)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
  on conflict (idempotency_key) do nothing
  returning transition_id`

async function insertTransition(
  client: PoolClient,
  { request, idempotencyKey, createdAt, expiresAt }: NewTransition,
): Promise<string | undefined> {
  const result = await client.query<{ transition_id: string }>(insertTransitionSql, [
    randomUUID(),
    request.operation,
    request.deadlineMinutes,
    createdAt,
    expiresAt,
    idempotencyKey ?? null,
    request.digest,
    request.deadlineSeconds ?? null,
    request.forced ?? false,
  ])
  return result.rows[0]?.transition_id
}

const findRepeatedSql = `
  select transition_id, request_digest = $2 as same from transition where idempotency_key = $1`

async function findRepeated(
  client: PoolClient,
  { request, idempotencyKey }: NewTransition,
): Promise<string> {
  const values = [idempotencyKey, request.digest]
  const result = await client.query<{ transition_id: string; same: boolean }>(
    findRepeatedSql,
    values,
  )
  const [found] = result.rows
  if (found?.same) return found.transition_id
  const message = `Idempotency-Key ${JSON.stringify(idempotencyKey)} was used for another request`
  throw new RequestError(422, 'idempotency_key_reused', message)
}

const insertTasksSql = `
  insert into task (transition_id, xname, device, state, description, error, ended_at, held_by,
    phase, parents, has_children)
  select $1::uuid, xname, device, state, description, error,
    case when state <> 'new' then $3::timestamptz end, held_by, phase, parents, has_children
  from jsonb_to_recordset($2::jsonb) as wanted (position int, xname text, device text,
    state text, description text, error text, held_by uuid, phase text, parents text[],
    has_children boolean)
  order by position`

async function insertTasks(
  client: PoolClient,
  transitionId: string,
  { request, tasks, createdAt }: NewTransition,
): Promise<void> {
  const wanted = tasks.filter(({ state }) => state === 'new').map(({ xname }) => xname)
  await lockCabinets(client, wanted)
  const decided = await refuseHeld(client, request.operation, tasks)
  const rows = decided.map(({ hasChildren = false, heldBy, ...task }, position) => ({
    phase: 'off',
    parents: [],
    ...task,
    position,
    held_by: heldBy,
    has_children: hasChildren,
  }))
  await client.query(insertTasksSql, [transitionId, JSON.stringify(rows), createdAt])
}

export interface TakenStep {
  at: Date
  /** The request to the device; undefined where none was made. */
  sent: string | undefined
  received: string
  step: Step
}

/** An abort keeps a reset from being recorded, and so from being sent. */
const recordStepSql = `
  with saved as (
    update task
    set state = $3, description = $4, error = $5, action = $6, reset_type = $7, command = $8,
      sent_at = $9, tries = $10, silences = $11, deadline_at = $12,
      started_at = coalesce(started_at, $13), steps = steps + 1,
      ended_at = case when $16 = 'finish' then $13::timestamptz end,
      lease_owner = case when $16 not in ('finish', 'yield') then $2::uuid end,
      lease_until = case when $16 not in ('finish', 'yield')
        then now() + make_interval(secs => $18) end,
      phase = $20, observed_before = $21, observed = $22, mark = $23, is_proven = $24,
      confirmed_by = $25
    where task_id = $1 and lease_owner = $2 and steps = $19
      and ($16 <> 'reset' or not exists (
        select from transition
        where transition.transition_id = task.transition_id and abort_signaled_at is not null))
    returning task_id, steps
  )
  insert into task_step (task_id, step, at, sent, received, next, reason)
  select task_id, steps, $13, $14, $15, $16, $17 from saved`

/**
 * Keeps a task and the step that changed it, which comes after `steps` others. False when it was
 * not kept, as the lease is or was another's, or the transition was aborted: then the step must
 * not be taken.
 */
export async function recordStep(
  client: Pick<PoolClient, 'query'>,
  { taskId, steps, lease }: { taskId: string; steps: number; lease: Lease },
  { at, sent, received, step }: TakenStep,
): Promise<boolean> {
  const { task } = step
  const result = await client.query(recordStepSql, [
    taskId,
    lease.owner,
    task.state,
    task.description,
    task.error ?? null,
    task.action ?? null,
    task.resetType ?? null,
    task.command,
    task.sentAt ?? null,
    task.tries,
    task.silences,
    task.deadlineAt ?? null,
    at,
    sent ?? null,
    received,
    step.next,
    step.reason,
    lease.seconds,
    steps,
    task.phase,
    task.observedBefore ?? null,
    task.observed ?? null,
    task.mark ?? null,
    task.isProven,
    task.confirmedBy ?? null,
  ])
  return result.rowCount === 1
}

const endTransitionsSql = `
  update transition
  set ended_at = $1
  from transition_summary as summary
  where transition.ended_at is null and summary.transition_id = transition.transition_id
    and summary.open = 0
  returning transition.operation, transition.created_at,
    case when summary.status = 'aborted' then 'aborted'
      when summary.succeeded = summary.total then 'succeeded'
      when summary.succeeded > 0 then 'partial' else 'failed' end as outcome`

export interface EndedTransition {
  operation: Operation
  outcome: 'succeeded' | 'partial' | 'failed' | 'aborted'
  created_at: Date
}

/** The transitions whose last task has ended, each told to one process once. */
export async function endTransitions(pool: Pool, now: Date): Promise<EndedTransition[]> {
  return (await pool.query<EndedTransition>(endTransitionsSql, [now])).rows
}

const deleteExpiredSql = `
  delete from transition
  where expires_at < $1
    and not exists (
      select from task
      where task.transition_id = transition.transition_id and state in ('new', 'in-progress'))`

/** Removes the records of ended transitions whose time is up; returns how many. */
export async function deleteExpired(pool: Pool, now: Date): Promise<number> {
  return (await pool.query(deleteExpiredSql, [now])).rowCount ?? 0
}
