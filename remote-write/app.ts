import type { Express, Request, Response } from 'express'
import type { Pool } from 'pg'
import type { Registry } from 'prom-client'
import { addPage } from '../dashboards/page/serve.ts'
import { createApp, finishApp } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { countAnswer, countRefusal, refuseMethod } from './answer.ts'
import { BodyReader } from './body.ts'
import { addCapmcRoutes } from './capmc/routes.ts'
import { addEnergyRoutes } from './energy/routes.ts'
import { mayTellJobs } from './jobs/authorize.ts'
import type { EdgeReader } from './jobs/edges.ts'
import type { JobMetrics } from './jobs/metrics.ts'
import { addJobRoutes } from './jobs/routes.ts'
import type { WriteMetrics } from './metrics.ts'
import { addOpenapi } from './openapi.ts'
import { addAlertRoutes } from './overview/alert-route.ts'
import { addOverviewRoutes } from './overview/route.ts'
import { checkSchema } from './postgres/migrate.ts'
import { writeVersion } from './protocol/headers.ts'
import { addReadRoute } from './read-route.ts'
import type { RemoteWriteSettings } from './settings.ts'
import type { StorageCache } from './storage/metrics.ts'
import { addStorageRoute } from './storage/route.ts'
import type { Receive, Written } from './write.ts'

export interface RemoteWriteApp {
  receive: Receive
  pool: Pool
  metrics: WriteMetrics
  jobMetrics: JobMetrics
  registry: Registry
  log: Logger
  settings: RemoteWriteSettings
  storage: StorageCache
  edges: EdgeReader
  env: NodeJS.ProcessEnv
}

/** The record's routes: samples in, samples out, jobs. */
export function remoteWriteApp(parts: RemoteWriteApp): Express {
  const { pool, registry, log, settings, metrics } = parts
  const app = createApp({ log, registry, ready: () => checkSchema(pool) })
  const bodies = new BodyReader(settings.limits.bodyBytes)
  app.post('/api/v1/write', (request, response) =>
    countRefusal(write(request, response, parts, bodies), metrics.refusedRequests),
  )
  app.all('/api/v1/write', refuseMethod)
  addReadRoute(app, parts, bodies)
  const { maxGapSeconds, coolingRatio } = settings.energy
  const { silenceSeconds } = settings.jobLabels
  const guard = mayTellJobs(settings.token, parts.env)
  const { edges } = parts
  const jobs = { pool, metrics: parts.jobMetrics, maxGapSeconds, silenceSeconds, guard, edges }
  addJobRoutes(app, { ...jobs, now: () => new Date() })
  addEnergyRoutes(app, { pool, maxGapSeconds, coolingRatio, now: () => new Date() })
  addCapmcRoutes(app, { pool, maxGapSeconds, site: settings.capmc, now: () => new Date() })
  addStorageRoute(app, parts.storage)
  addOpenapi(app)
  addOverviewRoutes(app, pool)
  addAlertRoutes(app, pool, { settings: settings.alerts, env: parts.env })
  const { controlUrl: otherUrl, ...factors } = settings.page
  addPage(app, { service: 'record', otherUrl, ...factors })
  return finishApp(app, log)
}

/**
 * Remote write 1.0 and 2.0. 204: all is on disk. 400: what is not stored never can be, the rest is
 * on disk. 503: send all of it again.
 */
async function write(
  request: Request,
  response: Response,
  { receive, metrics }: RemoteWriteApp,
  bodies: BodyReader,
): Promise<void> {
  countAnswer(response, metrics.writeRequests)
  const version = writeVersion(request.get('content-type'), request.get('content-encoding'))
  const written = await receive(await bodies.read(request), version, new Date())
  if (version === '2.0') response.set(writtenHeaders(written))
  if (written.rejection) throw written.rejection
  response.status(204).end()
}

/** What is on disk (Remote-Write 2.0, "Required Written Response Headers"); absent: nothing. */
function writtenHeaders({ samples, histograms, exemplars }: Written): Record<string, string> {
  return {
    'x-prometheus-remote-write-samples-written': String(samples),
    'x-prometheus-remote-write-histograms-written': String(histograms),
    'x-prometheus-remote-write-exemplars-written': String(exemplars),
  }
}
