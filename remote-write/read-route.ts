import type { Express, Request, Response } from 'express'
import type { Pool } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import { countAnswer, refuseMethod } from './answer.ts'
import type { BodyReader } from './body.ts'
import type { WriteMetrics } from './metrics.ts'
import { databaseError } from './postgres/sqlstate.ts'
import { checkEncoding } from './protocol/headers.ts'
import { decodeReadRequest, encodeReadResponse } from './protocol/read.ts'
import { compressBlock, uncompressBlock } from './protocol/snappy.ts'
import { readSamples } from './read.ts'
import type { RemoteWriteSettings } from './settings.ts'

export interface ReadParts {
  pool: Pool
  metrics: WriteMetrics
  settings: RemoteWriteSettings
}

/** Remote read: samples out, for Prometheus. */
export function addReadRoute(app: Express, parts: ReadParts, bodies: BodyReader): void {
  app.post('/api/v1/read', (request, response) => read(request, response, parts, bodies))
  app.all('/api/v1/read', refuseMethod)
}

/** Remote read with responses of the type SAMPLES. */
async function read(
  request: Request,
  response: Response,
  { pool, metrics, settings }: ReadParts,
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

/** Aborts when the client closes the connection before it has its answer. */
function leaving(response: Response): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => controller.abort())
  return controller.signal
}
