import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { type EnergyOptions, jobEnergy } from '../energy/energy.ts'
import { instant, parse, query } from '../parameters.ts'
import type { EdgeReader } from './edges.ts'
import { eventLimits, type JobEvent, parseEvents } from './events.ts'
import { findJob } from './find.ts'
import { listJobs } from './job.ts'
import type { JobMetrics } from './metrics.ts'
import { mostEnergy } from './rank.ts'
import { recordEvents } from './record.ts'
import { addJobcompRoute } from './slurm/route.ts'

export interface JobRoutes {
  pool: Pool
  metrics: JobMetrics
  maxGapSeconds: number
  silenceSeconds: number
  /** Who may tell of jobs. */
  guard: RequestHandler
  edges: EdgeReader
  now: () => Date
}

/** Adds `/api/v1/jobs`: what schedulers tell, which jobs there are, and their energy. */
export function addJobRoutes(app: Express, routes: JobRoutes): void {
  const { pool, guard } = routes
  const guards = [countAnswers(routes), guard]
  const readJson = express.json({ limit: eventLimits.bodyBytes })
  app.post('/api/v1/jobs/events', ...guards, readJson, (request, response) =>
    answerEvents(request, response, routes),
  )
  addJobcompRoute(app, { pool, guards, take: (events) => takeEvents(events, routes) })
  app.get('/api/v1/jobs', async (request, response) => {
    const { sort, ...filter } = parse(jobsQuery, request.query)
    const options = energyOptions(routes)
    if (sort === 'start') {
      response.send({ jobs: await query(listJobs(pool, filter, options)) })
      return
    }
    const runs = await query(mostEnergy(pool, filter, options))
    const jobs = await query(listJobs(pool, { runs, limit: filter.limit }, options))
    jobs.sort((a, b) => (b.energy.joules ?? -1) - (a.energy.joules ?? -1))
    response.send({ jobs })
  })
  app.get('/api/v1/jobs/:id', async (request, response) => {
    const { runs } = await findJob(request, pool)
    const filter = { runs: runs.slice(-1), limit: 1 }
    const [job] = await query(listJobs(pool, filter, energyOptions(routes)))
    response.send(job)
  })
  app.get('/api/v1/jobs/:id/energy', async (request, response) => {
    const { jobId, cluster, runs, source } = await findJob(request, pool)
    const { job, nodes } = await query(jobEnergy(pool, runs, energyOptions(routes)))
    response.send({ job_id: jobId, cluster, source, ...job, nodes })
  })
}

/** 200 when all events are stored; else none is, and the sender may send all of them again. */
async function answerEvents(request: Request, response: Response, routes: JobRoutes) {
  if (!request.is('application/json')) {
    throw new RequestError(415, 'content_type', 'expected Content-Type application/json')
  }
  const events = parseEvents(request.body)
  const unmapped = await takeEvents(events, routes)
  response.send({ accepted: events.length, unmapped_nodes: unmapped })
}

async function takeEvents(events: readonly JobEvent[], routes: JobRoutes): Promise<string[]> {
  const { pool, metrics, edges, silenceSeconds } = routes
  if (events.length === 0) return []
  const unmapped = await query(recordEvents(pool, events, silenceSeconds))
  metrics.accepted.inc(events.length)
  // The exporter is asked at once, but the scheduler does not wait for it.
  void edges.eventsTold(events)
  return unmapped
}

function countAnswers({ metrics }: JobRoutes) {
  return (_request: Request, response: Response, next: () => void) => {
    response.once('finish', () => metrics.requests.inc({ code: String(response.statusCode) }))
    next()
  }
}

const jobsQuery = z.object({
  state: z.enum(['running', 'ended']).optional(),
  user: z.string().optional(),
  cluster: z.string().optional(),
  since: instant.optional(),
  until: instant.optional(),
  search: z.string().max(200).optional(),
  xname: z.string().optional(),
  sort: z.enum(['start', 'energy']).default('start'),
  limit: z
    .string()
    .regex(/^([1-9]\d?|[1-4]\d\d|500)$/, 'expected a number from 1 to 500')
    .transform(Number)
    .default(100),
})

function energyOptions({ now, maxGapSeconds }: JobRoutes): EnergyOptions {
  return { asOf: now(), maxGapSeconds }
}
