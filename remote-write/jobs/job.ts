import type { Pool } from 'pg'
import { type EnergyOptions, type JobEnergy, pickJobEnergy } from '../energy/energy.ts'

/** A job as the API shows it: its latest run's facts, from its first start to its last end. */
export interface Job {
  job_id: number
  cluster: string
  user: string | null
  account: string | null
  partition: string | null
  name: string | null
  /** The scheduler's word; RUNNING while a run is open, ENDED when it did not tell how. */
  state: string
  exit_code: string | null
  submitted_at: Date | null
  started_at: Date
  ended_at: Date | null
  runs: number
  array_job_id: number | null
  array_task_id: number | null
  het_job_id: number | null
  het_job_offset: number | null
  nodes: number
  nodelist: string
  /** Who told of its start; `labels`: only the labels of samples. */
  source: string
  energy: JobEnergy
}

/** Which jobs to list; what is absent does not matter. */
export interface JobFilter {
  jobId?: number | undefined
  cluster?: string | undefined
  user?: string | undefined
  state?: 'running' | 'ended' | undefined
  /** Only jobs that still run or ended at this time or later. */
  since?: Date | undefined
  limit: number
}

/** The jobs that pass the filter with their energy, those that started last first. */
export async function listJobs(
  pool: Pool,
  { jobId, cluster, user, state, since, limit }: JobFilter,
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<Job[]> {
  const filter = [jobId, cluster, user, state, since].map((value) => value ?? null)
  const { rows } = await pool.query<JobRow>(selectJobs, [...filter, limit, asOf, maxGapSeconds])
  return rows.map(toJob)
}

const selectJobs = `
  with latest as (
    select j.*
    from job j
    where ($1::int8 is null or j.job_id = $1)
      and ($2::text is null or j.cluster = $2)
      and ($3::text is null or j.user_name = $3)
      and ($4::text is null or (j.ended_at is null) = ($4 = 'running'))
      and ($5::timestamptz is null or j.ended_at is null or j.ended_at >= $5)
      and not exists (
        select from job k
        where k.cluster = j.cluster and k.job_id = j.job_id and k.started_at > j.started_at)
    order by j.started_at desc, j.id desc
    limit $6
  ),
  run as (
    select r.id, r.cluster, r.job_id, r.started_at
    from latest l
    join job r on r.cluster = l.cluster and r.job_id = l.job_id
      -- Not those of an earlier job that had the same number.
      and r.started_at >= coalesce(l.first_started_at, r.started_at)
  ),
  story as (
    select r.cluster, r.job_id, count(*)::int4 as runs, min(r.started_at) as first_started_at
    from run r
    group by r.cluster, r.job_id
  )
  select l.job_id, l.cluster, l.user_name, l.account, l.partition, l.name, l.state, l.exit_code,
    l.submitted_at, s.first_started_at, l.ended_at, s.runs, l.array_job_id, l.array_task_id,
    l.het_job_id, l.het_job_offset, l.nodelist, l.source, e.joules, e.joules_low, e.joules_high,
    e.coverage_ratio, e.method, e.resets, e.nodes_expected, e.nodes_with_data
  from latest l
  join story s on s.cluster = l.cluster and s.job_id = l.job_id
  join job_energy(array(select r.id from run r), $7, $8) e
    on e.cluster = l.cluster and e.job_id = l.job_id and e.whole
  order by l.started_at desc, l.id desc`

/** As pg gives it: int8 as text. */
interface JobRow extends JobEnergy {
  job_id: string
  cluster: string
  user_name: string | null
  account: string | null
  partition: string | null
  name: string | null
  state: string | null
  exit_code: string | null
  submitted_at: Date | null
  first_started_at: Date
  ended_at: Date | null
  runs: number
  array_job_id: string | null
  array_task_id: string | null
  het_job_id: string | null
  het_job_offset: number | null
  nodelist: string
  source: string
}

function toJob(row: JobRow): Job {
  return {
    job_id: Number(row.job_id),
    cluster: row.cluster,
    user: row.user_name,
    account: row.account,
    partition: row.partition,
    name: row.name,
    state: row.ended_at === null ? 'RUNNING' : (row.state ?? 'ENDED'),
    exit_code: row.exit_code,
    submitted_at: row.submitted_at,
    started_at: row.first_started_at,
    ended_at: row.ended_at,
    runs: row.runs,
    array_job_id: toNumber(row.array_job_id),
    array_task_id: toNumber(row.array_task_id),
    het_job_id: toNumber(row.het_job_id),
    het_job_offset: row.het_job_offset,
    nodes: row.nodes_expected,
    nodelist: row.nodelist,
    source: row.source,
    energy: pickJobEnergy(row),
  }
}

function toNumber(text: string | null): number | null {
  return text === null ? null : Number(text)
}

/** The runs of one job, and who told of the latest. */
export interface JobRuns {
  cluster: string
  runs: string[]
  source: string
}

/**
 * The jobs with this number, one for each cluster that has one: the latest, where the number was
 * used again. Empty when nobody told of any.
 */
export async function findRuns(
  pool: Pool,
  jobId: number,
  cluster: string | undefined,
): Promise<JobRuns[]> {
  const { rows } = await pool.query<JobRuns>(
    `select j.cluster, array_agg(j.id order by j.started_at) as runs,
       (array_agg(j.source order by j.started_at desc))[1] as source
     from job j
     where j.job_id = $1 and ($2::text is null or j.cluster = $2)
       and not exists (
         select from job k
         where k.job_id = j.job_id and k.cluster = j.cluster and k.first_started_at > j.started_at)
     group by j.cluster
     order by j.cluster`,
    [jobId, cluster ?? null],
  )
  return rows
}
