import type { Pool } from 'pg'
import { RequestError } from '../../exporter/service/request-error.ts'
import { type EnergyOptions, jobTotals } from '../energy/energy.ts'
import { filterValues, type JobFilter, latestRuns } from './job.ts'

/** Jobs of one ranking; some 2 ms each the first time. */
const mostRanked = 20_000
const mostRemembered = 200_000
const jobsAtOnce = 500
/** Senders try again for some two hours: what comes later changes a rank no more. */
const settleMs = 3 * 60 * 60 * 1000

interface Candidate {
  /** Of its latest run. */
  id: string
  cluster: string
  job_id: string
  runs: string[]
  ended_at: Date | null
  /** Of the jobs that had its number, the latest being 1: energy is told by number. */
  nth: string
}

/** Jobs by their energy. Of those that ended long ago it is computed once. */
export class JobRanks {
  readonly #pool: Pool
  #settled = new Map<string, number | null>()

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /**
   * The latest runs of the jobs that pass the filter and used most, most first; unmeasured last.
   * @throws {RequestError} 400 when the filter lets too many pass.
   */
  async most(filter: JobFilter, options: EnergyOptions): Promise<string[]> {
    const candidates = await this.#candidates(filter)
    if (candidates.length > mostRanked) {
      const message = `more than ${mostRanked} jobs: choose a later since, or a user`
      throw new RequestError(400, 'too_many_jobs', message)
    }
    const joules = await this.#energies(candidates, options)
    return candidates
      .map(({ id }) => ({ id, joules: joules.get(id) ?? -1 }))
      .sort((a, b) => b.joules - a.joules)
      .slice(0, filter.limit)
      .map(({ id }) => id)
  }

  async #candidates(filter: JobFilter): Promise<Candidate[]> {
    const values = filterValues({ ...filter, limit: mostRanked + 1 })
    return (await this.#pool.query<Candidate>(selectCandidates, values)).rows
  }

  async #energies(candidates: readonly Candidate[], options: EnergyOptions) {
    const found = new Map<string, number | null>()
    const fresh: Candidate[] = []
    for (const candidate of candidates) {
      const known = this.#settled.get(keyOf(candidate))
      if (known === undefined) fresh.push(candidate)
      else found.set(candidate.id, known)
    }
    for (const some of portions(fresh)) {
      const totals = await jobTotals(
        this.#pool,
        some.flatMap(({ runs }) => runs),
        options,
      )
      const byJob = new Map(totals.map((total) => [nameOf(total), total.joules]))
      for (const candidate of some) {
        const joules = byJob.get(nameOf(candidate)) ?? null
        found.set(candidate.id, joules)
        if (isSettled(candidate, options.asOf)) this.#remember(keyOf(candidate), joules)
      }
    }
    return found
  }

  /** The oldest make room. */
  #remember(key: string, joules: number | null): void {
    this.#settled.set(key, joules)
    const [oldest] = this.#settled.keys()
    if (this.#settled.size > mostRemembered && oldest !== undefined) this.#settled.delete(oldest)
  }
}

const selectCandidates = `
  with latest as (
    select l.*, row_number() over (
      partition by l.cluster, l.job_id order by l.started_at desc) as nth
    from (${latestRuns}) l
  )
  select l.id, l.cluster, l.job_id, l.ended_at, l.nth, array_agg(r.id order by r.id) as runs
  from latest l
  join job r on r.cluster = l.cluster and r.job_id = l.job_id
    and r.started_at between coalesce(l.first_started_at, '-infinity') and l.started_at
  group by l.id, l.cluster, l.job_id, l.ended_at, l.nth
  order by l.nth`

/** At most 500 each, and no number twice in one. `candidates` go by `nth`. */
function* portions(candidates: readonly Candidate[]): Generator<Candidate[]> {
  let some: Candidate[] = []
  for (const candidate of candidates) {
    if (some.length === jobsAtOnce || (some[0] && some[0].nth !== candidate.nth)) {
      yield some
      some = []
    }
    some.push(candidate)
  }
  if (some.length > 0) yield some
}

/** Other runs, or another end that was told later, are another energy. */
function keyOf({ runs, ended_at }: Candidate): string {
  return `${runs.join()} ${ended_at?.getTime()}`
}

function nameOf({ cluster, job_id }: { cluster: string; job_id: string | number }): string {
  return `${job_id} ${cluster}`
}

function isSettled({ ended_at }: Candidate, now: Date): boolean {
  return ended_at !== null && now.getTime() - ended_at.getTime() > settleMs
}
