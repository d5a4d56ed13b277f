import type { Pool } from 'pg'
import { jobTotals } from '../energy/energy.ts'

export interface EndedJobsOptions {
  maxGapSeconds: number
  now: () => Date
}

/** Jobs shown, those that ended last; and of those how many are computed at one scrape. */
const shown = 500
const computedAtOnce = 50
const shownMs = 60 * 60 * 1000
/** So long after its end late samples may still change a job's energy. */
const settleMs = 5 * 60 * 1000

/**
 * Energies of the jobs that ended within the last hour. Those that have settled are remembered,
 * and at most 50 are computed at a time, so that a scrape stays cheap.
 */
export class EndedJobs {
  readonly #pool: Pool
  readonly #options: EndedJobsOptions
  #settled = new Map<string, number | null>()

  constructor(pool: Pool, options: EndedJobsOptions) {
    this.#pool = pool
    this.#options = options
  }

  async energies(): Promise<{ labels: Record<string, string>; value: number }[]> {
    const now = this.#options.now()
    const jobs = await this.#select(now)
    const fresh = await this.#compute(jobs, now)
    const settled = new Map<string, number | null>()
    const series = jobs.flatMap((job) => {
      const joules = (this.#settled.has(job.key) ? this.#settled : fresh).get(job.key)
      if (joules === undefined) return []
      if (now.getTime() - job.ended_at.getTime() > settleMs) settled.set(job.key, joules)
      return joules === null ? [] : [{ labels: job.labels, value: joules }]
    })
    this.#settled = settled
    return series
  }

  async #select(now: Date): Promise<EndedJob[]> {
    const since = new Date(now.getTime() - shownMs)
    return (await this.#pool.query<EndedJob>(selectEnded, [since, now, shown])).rows
  }

  async #compute(jobs: readonly EndedJob[], asOf: Date): Promise<Map<string, number | null>> {
    // The oldest, which settle and are then known: so their turn comes to all.
    const unknown = jobs.filter(({ key }) => !this.#settled.has(key)).slice(-computedAtOnce)
    if (unknown.length === 0) return new Map()
    const { maxGapSeconds } = this.#options
    const runs = unknown.flatMap(({ runs }) => runs)
    const totals = await jobTotals(this.#pool, runs, { asOf, maxGapSeconds })
    return new Map(totals.map(({ cluster, job_id, joules }) => [`${cluster} ${job_id}`, joules]))
  }
}

interface EndedJob {
  key: string
  runs: string[]
  ended_at: Date
  labels: Record<string, string>
}

const selectEnded = `
  select format('%s %s', l.cluster, l.job_id) as key, l.ended_at,
    json_build_object('jobid', l.job_id::text, 'user', coalesce(l.user_name, ''),
      'account', coalesce(l.account, '')) as labels,
    array(
      select r.id from job r
      where r.cluster = l.cluster and r.job_id = l.job_id
        and r.started_at >= coalesce(l.first_started_at, r.started_at)
      order by r.started_at) as runs
  from job l
  where l.ended_at >= $1 and l.ended_at <= $2
    and not exists (
      select from job k
      where k.cluster = l.cluster and k.job_id = l.job_id and k.started_at > l.started_at)
  order by l.ended_at desc, l.id desc
  limit $3`
