import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Express, Request, Response } from 'express'
import pLimit from 'p-limit'
import type { Pool } from 'pg'
import type { Logger } from '../exporter/service/log.ts'
import { UnavailableError } from '../exporter/service/request-error.ts'
import { countAnswer, refuseMethod } from './answer.ts'
import type { BodyReader } from './body.ts'
import type { WriteMetrics } from './metrics.ts'
import { databaseError } from './postgres/sqlstate.ts'
import { checkEncoding } from './protocol/headers.ts'
import {
  addTimeSeries,
  decodeReadRequest,
  encodeReadResponse,
  type ReadRequest,
  type ResponseType,
} from './protocol/read.ts'
import { seriesFrames, streamedType } from './protocol/read-chunks.ts'
import { compressBlock, uncompressBlock } from './protocol/snappy.ts'
import { WireWriter } from './protocol/wire.ts'
import { type ReadBatch, readBatches } from './read.ts'
import { SeriesFinder } from './read-series.ts'
import type { RemoteWriteSettings } from './settings.ts'

export interface ReadParts {
  pool: Pool
  metrics: WriteMetrics
  settings: RemoteWriteSettings
  log: Logger
}

/** Remote read: samples out, for Prometheus. */
export function addReadRoute(app: Express, parts: ReadParts, bodies: BodyReader): void {
  const finder = new SeriesFinder()
  const { limits, postgres } = parts.settings
  // One connection is left over, by which a read can be cancelled.
  const limit = pLimit(Math.min(limits.readsAtOnce, postgres.maxConnections - 1))
  app.post('/api/v1/read', async (request, response) => {
    const { metrics } = parts
    countAnswer(response, metrics.readRequests)
    const read = await readRequest(request, parts, bodies)
    if (limit.pendingCount >= mostWaiting) throw tooMany(limit.pendingCount)
    countEnd(response, metrics, read.type)
    const end = endOf(response, limits.readSeconds)
    try {
      await limit(() => answer(response, { ...parts, ...read, finder, signal: end.signal }))
    } catch (error) {
      if (!response.destroyed) throw error
    } finally {
      end.forget()
    }
  })
  app.all('/api/v1/read', refuseMethod)
}

/** Reads that wait until others have ended. */
const mostWaiting = 100

function tooMany(waiting: number): UnavailableError {
  return new UnavailableError('overloaded', `${waiting} remote reads wait for others to end`)
}

/** Aborts when the client leaves before it has its answer, and when that takes too long. */
function endOf(response: Response, seconds: number): { signal: AbortSignal; forget(): void } {
  const controller = new AbortController()
  const abort = (code: string, message: string) => {
    controller.abort(new UnavailableError(code, message))
  }
  response.once('close', () => abort('client_left', 'the client has left'))
  const timer = setTimeout(() => {
    const message = `the answer took more than ${seconds} s: ask for less time or fewer series`
    abort('read_timeout', message)
  }, seconds * 1000)
  return { signal: controller.signal, forget: () => clearTimeout(timer) }
}

async function readRequest(
  request: Request,
  { settings }: ReadParts,
  bodies: BodyReader,
): Promise<ReadRequest> {
  checkEncoding(request.get('content-encoding'))
  const { bodyBytes, decodedBytes } = settings.limits
  const body = uncompressBlock(await bodies.read(request), Math.max(bodyBytes, decodedBytes))
  return decodeReadRequest(body)
}

function countEnd(response: Response, metrics: WriteMetrics, type: ResponseType): void {
  const stop = metrics.readDuration.startTimer({ type })
  response.once('close', () => {
    const answered = response.statusCode === 200 ? 'whole' : 'refused'
    const outcome = response.writableFinished ? answered : 'broken off'
    metrics.readAnswers.inc({ type, outcome })
    stop()
  })
}

interface Asked extends ReadParts, ReadRequest {
  finder: SeriesFinder
  signal: AbortSignal
}

async function answer(response: Response, asked: Asked): Promise<void> {
  const { pool, queries, finder, signal, metrics } = asked
  const { readSamples: maxSamples, readSeconds: timeoutSeconds } = asked.settings.limits
  const options = { finder, maxSamples, timeoutSeconds, signal }
  const batches = counted(readBatches(pool, queries, options), metrics)
  if (asked.type === 'samples') await sendSamples(response, queries.length, batches)
  else await sendStreamed(response, batches, asked)
}

/** The batches, with the samples in them counted and what the database says judged. */
async function* counted(
  batches: AsyncIterable<ReadBatch>,
  metrics: WriteMetrics,
): AsyncGenerator<ReadBatch> {
  try {
    for await (const batch of batches) {
      for (const { samples, histograms } of batch.series) {
        metrics.readSamples.inc(samples.count + histograms.length)
      }
      yield batch
    }
  } catch (error) {
    throw databaseError(error)
  }
}

async function sendSamples(
  response: Response,
  queries: number,
  batches: AsyncIterable<ReadBatch>,
): Promise<void> {
  const results = Array.from({ length: queries }, () => new WireWriter())
  for await (const { query, series } of batches) {
    const result = results[query]
    if (result) for (const one of series) addTimeSeries(result, one)
  }
  const body = await compressBlock(encodeReadResponse(results))
  response.set({ 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' })
  response.send(body)
}

/**
 * A failure has an answer of its own as long as what there is of the answer is held back. After
 * that the connection breaks, or the client would take a part for the whole.
 */
async function sendStreamed(
  response: Response,
  batches: AsyncIterable<ReadBatch>,
  { signal, log }: Asked,
): Promise<void> {
  const pieces = encode(batches)
  const held: Buffer[] = []
  for (let bytes = 0; bytes < heldBytes; ) {
    const next = await pieces.next()
    if (next.done) break
    held.push(next.value)
    bytes += next.value.length
  }
  response.set('content-type', streamedType)
  try {
    const all = Readable.from(inTurn(held, pieces), { objectMode: false })
    // The signal ends an answer that the client does not take.
    await pipeline(all, response, { signal })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const reason: unknown = code === 'ABORT_ERR' ? signal.reason : error
    const left = reason instanceof UnavailableError && reason.code === 'client_left'
    if (!left && code !== leftEarly) log.warn({ error: reason }, 'remote read broken off')
  }
}

const heldBytes = 1024 * 1024

/** What `pipeline` says when the response is closed before its end. */
const leftEarly = 'ERR_STREAM_PREMATURE_CLOSE'

/** Bytes that are handed over at a time: enough that each is worth a system call. */
const pieceBytes = 64 * 1024

async function* inTurn(
  held: readonly Buffer[],
  rest: AsyncGenerator<Buffer>,
): AsyncGenerator<Buffer> {
  try {
    yield* held
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}

async function* encode(batches: AsyncIterable<ReadBatch>): AsyncGenerator<Buffer> {
  for await (const batch of batches) yield* encodeBatch(batch)
}

function* encodeBatch({ query, series }: ReadBatch): Iterable<Buffer> {
  let parts: Buffer[] = []
  let length = 0
  for (const one of series) {
    for (const part of seriesFrames(query, one)) {
      parts.push(part)
      length += part.length
    }
    if (length < pieceBytes) continue
    yield Buffer.concat(parts, length)
    parts = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(parts, length)
}
