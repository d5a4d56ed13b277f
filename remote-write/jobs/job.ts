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
  /** Within its runs; the job held its nodes all the same, and is charged for them. */
  suspended_seconds: number
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
  /** Only jobs that started before. */
  until?: Date | undefined
  /** Words, each in its number, user, account, name or state. */
  search?: string | undefined
  /** The place of a node that the latest run held. */
  xname?: string | undefined
  /** Ids of latest runs. */
  runs?: readonly string[] | undefined
  limit: number
}

/** The jobs that pass the filter with their energy, those that started last first. */
export async function listJobs(
  pool: Pool,
  filter: JobFilter,
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<Job[]> {
  const values = [...filterValues(filter), asOf, maxGapSeconds]
  const { rows } = await pool.query<JobRow>(selectJobs, values)
  return rows.map(toJob)
}

/** The parameters of `latestRuns`. */
export function filterValues(filter: JobFilter): unknown[] {
  const { jobId, cluster, user, state, since, limit, until, search, runs, xname } = filter
  const words = search?.toLowerCase().split(/\s+/)
  return [jobId, cluster, user, state, since, limit, until, words, runs, xname].map(
    (value) => value ?? null,
  )
}

/** The latest runs of the jobs that pass the filter. */
export const latestRuns = `
    select j.*
    from job j
    where ($1::int8 is null or j.job_id = $1)
      and ($2::text is null or j.cluster = $2)
      and ($3::text is null or j.user_name = $3)
      and ($4::text is null or (j.ended_at is null) = ($4 = 'running'))
      and ($5::timestamptz is null or j.ended_at is null or j.ended_at >= $5)
      and ($7::timestamptz is null or j.started_at < $7)
      and ($8::text[] is null or not exists (
        select from unnest($8::text[]) as w (word)
        where strpos(lower(concat_ws(' ', j.job_id, j.user_name, j.account, j.name,
          case when j.ended_at is null then 'running' else coalesce(j.state, 'ended') end)),
          w.word) = 0))
      and ($9::int8[] is null or j.id = any ($9))
      and ($10::text is null or exists (
        select from allocation a where a.run = j.id and a.xname = $10))
      -- A later job may have the same number.
      and not exists (
        select from job k
        where k.cluster = j.cluster and k.job_id = j.job_id and k.started_at > j.started_at
          and coalesce(k.first_started_at, j.started_at) <= j.started_at)
    order by j.started_at desc, j.id desc
    limit $6`

const selectJobs = `
  with latest as (
    select l.*, row_number() over (
      partition by l.cluster, l.job_id order by l.started_at desc) as nth
    from (${latestRuns}) l
  ),
  run as (
    select r.id, r.started_at, r.suspended_seconds, l.id as latest, l.nth
    from latest l
    join job r on r.cluster = l.cluster and r.job_id = l.job_id
      and r.started_at between coalesce(l.first_started_at, '-infinity') and l.started_at
  ),
  story as (
    select r.latest, count(*)::int4 as runs, min(r.started_at) as first_started_at,
      coalesce(sum(r.suspended_seconds), 0)::float8 as suspended_seconds
    from run r
    group by r.latest
  ),
  -- Energy is by number: of jobs with the same one at a time.
  energy as (
    select n.nth, e.*
    from (select r.nth, array_agg(r.id) as runs from run r group by r.nth) n
    cross join lateral job_energy(n.runs, $11, $12) e
    where e.whole
  )
  select l.job_id, l.cluster, l.user_name, l.account, l.partition, l.name, l.state, l.exit_code,
    l.submitted_at, s.first_started_at, l.ended_at, s.suspended_seconds, s.runs, l.array_job_id,
    l.array_task_id, l.het_job_id, l.het_job_offset, l.nodelist, l.source, e.joules, e.joules_low,
    e.joules_high, e.coverage_ratio, e.method, e.resets, e.nodes_expected, e.nodes_with_data
  from latest l
  join story s on s.latest = l.id
  join energy e on e.nth = l.nth and e.cluster = l.cluster and e.job_id = l.job_id
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
  suspended_seconds: number
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
    suspended_seconds: row.suspended_seconds,
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
 * The jobs with this number, one for each cluster that has one: where the number was used again the
 * latest, or the latest that began by `at`. Empty when nobody told of any.
 */
export async function findRuns(
  pool: Pool,
  jobId: number,
  { cluster, at }: { cluster?: string | undefined; at?: Date | undefined },
): Promise<JobRuns[]> {
  const { rows } = await pool.query<JobRuns>(
    `select j.cluster, array_agg(j.id order by j.started_at) as runs,
       (array_agg(j.source order by j.started_at desc))[1] as source
     from job j
     where j.job_id = $1 and ($2::text is null or j.cluster = $2)
       and ($3::timestamptz is null or coalesce(j.first_started_at, j.started_at) <= $3)
       and not exists (
         select from job k
         where k.job_id = j.job_id and k.cluster = j.cluster and k.first_started_at > j.started_at
           and ($3::timestamptz is null or k.first_started_at <= $3))
     group by j.cluster
     order by j.cluster`,
    [jobId, cluster ?? null, at ?? null],
  )
  return rows
}
