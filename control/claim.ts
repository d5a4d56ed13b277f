import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../remote-write/postgres/transaction.ts'
import { withoutNulls } from './audit.ts'
import type { Lease } from './claim-loop.ts'
import type { Draws } from './draw.ts'
import { allowedNow, type TurnedOn } from './ramp.ts'
import { isController, type Relative } from './sequence.ts'
import { newTask, type Task } from './task.ts'
import type { RampSettings } from './transition-settings.ts'

/** A task that this process has a lease on. */
export interface ClaimedTask {
  id: string
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

/** How fast nodes may be turned on, and what each is counted as; more wait for their turn. */
export interface Ramp {
  settings: RampSettings
  draws: Draws
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
      const values = [lease.owner, most, ramped, lease.seconds]
      return (await client.query<ClaimedRow>(claimTasksSql, values)).rows.map(claimedTask)
    }
    if (ramp === undefined) return await claim(limit, null)
    const others = await claim(limit, false)
    const most = Math.min(limit - others.length, mostOnAtOnce)
    const { rows } = await client.query<{ xname: string }>(waitingSql, [lease.owner, most, true])
    const waiting = rows.map(({ xname }) => xname)
    return [...others, ...(await claim(await allowance(client, { waiting, ramp, now }), true))]
  })
}

/** Nodes turned on by one round of claims where there is a ramp: what they draw is looked up. */
const mostOnAtOnce = 200

/** Chosen at random; no other part of Joulebridge uses this number. */
const claimLock = 2_028_007_001

/** A node that is to be turned on, and has not been told yet. */
const isRamped = `task.phase = 'on' and task.command = 'none' and task.xname ~ 'n[0-9]+$'`

const turnedOnSql = `
  select xname, extract(epoch from $1::timestamptz - sent_at)::float8 as "secondsAgo"
  from task
  where action = 'on' and sent_at > $1::timestamptz - interval '1 minute'
    and xname ~ 'n[0-9]+$'
  union all
  select xname, 0 from task
  where lease_until > now() and state in ('new', 'in-progress') and ${isRamped}`

/** How many of the nodes that wait may be turned on now. */
async function allowance(
  client: PoolClient,
  { waiting, ramp, now }: { waiting: readonly string[]; ramp: Ramp; now: Date },
): Promise<number> {
  if (waiting.length === 0) return 0
  const { settings, draws } = ramp
  const recent = (await client.query<TurnedOn>(turnedOnSql, [now])).rows
  const all = [...waiting, ...recent.map(({ xname }) => xname)]
  const drawOf = settings.wattsPerMinute === undefined ? undefined : await draws(client, all, now)
  const wattsOf = (xname: string) => drawOf?.(xname).watts ?? 0
  return allowedNow({ waiting, recent, ramp: settings, wattsOf })
}

/**
 * Whose turn it is says `turnOf` in sequence.ts; here stand its two rules of waiting, which hold
 * for good once they are met: none below before its off, none around that has not ended.
 */
const claimable = `
  with awaited as materialized (
    select distinct transition_id, unnest(parents) as xname from task
    where state in ('new', 'in-progress') and phase = 'off' and parents <> '{}'
  ), claimable as (
    select task_id from task
    where state in ('new', 'in-progress')
      and (lease_until is null or lease_until <= now())
      and ($3::boolean is null or (${isRamped}) = $3)
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
    limit $2
    for update skip locked
  )`

const waitingSql = `
  ${claimable}
  select xname from claimable join task using (task_id) order by task_id`

const claimTasksSql = `
  ${claimable}
  update task
  set state = 'in-progress', lease_owner = $1, lease_until = now() + make_interval(secs => $4)
  from claimable, transition
  where task.task_id = claimable.task_id and transition.transition_id = task.transition_id
  returning task.task_id as id, task.transition_id as "transitionId", xname, device, steps,
    abort_signaled_at is not null as aborted, operation, deadline_minutes as "deadlineMinutes",
    deadline_seconds as "deadlineSeconds", expires_at as "expiresAt", forced,
    parents <> '{}' as "hasParents", has_children as "hasChildren", phase, state, description,
    error, action, reset_type as "resetType", command, sent_at as "sentAt", tries, silences,
    deadline_at as "deadlineAt", observed_before as "observedBefore", observed, mark,
    is_proven as "isProven",
    case when parents <> '{}' or has_children then (
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('xname', xname, 'relation', relation,
        'isOpen', state in ('new', 'in-progress'), 'phase', phase, 'observed', observed)))
      from (
        select 'parent' as relation, around.* from task as around
        where around.transition_id = task.transition_id and around.xname = any (task.parents)
        union all
        select 'child', within.* from task as within
        where task.has_children and within.transition_id = task.transition_id
          and task.xname = any (within.parents)
      ) as relative) end as relatives`

type ClaimedRow = Omit<ClaimedTask, 'task' | 'relatives'> & {
  relatives?: ClaimedTask['relatives']
} & Parameters<typeof newTask>[0]

function claimedTask(row: ClaimedRow): ClaimedTask {
  const known = withoutNulls(row)
  const { id, transitionId, xname, device, aborted, steps, relatives = [], ...given } = known
  const task = newTask({ ...given, isController: isController(xname) })
  return { id, transitionId, xname, device, aborted, steps, relatives, task }
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

const releaseTaskSql = `
  update task set lease_owner = null, lease_until = null
  where task_id = $2 and lease_owner = $1`

/** Leaves a task to whoever claims it next. */
export async function releaseTask(pool: Pool, lease: Lease, taskId: string): Promise<void> {
  await pool.query(releaseTaskSql, [lease.owner, taskId])
}
