import { randomUUID } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import { inTransaction } from '../remote-write/postgres/transaction.ts'
import type { Operation } from './operation.ts'
import type { PlannedTask, TransitionRequest } from './request.ts'
import type { Step, Task } from './transition.ts'

export interface NewTransition {
  request: TransitionRequest
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
 * component with an open task gets a failed one that names the transition which holds it.
 * @throws {RequestError} 422 when the idempotency key was used for another request.
 */
export async function createTransition(pool: Pool, transition: NewTransition): Promise<Accepted> {
  const { operation } = transition.request
  return await inTransaction(pool, async (client) => {
    const transitionId = await insertTransition(client, transition)
    if (transitionId === undefined) {
      return { transitionId: await findRepeated(client, transition), operation, isNew: false }
    }
    await insertTasks(client, transitionId, transition.tasks, transition.createdAt)
    return { transitionId, operation, isNew: true }
  })
}

const insertTransitionSql = `
  insert into transition (transition_id, operation, deadline_minutes, created_at, expires_at,
    idempotency_key, request_digest)
  values ($1, $2, $3, $4, $5, $6, $7)
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

/** All requests have their tasks in the order of the xnames, so two of them cannot deadlock. */
const insertTasksSql = `
  with wanted as (
    select *
    from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) with ordinality
      as wanted (xname, device, state, description, error, position)
  ), inserted as (
    insert into task (transition_id, xname, device, state, description, error, ended_at)
    select $1::uuid, xname, device, state, description, error,
      case when state <> 'new' then $7::timestamptz end
    from wanted
    order by position
    on conflict do nothing
    returning xname
  )
  select xname, device from wanted where xname not in (select xname from inserted)`

const insertHeldSql = `
  insert into task (transition_id, xname, device, state, description, error, ended_at, held_by)
  select $1::uuid, held.xname, held.device, 'failed', 'Failed to achieve transition',
    'Unable to reserve component', $4::timestamptz, holder.transition_id
  from unnest($2::text[], $3::text[]) as held (xname, device)
  left join task as holder
    on holder.xname = held.xname and holder.state in ('new', 'in-progress')`

async function insertTasks(
  client: PoolClient,
  transitionId: string,
  tasks: readonly PlannedTask[],
  at: Date,
): Promise<void> {
  const columns = [
    tasks.map((task) => task.xname),
    tasks.map((task) => task.device ?? null),
    tasks.map((task) => task.state),
    tasks.map((task) => task.description),
    tasks.map((task) => task.error ?? null),
  ]
  type Held = { xname: string; device: string | null }
  const { rows } = await client.query<Held>(insertTasksSql, [transitionId, ...columns, at])
  if (rows.length === 0) return
  const held = [rows.map((row) => row.xname), rows.map((row) => row.device)]
  await client.query(insertHeldSql, [transitionId, ...held, at])
}

/** A task that this process has a lease on. */
export interface ClaimedTask {
  taskId: string
  transitionId: string
  xname: string
  /** xname of the controller. */
  device: string
  aborted: boolean
  /** How many steps were taken so far. */
  steps: number
  task: Task
}

export interface Lease {
  /** The process: a UUID of its own for each start. */
  owner: string
  seconds: number
}

/**
 * Takes up to `limit` open tasks that nobody works on, oldest first. All tasks of one device go
 * to one process at a time: claims are made one after the other, under an advisory lock.
 */
export async function claimTasks(pool: Pool, lease: Lease, limit: number): Promise<ClaimedTask[]> {
  return await inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [claimLock])
    const values = [lease.owner, lease.seconds, limit]
    const result = await client.query<ClaimedRow>(claimTasksSql, values)
    return result.rows.map(claimedTask)
  })
}

/** Chosen at random; no other part of Joulebridge uses this number. */
const claimLock = 2_028_007_001

const claimTasksSql = `
  with claimable as (
    select task_id from task
    where state in ('new', 'in-progress')
      and (lease_until is null or lease_until <= now())
      and not exists (
        select from task as other
        where other.device = task.device and other.lease_until > now() and other.lease_owner <> $1)
    order by task_id
    limit $3
    for update skip locked
  )
  update task
  set state = 'in-progress', lease_owner = $1, lease_until = now() + make_interval(secs => $2)
  from claimable, transition
  where task.task_id = claimable.task_id and transition.transition_id = task.transition_id
  returning task.task_id, task.transition_id, xname, device,
    abort_signaled_at is not null as aborted, operation, deadline_minutes, expires_at,
    state, description, error, action, reset_type, command,
    sent_at, tries, silences, deadline_at, steps`

interface ClaimedRow {
  task_id: string
  transition_id: string
  xname: string
  device: string
  aborted: boolean
  operation: Operation
  deadline_minutes: number
  expires_at: Date
  state: Task['state']
  description: string
  error: string | null
  action: Task['action'] | null
  reset_type: string | null
  command: Task['command']
  sent_at: Date | null
  tries: number
  silences: number
  deadline_at: Date | null
  steps: number
}

function claimedTask(row: ClaimedRow): ClaimedTask {
  return {
    taskId: row.task_id,
    transitionId: row.transition_id,
    xname: row.xname,
    device: row.device,
    aborted: row.aborted,
    steps: row.steps,
    task: {
      operation: row.operation,
      deadlineMinutes: row.deadline_minutes,
      expiresAt: row.expires_at,
      state: row.state,
      description: row.description,
      error: row.error ?? undefined,
      action: row.action ?? undefined,
      resetType: row.reset_type ?? undefined,
      command: row.command,
      sentAt: row.sent_at ?? undefined,
      tries: row.tries,
      silences: row.silences,
      deadlineAt: row.deadline_at ?? undefined,
    },
  }
}

const renewLeasesSql = `
  update task set lease_until = now() + make_interval(secs => $2)
  where task_id = any ($3::bigint[]) and lease_owner = $1
  returning task_id`

/** Keeps the tasks; one that is not in the answer is another's by now, or has ended. */
export async function renewLeases(
  pool: Pool,
  lease: Lease,
  taskIds: readonly string[],
): Promise<Set<string>> {
  const values = [lease.owner, lease.seconds, taskIds]
  const result = await pool.query<{ task_id: string }>(renewLeasesSql, values)
  return new Set(result.rows.map(({ task_id }) => task_id))
}

const releaseTasksSql = `
  update task set lease_owner = null, lease_until = null
  where task_id = any ($2::bigint[]) and lease_owner = $1`

/** Leaves tasks to whoever claims them next. */
export async function releaseTasks(
  pool: Pool,
  lease: Lease,
  taskIds: readonly string[],
): Promise<void> {
  await pool.query(releaseTasksSql, [lease.owner, taskIds])
}

const abortedAmongSql = `
  select transition_id from transition
  where transition_id = any ($1::uuid[]) and abort_signaled_at is not null`

/** Those of the transitions whose end was asked for. */
export async function abortedAmong(pool: Pool, ids: ReadonlySet<string>): Promise<Set<string>> {
  const result = await pool.query<{ transition_id: string }>(abortedAmongSql, [[...ids]])
  return new Set(result.rows.map(({ transition_id }) => transition_id))
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
      lease_owner = case when $16 <> 'finish' then $2::uuid end,
      lease_until = case when $16 <> 'finish' then now() + make_interval(secs => $18) end
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
  pool: Pool,
  { taskId, steps, lease }: { taskId: string; steps: number; lease: Lease },
  { at, sent, received, step }: TakenStep,
): Promise<boolean> {
  const { task } = step
  const result = await pool.query(recordStepSql, [
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
  ])
  return result.rowCount === 1
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
