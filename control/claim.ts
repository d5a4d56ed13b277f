import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../remote-write/postgres/transaction.ts'
import type { Operation } from './operation.ts'
import type { Lease } from './queue.ts'
import { isController, type Relative } from './sequence.ts'
import type { Task } from './task.ts'

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
  /** Those that it has waited for, and those that it must not harm. */
  relatives: readonly Relative[]
}

/** How fast nodes may be turned on; more wait for their turn. */
export interface Ramp {
  nodesPerMinute: number
}

/**
 * Takes up to `limit` open tasks that nobody works on and whose turn it is, oldest first. All tasks
 * of one device go to one process at a time: claims are made one after the other, under an
 * advisory lock, so that several processes keep to one ramp too.
 */
export async function claimTasks(
  pool: Pool,
  lease: Lease,
  { limit, ramp, now }: { limit: number; ramp?: Ramp | undefined; now: Date },
): Promise<ClaimedTask[]> {
  return await inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [claimLock])
    const claim = async (most: number, ramped: boolean | null) => {
      if (most <= 0) return []
      const values = [lease.owner, lease.seconds, most, ramped]
      return (await client.query<ClaimedRow>(claimTasksSql, values)).rows.map(claimedTask)
    }
    if (ramp === undefined) return await claim(limit, null)
    const others = await claim(limit, false)
    const allowed = Math.min(limit - others.length, await allowance(client, ramp, now))
    return [...others, ...(await claim(allowed, true))]
  })
}

/** Chosen at random; no other part of Joulebridge uses this number. */
const claimLock = 2_028_007_001

/** A node that is to be turned on, and has not been told yet. */
const isRamped = `task.phase = 'on' and task.command = 'none' and task.xname ~ 'n[0-9]+$'`

const turnedOnSql = `
  select
    count(*) filter (where sent_at > $1::timestamptz - interval '10 seconds')::integer as lately,
    count(*) filter (where sent_at > $1::timestamptz - interval '1 minute')::integer as minute,
    (select count(*)::integer from task
      where lease_until > now() and state in ('new', 'in-progress') and ${isRamped}) as pending
  from task
  where action = 'on' and sent_at > $1::timestamptz - interval '1 minute'
    and xname ~ 'n[0-9]+$'`

/** Nodes that may be turned on now: so many in any minute, and a sixth in any ten seconds. */
async function allowance(client: PoolClient, { nodesPerMinute }: Ramp, now: Date): Promise<number> {
  type Row = { lately: number; minute: number; pending: number }
  const { rows } = await client.query<Row>(turnedOnSql, [now])
  const { lately = 0, minute = 0, pending = 0 } = rows[0] ?? {}
  const inMinute = Math.floor(nodesPerMinute) - minute
  const atOnce = Math.ceil(nodesPerMinute / 6) - lately
  return Math.max(0, Math.min(inMinute, atOnce) - pending)
}

/**
 * Whose turn it is says `turnOf` in sequence.ts; here stand its two rules of waiting, which hold
 * for good once they are met: none below before its off, none around that has not ended.
 */
const claimTasksSql = `
  with awaited as materialized (
    select distinct transition_id, unnest(parents) as xname from task
    where state in ('new', 'in-progress') and phase = 'off' and parents <> '{}'
  ), claimable as (
    select task_id from task
    where state in ('new', 'in-progress')
      and (lease_until is null or lease_until <= now())
      and ($4::boolean is null or (${isRamped}) = $4)
      and not exists (
        select from task as other
        where other.device = task.device and other.lease_until > now() and other.lease_owner <> $1)
      and (not has_children or not exists (
        select from awaited
        where awaited.transition_id = task.transition_id and awaited.xname = task.xname))
      and (phase = 'off' or parents = '{}' or not exists (
        select from task as parent
        where parent.transition_id = task.transition_id and parent.xname = any (task.parents)
          and parent.state in ('new', 'in-progress')))
    order by task_id
    limit $3
    for update skip locked
  )
  update task
  set state = 'in-progress', lease_owner = $1, lease_until = now() + make_interval(secs => $2)
  from claimable, transition
  where task.task_id = claimable.task_id and transition.transition_id = task.transition_id
  returning task.task_id, task.transition_id, xname, device,
    abort_signaled_at is not null as aborted, operation, deadline_minutes, deadline_seconds,
    expires_at, forced, parents <> '{}' as has_parents, has_children, phase, state, description,
    error, action, reset_type, command, sent_at, tries, silences, deadline_at, observed_before,
    observed, mark, is_proven, steps,
    case when parents <> '{}' or has_children then (
      select jsonb_agg(jsonb_build_object('xname', xname, 'relation', relation,
        'isOpen', state in ('new', 'in-progress'), 'phase', phase, 'observed', observed))
      from (
        select 'parent' as relation, around.* from task as around
        where around.transition_id = task.transition_id and around.xname = any (task.parents)
        union all
        select 'child', within.* from task as within
        where task.has_children and within.transition_id = task.transition_id
          and task.xname = any (within.parents)
      ) as relative) end as relatives`

interface ClaimedRow {
  task_id: string
  transition_id: string
  xname: string
  device: string
  aborted: boolean
  operation: Operation
  deadline_minutes: number
  deadline_seconds: Task['deadlineSeconds'] | null
  expires_at: Date
  forced: boolean
  has_parents: boolean
  has_children: boolean
  phase: Task['phase']
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
  observed_before: Task['observed'] | null
  observed: Task['observed'] | null
  mark: string | null
  is_proven: boolean
  steps: number
  relatives: (Omit<Relative, 'observed'> & { observed: Relative['observed'] | null })[] | null
}

function claimedTask(row: ClaimedRow): ClaimedTask {
  return {
    taskId: row.task_id,
    transitionId: row.transition_id,
    xname: row.xname,
    device: row.device,
    aborted: row.aborted,
    steps: row.steps,
    relatives: (row.relatives ?? []).map((relative) => ({
      ...relative,
      observed: relative.observed ?? undefined,
    })),
    task: {
      operation: row.operation,
      deadlineMinutes: row.deadline_minutes,
      deadlineSeconds: row.deadline_seconds ?? {},
      expiresAt: row.expires_at,
      forced: row.forced,
      isController: isController(row.xname),
      hasParents: row.has_parents,
      hasChildren: row.has_children,
      phase: row.phase,
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
      observedBefore: row.observed_before ?? undefined,
      observed: row.observed ?? undefined,
      mark: row.mark ?? undefined,
      isProven: row.is_proven,
      confirmedBy: undefined,
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
