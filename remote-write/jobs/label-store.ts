import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../postgres/transaction.ts'
import { type JobFact, type JobLabelNames, placeNames } from './label.ts'
import { lockJobs, writeLabelRuns } from './record.ts'

export interface JobLabelSettings extends JobLabelNames {
  silenceSeconds: number
}

/** A stretch of job_label, but for its times. */
export type Stretch = Pick<JobFact, 'job_id' | 'cluster' | 'node' | 'step'>

/** In one transaction: jobs, whose nodes may be some thousand each, and stretches that end. */
const jobsAtOnce = 50
const closedAtOnce = 5000

/** Adds what was seen; see functions/job_label.sql. */
export async function keepLabels(
  pool: Pool,
  told: readonly object[],
  silenceSeconds: number,
): Promise<void> {
  await pool.query('select keep_job_labels($1, $2)', [JSON.stringify(told), silenceSeconds])
}

/** Whether there is anything for `settleLabels` to do: stretches to end, or jobs to write. */
export async function labelWork(
  pool: Pool,
  silentSince: Date,
): Promise<{ closing: boolean; pending: boolean }> {
  const { rows } = await pool.query<{ closing: boolean; pending: boolean }>(selectWork, [
    silentSince,
  ])
  return rows[0] ?? { closing: false, pending: false }
}

export interface SettleOptions {
  /** A stretch ends when its last sample is older than that, or a stale marker followed it. */
  silentSince: Date
  settings: JobLabelSettings
  /** Whether this process saw samples of it, and wrote down when the last was. */
  sampled: (stretch: Stretch) => boolean
}

/** Ends some stretches and brings some jobs up to date. Resolves to whether there may be more. */
export async function settleLabels(pool: Pool, options: SettleOptions): Promise<boolean> {
  return await inTransaction(pool, async (client) => {
    await client.query(lockJobs)
    await client.query(lockLabels)
    const closed = await closeSilent(client, options)
    const { rows } = await client.query<{ job_id: string }>(takePending, [jobsAtOnce])
    const jobIds = new Set(rows.map(({ job_id }) => Number(job_id)))
    const { silenceSeconds } = options.settings
    if (jobIds.size > 0) await writeLabelRuns(client, [...jobIds], silenceSeconds)
    return closed === closedAtOnce || jobIds.size === jobsAtOnce
  })
}

/**
 * A stretch of which we saw no sample was another receiver's, or ours before a restart: one that
 * may have died before it wrote down the last seconds.
 */
async function closeSilent(
  client: PoolClient,
  { silentSince, settings, sampled }: SettleOptions,
): Promise<number> {
  const { rows } = await client.query<StretchRow>(selectSilent, [silentSince, closedAtOnce])
  const others = rows.filter((row) => !sampled({ ...row, job_id: Number(row.job_id) }))
  if (others.length > 0) {
    const { silenceSeconds } = settings
    const names = placeNames(settings)
    await client.query(extendFromSamples, [JSON.stringify(others), silenceSeconds, names])
  }
  if (rows.length > 0) await client.query(closeStretches, [JSON.stringify(rows), silentSince])
  return rows.length
}

interface StretchRow extends Omit<Stretch, 'job_id'> {
  job_id: string
  first_at: Date
}

/** Held by whoever changes job_label, until its transaction ends. */
const lockLabels = `select pg_advisory_xact_lock(hashtext('joulebridge job labels'))`

const selectWork = `
  select
    exists (
      select from job_label l where l.open and (l.last_at < $1 or l.stale_at > l.last_at)
    ) as closing,
    exists (select from job_label l where l.pending) as pending`

const selectSilent = `
  select l.job_id, l.cluster, l.node, l.step, l.first_at
  from job_label l
  where l.open and (l.last_at < $1 or l.stale_at > l.last_at)
  order by l.job_id
  limit $2`

/** Frames are enough: a stretch ends long before its window is compacted. */
const extendFromSamples = `
  update job_label l
  set last_at = f.last_at, pending = true
  from (
    select o.job_id, o.cluster, o.node, o.step, o.first_at, max(sample.time) as last_at
    from jsonb_to_recordset($1) as r (
      job_id int8, cluster text, node text, step text, first_at timestamptz)
    join job_label o on (o.job_id, o.cluster, o.node, o.step, o.first_at)
      = (r.job_id, r.cluster, r.node, r.step, r.first_at)
    join series s on s.labels @> o.labels
      and s.labels - array(select jsonb_object_keys(o.labels)) = s.labels - $3::text[]
    cross join lateral (
      select f.time
      from frames f
      where f.frame = s.frame and f.v[s.position + 1] <> 'NaN'
        and f.time > o.last_at and f.time <= o.last_at + make_interval(secs => $2)
      order by f.time desc
      limit 1
    ) sample
    group by o.job_id, o.cluster, o.node, o.step, o.first_at
  ) f
  where (l.job_id, l.cluster, l.node, l.step, l.first_at)
      = (f.job_id, f.cluster, f.node, f.step, f.first_at)
    and f.last_at > l.last_at`

const closeStretches = `
  update job_label l
  set open = false, pending = true
  from jsonb_to_recordset($1) as r (
    job_id int8, cluster text, node text, step text, first_at timestamptz)
  where (l.job_id, l.cluster, l.node, l.step, l.first_at)
      = (r.job_id, r.cluster, r.node, r.step, r.first_at)
    and l.open and (l.last_at < $2 or l.stale_at > l.last_at)`

const takePending = `
  with picked as (
    select distinct l.job_id from job_label l where l.pending order by l.job_id limit $1
  )
  update job_label l
  set pending = false
  from picked p
  where l.job_id = p.job_id and l.pending
  returning l.job_id`
