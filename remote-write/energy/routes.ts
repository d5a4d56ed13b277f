import type { Express, Request } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { findJob } from '../jobs/find.ts'
import { parse, query } from '../parameters.ts'
import { accountsCsv, energyByAccount } from './accounts.ts'
import { explainEnergy } from './explain.ts'
import { energyParts } from './parts.ts'
import { jobReadings, jobSuspensions, nodeSeconds, readingsCsv } from './readings.ts'

export interface EnergyRoutes {
  pool: Pool
  maxGapSeconds: number
  /** What the site's cooling takes, of what cabinets draw. */
  coolingRatio?: number | undefined
  now: () => Date
}

/** Some million readings at a reading every ten seconds, 50 MB. */
const mostNodeSeconds = 1e7

/** Adds what lies behind the energy of a job, and the energy of users and accounts by day. */
export function addEnergyRoutes(app: Express, routes: EnergyRoutes): void {
  const { pool, maxGapSeconds, coolingRatio, now } = routes
  app.get('/api/v1/jobs/:id/energy/readings', async (request, response) => {
    const { format } = parse(readingsQuery, request.query)
    const { jobId: id, runs } = await findJob(request, pool)
    const options = { asOf: now(), maxGapSeconds }
    if ((await query(nodeSeconds(pool, runs, options.asOf))) > mostNodeSeconds) {
      const message = `job ${id} held more than ${mostNodeSeconds} node-seconds: ask for its energy`
      throw new RequestError(413, 'too_large', message)
    }
    const pieces = await query(jobReadings(pool, runs, options))
    if (format === 'csv') response.type('text/csv').send(readingsCsv(pieces))
    else if (format === 'explain') {
      const suspensions = await query(jobSuspensions(pool, runs))
      const text = explainEnergy(id, pieces, { maxGapSeconds, suspensions })
      response.type('text/plain').send(`${text}\n`)
    } else response.send({ job_id: id, max_gap_seconds: maxGapSeconds, parts: pieces })
  })
  app.get('/api/v1/jobs/:id/energy/parts', async (request, response) => {
    const { jobId: id, runs } = await findJob(request, pool)
    const options = { asOf: now(), maxGapSeconds, coolingRatio }
    response.send({ job_id: id, ...(await query(energyParts(pool, runs, options))) })
  })
  app.get('/api/v1/energy/accounts', async (request: Request, response) => {
    const { from, to, format } = parse(days, request.query)
    const rows = await query(energyByAccount(pool, { from, to, maxGapSeconds }))
    if (format === 'csv') response.type('text/csv').send(accountsCsv(rows))
    else response.send({ days: rows })
  })
}

const readingsQuery = z.object({ format: z.enum(['json', 'csv', 'explain']).default('json') })

const day = z.iso.date('expected a day such as 2026-11-22')
const days = z
  .object({ from: day, to: day, format: z.enum(['json', 'csv']).default('json') })
  .refine(({ from, to }) => from <= to, { error: 'to: lies before from' })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) <= 31 * 86_400_000, {
    error: 'to: expected at most 31 days after from',
  })
