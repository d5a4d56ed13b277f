import type { Pool } from 'pg'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Logger } from '../../exporter/service/log.ts'
import { EndedJobs } from './ended.ts'

export type JobMetrics = ReturnType<typeof registerJobMetrics>

export interface JobMetricsOptions {
  log: Logger
  maxGapSeconds: number
  now: () => Date
}

/** A value of a series, by its labels. */
export interface JobSeries {
  labels: Record<string, string>
  value: number
}

/**
 * The series that PromQL joins node power with: present while a node is a job's, so there are as
 * many as there are jobs and nodes in use, 100,000 of each kind at most. And what became of job
 * events.
 */
export function registerJobMetrics(registry: Registry, pool: Pool, options: JobMetricsOptions) {
  const registers = [registry]
  const ended = new EndedJobs(pool, options)
  const gauge = gaugeOf.bind(undefined, registry, options.log)
  gauge('cray_job_info', 'Always 1, while the job runs: whose it is.', {
    labels: ['jobid', 'slurm_cluster', 'user', 'account', 'partition'],
    read: () => readSeries(pool, runningJobs),
  })
  gauge('cray_job_node_info', "Always 1, while the node is the job's, whole or in part.", {
    labels: ['jobid', 'xname'],
    read: () => readSeries(pool, runningNodes),
  })
  gauge('cray_job_node_share_ratio', "The job's part of the node's cores; 1 where unknown.", {
    labels: ['jobid', 'xname'],
    read: () => readSeries(pool, runningShares),
  })
  gauge('cray_job_energy_joules', 'Energy of a job that ended within the last hour.', {
    labels: ['jobid', 'user', 'account'],
    read: () => ended.energies(),
  })
  return {
    accepted: new Counter({
      name: 'joulebridge_job_events_accepted_total',
      help: 'Job events stored, those included that were stored before.',
      registers,
    }),
    ignoredLabels: new Counter({
      name: 'joulebridge_job_labels_ignored_total',
      help: 'Labels of series that are named as those of jobs and have values that cannot be.',
      labelNames: ['reason'],
      registers,
    }),
    edgeNodes: new Counter({
      name: 'joulebridge_job_edge_nodes_total',
      help: 'Nodes whose counters exporters should read as a job started or ended, by the outcome.',
      labelNames: ['outcome'],
      registers,
    }),
    requests: new Counter({
      name: 'joulebridge_job_event_requests_total',
      help: 'Requests with job events, by the status they were answered with.',
      labelNames: ['code'],
      registers,
    }),
  }
}

interface GaugeSource {
  labels: string[]
  read: () => Promise<JobSeries[]>
}

/** A gauge that is read anew at each scrape; without the database it has no series. */
function gaugeOf(
  registry: Registry,
  log: Logger,
  name: string,
  help: string,
  { labels, read }: GaugeSource,
): void {
  new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    async collect() {
      const series = await read().catch((error: unknown) => {
        log.warn({ error, metric: name }, 'series of jobs not shown')
        return []
      })
      this.reset()
      for (const { labels, value } of series) this.set(labels, value)
    },
  })
}

const runningJobs = `
  select json_build_object('jobid', j.job_id::text, 'slurm_cluster', j.cluster,
      'user', coalesce(j.user_name, ''), 'account', coalesce(j.account, ''),
      'partition', coalesce(j.partition, '')) as labels,
    1 as value
  from job j
  where j.ended_at is null
  order by j.id desc
  limit $1`

const runningNodes = `
  select json_build_object('jobid', j.job_id::text, 'xname', a.xname) as labels, 1 as value
  from job j
  join allocation a on a.run = j.id and a.ended_at is null
  where j.ended_at is null and a.xname is not null
  order by j.id desc, a.node desc
  limit $1`

const runningShares = `
  select json_build_object('jobid', j.job_id::text, 'xname', a.xname) as labels, a.share as value
  from job j
  join allocation a on a.run = j.id and a.ended_at is null
  where j.ended_at is null and a.xname is not null
  order by j.id desc, a.node desc
  limit $1`

/** Of each kind: whole nodes of the largest system, in shares of ten. The latest jobs count. */
const mostSeries = 100_000

async function readSeries(pool: Pool, select: string): Promise<JobSeries[]> {
  return (await pool.query<JobSeries>(select, [mostSeries])).rows.reverse()
}
