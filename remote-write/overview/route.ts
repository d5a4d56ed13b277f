import type { Express } from 'express'
import type { Pool } from 'pg'
import { z } from 'zod'
import { RequestError } from '../../exporter/service/request-error.ts'
import { instant, parse, query } from '../parameters.ts'
import { cabinetHistory, nodeHistory, readOverview } from './overview.ts'
import { shared } from './shared.ts'

/** Adds `/api/v1/overview` and the power histories: what the page draws. */
export function addOverviewRoutes(app: Express, pool: Pool): void {
  const overview = shared(5000, () => readOverview(pool, new Date()))
  app.get('/api/v1/overview', async (_request, response) => {
    response.send(await query(overview()))
  })
  app.get('/api/v1/overview/power', async (request, response) => {
    const { hours, points } = parse(span, request.query)
    const to = new Date()
    const from = new Date(to.getTime() - hours * 3_600_000)
    const stepSeconds = (hours * 3600) / points
    response.send(await query(cabinetHistory(pool, { from, to, stepSeconds })))
  })
  app.get('/api/v1/nodes/power', async (request, response) => {
    const { xname, from, to, points } = parse(nodeSpan, request.query)
    const seconds = (to.getTime() - from.getTime()) / 1000
    if (seconds <= 0) throw new RequestError(400, 'bad_parameter', 'to: not later than from')
    const interval = { from, to, stepSeconds: Math.max(seconds / points, 30) }
    response.send(await query(nodeHistory(pool, xname, interval)))
  })
}

const points = z.coerce.number().int().min(1).max(1000).default(200)

const span = z.object({ hours: z.coerce.number().positive().max(168).default(6), points })

/** At most 512 nodes, whose lines nobody tells apart any more; steps that hold a scrape. */
const nodeSpan = z.object({
  xname: z
    .union([z.string(), z.array(z.string())])
    .transform((names) => (Array.isArray(names) ? names : [names]))
    .pipe(z.array(z.string()).max(512)),
  from: instant,
  to: instant,
  points,
})
