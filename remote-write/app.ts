import type { Express, Request, Response } from 'express'
import type { Pool } from 'pg'
import type { Counter, Registry } from 'prom-client'
import { createApp, finishApp } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import { BodyReader } from './body.ts'
import type { JobMetrics } from './jobs/metrics.ts'
import { addJobRoutes } from './jobs/routes.ts'
import type { WriteMetrics } from './metrics.ts'
import { checkSchema } from './postgres/migrate.ts'
import { databaseError } from './postgres/sqlstate.ts'
import { checkEncoding, writeVersion } from './protocol/headers.ts'
import { decodeReadRequest, encodeReadResponse } from './protocol/read.ts'
import { compressBlock, uncompressBlock } from './protocol/snappy.ts'
import { readSamples } from './read.ts'
import type { RemoteWriteSettings } from './settings.ts'
import type { Receive, Written } from './write.ts'

export interface RemoteWriteApp {
  receive: Receive
  pool: Pool
  metrics: WriteMetrics
  jobMetrics: JobMetrics
  registry: Registry
  log: Logger
  settings: RemoteWriteSettings
}

/** The record's routes: samples in, samples out, jobs. */
export function remoteWriteApp(parts: RemoteWriteApp): Express {
  const { pool, registry, log, settings } = parts
  const app = createApp({ log, registry, ready: () => checkSchema(pool) })
  const bodies = new BodyReader(settings.limits.bodyBytes)
  app.post('/api/v1/write', (request, response) => write(request, response, parts, bodies))
  app.post('/api/v1/read', (request, response) => read(request, response, parts, bodies))
  for (const path of ['/api/v1/write', '/api/v1/read']) app.all(path, refuseMethod)
  const { maxGapSeconds } = settings.energy
  addJobRoutes(app, { pool, metrics: parts.jobMetrics, maxGapSeconds, now: () => new Date() })
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

/** Remote read with responses of the type SAMPLES. */
async function read(
  request: Request,
  response: Response,
  { pool, metrics, settings }: RemoteWriteApp,
  bodies: BodyReader,
): Promise<void> {
  countAnswer(response, metrics.readRequests)
  checkEncoding(request.get('content-encoding'))
  const { bodyBytes, decodedBytes, readSamples: maxSamples } = settings.limits
  const body = uncompressBlock(await bodies.read(request), Math.max(bodyBytes, decodedBytes))
  const { queries, takesSamples } = decodeReadRequest(body)
  if (!takesSamples) {
    throw new RequestError(400, 'response_type', 'the only response type here is SAMPLES')
  }
  const { results, samples } = await readSamples(pool, queries, {
    maxSamples,
    signal: leaving(response),
  }).catch((error: unknown) => {
    throw databaseError(error)
  })
  metrics.readSamples.inc(samples)
  response
    .set({ 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' })
    .send(await compressBlock(encodeReadResponse(results)))
}

function countAnswer(response: Response, counter: Counter<'code'>): void {
  response.once('finish', () => counter.inc({ code: String(response.statusCode) }))
}

/** Aborts when the client closes the connection before it has its answer. */
function leaving(response: Response): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => controller.abort())
  return controller.signal
}

function refuseMethod(request: Request, response: Response): never {
  response.set('allow', 'POST')
  throw new RequestError(405, 'method', `${request.path} takes POST, not ${request.method}`)
}
