import type { Express, Request } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { findRuns } from '../jobs/job.ts'
import { instant, parse, query } from '../parameters.ts'
import { accountsCsv, energyByAccount } from './accounts.ts'
import { explainEnergy } from './explain.ts'
import { energyParts } from './parts.ts'
import { jobReadings, nodeSeconds, readingsCsv } from './readings.ts'

export interface EnergyRoutes {
  pool: Pool
  maxGapSeconds: number
  now: () => Date
}

/** Some million readings at a reading every ten seconds, 50 MB. */
const mostNodeSeconds = 1e7

/** Adds what lies behind the energy of a job, and the energy of users and accounts by day. */
export function addEnergyRoutes(app: Express, { pool, maxGapSeconds, now }: EnergyRoutes): void {
  app.get('/api/v1/jobs/:id/energy/readings', async (request, response) => {
    const { id, format, ...place } = parse(jobPlace, { ...request.params, ...request.query })
    const options = { asOf: now(), maxGapSeconds }
    const runs = await query(runsOf(pool, id, place))
    if ((await query(nodeSeconds(pool, runs, options.asOf))) > mostNodeSeconds) {
      const message = `job ${id} held more than ${mostNodeSeconds} node-seconds: ask for its energy`
      throw new RequestError(413, 'too_large', message)
    }
    const pieces = await query(jobReadings(pool, runs, options))
    if (format === 'csv') response.type('text/csv').send(readingsCsv(pieces))
    else if (format === 'explain') {
      response.type('text/plain').send(`${explainEnergy(id, pieces, maxGapSeconds)}\n`)
    } else response.send({ job_id: id, max_gap_seconds: maxGapSeconds, parts: pieces })
  })
  app.get('/api/v1/jobs/:id/energy/parts', async (request, response) => {
    const { id, ...place } = parse(jobPlace, { ...request.params, ...request.query })
    const runs = await query(runsOf(pool, id, place))
    const options = { asOf: now(), maxGapSeconds }
    response.send({ job_id: id, ...(await query(energyParts(pool, runs, options))) })
  })
  app.get('/api/v1/energy/accounts', async (request: Request, response) => {
    const { from, to, format } = parse(days, request.query)
    const rows = await query(energyByAccount(pool, { from, to, maxGapSeconds }))
    if (format === 'csv') response.type('text/csv').send(accountsCsv(rows))
    else response.send({ days: rows })
  })
}

const jobPlace = z.object({
  id: z
    .string()
    .regex(/^\d{1,15}$/, 'expected the number of a job')
    .transform(Number),
  cluster: z.string().optional(),
  at: instant.optional(),
  format: z.enum(['json', 'csv', 'explain']).default('json'),
})

const day = z.iso.date('expected a day such as 2026-11-22')
const days = z
  .object({ from: day, to: day, format: z.enum(['json', 'csv']).default('json') })
  .refine(({ from, to }) => from <= to, { error: 'to: lies before from' })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) <= 31 * 86_400_000, {
    error: 'to: expected at most 31 days after from',
  })

/** @throws {RequestError} 404 if there is no such job; 400 if several clusters have one. */
async function runsOf(
  pool: Pool,
  id: number,
  place: { cluster?: string | undefined; at?: Date | undefined },
): Promise<string[]> {
  const [found, other] = await findRuns(pool, id, place)
  if (!found) throw new RequestError(404, 'unknown_job', `nobody told of a job ${id}`)
  if (other) {
    const message = `job ${id} is in several clusters, add ?cluster= with one of them`
    throw new RequestError(400, 'ambiguous_job', message)
  }
  return found.runs
}
