import type { Pool } from 'pg'
import { RequestError } from '../../exporter/service/request-error.ts'
import type { EnergyOptions } from '../energy/energy.ts'
import { filterValues, type JobFilter, latestRuns } from './job.ts'

/** Jobs of one ranking: 0.2 ms each where their energy is not kept, else a hundredth of that. */
const mostRanked = 50_000

/**
 * The latest runs of the jobs that pass the filter and used most, most first; unmeasured last.
 * @throws {RequestError} 400 when the filter lets too many pass.
 */
export async function mostEnergy(
  pool: Pool,
  filter: JobFilter,
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<string[]> {
  const values = filterValues({ ...filter, limit: mostRanked + 1 })
  const { rows } = await pool.query<{ runs: string[]; jobs: number }>(selectMost, [
    ...values,
    asOf,
    maxGapSeconds,
    filter.limit,
    mostRanked,
  ])
  const [{ runs, jobs } = { runs: [], jobs: 0 }] = rows
  if (jobs > mostRanked) {
    const message = `more than ${mostRanked} jobs: choose a later since, or a user`
    throw new RequestError(400, 'too_many_jobs', message)
  }
  return runs
}

const selectMost = `
  with latest as materialized (${latestRuns}),
  run as materialized (
    select r.id, l.id as latest
    from latest l
    join job r on r.cluster = l.cluster and r.job_id = l.job_id
      and r.started_at between coalesce(l.first_started_at, '-infinity') and l.started_at
    where (select count(*) from latest) <= $14
  ),
  total as (
    select r.latest, sum(e.joules) as joules
    from run_joules(array(select id from run), $11, $12) e
    join run r on r.id = e.run
    group by r.latest
  )
  select (select count(*)::int4 from latest) as jobs, array(
    select l.id from latest l
    left join total t on t.latest = l.id
    order by t.joules desc nulls last, l.started_at desc, l.id desc
    limit $13) as runs`
