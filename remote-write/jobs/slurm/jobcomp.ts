import { z } from 'zod'
import { type JobEvent, parseEvents } from '../events.ts'
import { cut } from './spool.ts'

const number = z.int().min(0)

/** What Slurm's jobcomp/elasticsearch posts of a run that ended: 22.05, `_make_json_job...`. */
const record = z.object({
  jobid: number,
  cluster: z.string(),
  '@start': z.string(),
  '@end': z.string(),
  '@submit': z.string().optional(),
  nodes: z.string().nullish(),
  username: z.string().optional(),
  user_id: number.optional(),
  account: z.string().optional(),
  partition: z.string().optional(),
  qos: z.string().optional(),
  job_name: z.string().optional(),
  total_cpus: number.optional(),
  state: z.string().optional(),
  exit_code: z.string().optional(),
  array_job_id: number.optional(),
  array_task_id: number.optional(),
  het_job_id: number.optional(),
  het_job_offset: number.optional(),
})

/**
 * The run that a record of jobcomp/elasticsearch tells of; none for a job that never got nodes. Its
 * times are UTC without saying so, and the state of a requeued run is PENDING. What sacct says of
 * the same run counts more: that has a db_index.
 * @throws {Error} naming what is missing or malformed.
 */
export function parseRecord(text: string): JobEvent[] {
  const result = record.safeParse(JSON.parse(text))
  if (!result.success) {
    const faults = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    throw new Error(faults.join('; '))
  }
  const { jobid: job_id, cluster, ...job } = result.data
  if (['', '(null)', 'None assigned'].includes(job.nodes ?? '')) return []
  const about = { cluster, job_id }
  const endedAt = utc(job['@end'])
  const run = {
    type: 'run',
    ...about,
    time: utc(job['@start']),
    ended_at: endedAt,
    told_at: endedAt,
    submitted_at: job['@submit'] && utc(job['@submit']),
    source: 'jobcomp',
    state: job.state === 'PENDING' ? 'REQUEUED' : job.state,
    exit_code: job.exit_code,
    user: job.username || undefined,
    uid: job.user_id,
    account: job.account || undefined,
    partition: job.partition || undefined,
    qos: job.qos || undefined,
    name: cut(job.job_name, 1024),
    nodelist: job.nodes,
    cpus: job.total_cpus,
    array_job_id: job.array_job_id,
    array_task_id: job.array_task_id,
    ...(job.het_job_id && { het_job_id: job.het_job_id, het_job_offset: job.het_job_offset }),
  }
  return parseEvents({ events: [run] })
}

function utc(text: string): string {
  return /[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`
}
