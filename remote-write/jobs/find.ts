import type { Request } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { instant, parse, query } from '../parameters.ts'
import { findRuns, type JobRuns } from './job.ts'

const jobPlace = z.object({
  id: z
    .string()
    .regex(/^\d{1,15}$/, 'expected the number of a job')
    .transform(Number),
  cluster: z.string().optional(),
  at: instant.optional(),
})

/**
 * The job that the path, `?cluster=` and `?at=` name: Slurm uses numbers again.
 * @throws {RequestError} 404 if there is none; 400 if several clusters have one with this number.
 */
export async function findJob(
  { params, query: { cluster, at } }: Request,
  pool: Pool,
): Promise<JobRuns & { jobId: number }> {
  const place = parse(jobPlace, { ...params, cluster, at })
  const jobs = await query(findRuns(pool, place.id, place))
  const [found, other] = jobs
  if (!found) {
    const where =
      (place.cluster === undefined ? '' : ` in cluster ${place.cluster}`) +
      (place.at === undefined ? '' : ` that began by ${place.at.toISOString()}`)
    throw new RequestError(404, 'unknown_job', `nobody told of a job ${place.id}${where}`)
  }
  if (other) {
    const names = jobs.map(({ cluster }) => cluster).join(', ')
    const message = `job ${place.id} is in several clusters, add ?cluster= with one of: ${names}`
    throw new RequestError(400, 'ambiguous_job', message)
  }
  return { jobId: place.id, ...found }
}
