import type { Pool } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import type { Operation } from './operation.ts'
import { getTransition } from './records.ts'
import type { Command } from './task.ts'
import { abortText } from './transition.ts'

const abortTransitionSql = `
  update transition
  set abort_signaled_at = coalesce(abort_signaled_at, $2)
  where transition_id = $1
    and (abort_signaled_at is not null or exists (
      select from task
      where task.transition_id = transition.transition_id and state in ('new', 'in-progress')))`

/**
 * Asks for the end of a transition; no reset is sent from now on. Again for an aborted one is
 * the same.
 * @throws {RequestError} 404 if there is none, 400 if it has completed, as PCS does.
 */
export async function abortTransition(pool: Pool, id: string, now: Date): Promise<void> {
  const result = await pool.query(abortTransitionSql, [id, now])
  if (result.rowCount === 1) return
  await getTransition(pool, id)
  throw new RequestError(400, 'completed', `transition ${id} has completed: nothing to abort`)
}

/**
 * As the state machine cancels one task, with its step and its row in the audit. A command that is
 * leaving or on its way is left to whoever sends it: its outcome is noted first.
 */
const cancelTasksSql = `
  with chosen as (
    select task_id, operation
    from task join transition using (transition_id)
    where abort_signaled_at is not null and transition.ended_at is null
      and state in ('new', 'in-progress') and command <> 'sending'
    order by task_id
    for update of task skip locked
  ), cancelled as (
    update task
    set state = 'cancelled', description = $2 || description, error = $3, steps = steps + 1,
      started_at = coalesce(started_at, $1), ended_at = $1, lease_owner = null, lease_until = null
    from chosen
    where task.task_id = chosen.task_id
    returning task.*, chosen.operation
  ), step_kept as (
    insert into task_step (task_id, step, at, received, next, reason)
    select task_id, steps, $1, 'abort', 'finish', $4 from cancelled
  ), audited as (
    insert into audit (at, event, work_id, xname, operation, state_before, state_after, outcome,
      detail)
    select $1, 'ended', transition_id, xname, operation, observed_before, observed,
      state || ': ' || error, jsonb_build_object('reason', $4::text)
    from cancelled
  )
  select transition_id as "transitionId", xname, operation, command from cancelled`

export interface CancelledTask {
  transitionId: string
  xname: string
  operation: Operation
  /** Other than none: the device may have changed. */
  command: Command
}

/** Ends the open tasks of all aborted transitions, of whichever process, thousands at once. */
export async function cancelTasks(pool: Pool, now: Date): Promise<CancelledTask[]> {
  const { descriptionPrefix, error, reason } = abortText
  const values = [now, descriptionPrefix, error, reason]
  return (await pool.query<CancelledTask>(cancelTasksSql, values)).rows
}

const listAbortedSql = `
  select transition_id from transition where abort_signaled_at is not null and ended_at is null`

/** Transitions whose end was asked for, and has not been seen. */
export async function listAborted(pool: Pool): Promise<Set<string>> {
  const { rows } = await pool.query<{ transition_id: string }>(listAbortedSql)
  return new Set(rows.map(({ transition_id }) => transition_id))
}
