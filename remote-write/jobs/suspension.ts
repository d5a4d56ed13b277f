import type { PoolClient } from 'pg'
import type { JobEvent } from './events.ts'

/** A run was halted in [started_at, ended_at); null: it still is. */
export interface Suspension {
  started_at: Date
  ended_at: Date | null
}

interface Stretch {
  startedAt: Date
  endedAt: Date | null
}

/**
 * When a run was suspended, by all events of its job, whatever their order. What is told twice
 * counts once: the first `suspend` and the first `resume` after it. Both at once change nothing.
 */
export function suspensionsOf({ startedAt, endedAt }: Stretch, events: readonly JobEvent[]) {
  // Accounting has whole seconds, where a start may have more.
  const firstMs = Math.floor(startedAt.getTime() / 1000) * 1000
  const lastMs = endedAt?.getTime() ?? Number.POSITIVE_INFINITY
  const halts = events
    .filter(({ type }) => type === 'suspend' || type === 'resume')
    .filter(({ time }) => time.getTime() >= firstMs && time.getTime() < lastMs)
  const timesOf = (word: string) =>
    new Set(halts.filter(({ type }) => type === word).map(({ time }) => time.getTime()))
  const [suspended, resumed] = [timesOf('suspend'), timesOf('resume')]
  const told = halts
    .filter(({ time: at }) => !suspended.has(at.getTime()) || !resumed.has(at.getTime()))
    .sort((a, b) => a.time.getTime() - b.time.getTime())
  const found: Suspension[] = []
  for (const { type, time } of told) {
    const open = found.at(-1)?.ended_at === null ? found.at(-1) : undefined
    if (type === 'resume' && open) open.ended_at = time
    if (type === 'suspend' && !open) {
      found.push({ started_at: time < startedAt ? startedAt : time, ended_at: null })
    }
  }
  return found
    .map(({ started_at, ended_at }) => ({ started_at, ended_at: ended_at ?? endedAt }))
    .filter(({ started_at, ended_at }) => ended_at === null || ended_at > started_at)
}

interface SuspendedRun {
  cluster: string
  job_id: number
  started_at: Date
  suspensions?: readonly Suspension[] | undefined
}

/** Brings the suspensions of runs, which are stored, up to date. */
export async function writeSuspensions(client: PoolClient, runs: readonly SuspendedRun[]) {
  const rows = runs.map(({ cluster, job_id, started_at, suspensions = [] }) => {
    return { cluster, job_id, started_at, suspensions }
  })
  await client.query(deleteSuspensions, [JSON.stringify(rows)])
  if (!rows.some(({ suspensions }) => suspensions.length > 0)) return
  await client.query(upsertSuspensions, [JSON.stringify(rows)])
}

const deleteSuspensions = `
  delete from suspension x
  using jsonb_to_recordset($1)
    as r (cluster text, job_id int8, started_at timestamptz, suspensions jsonb)
  join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
  where x.run = j.id and not exists (
    select from jsonb_to_recordset(r.suspensions) as s (started_at timestamptz)
    where s.started_at = x.started_at)`

const upsertSuspensions = `
  insert into suspension (run, started_at, ended_at)
  select j.id, s.started_at, s.ended_at
  from jsonb_to_recordset($1)
    as r (cluster text, job_id int8, started_at timestamptz, suspensions jsonb)
  join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
  cross join lateral jsonb_to_recordset(r.suspensions)
    as s (started_at timestamptz, ended_at timestamptz)
  on conflict (run, started_at) do update set ended_at = excluded.ended_at
  where suspension.ended_at is distinct from excluded.ended_at`
