import type { Pool } from 'pg'
import type { FrameWriter } from './frames.ts'
import { storeMetadata } from './metadata.ts'
import type { WriteMetrics } from './metrics.ts'
import { databaseError } from './postgres/sqlstate.ts'
import { uncompressBlock } from './protocol/snappy.ts'
import { WriteDecoder } from './protocol/v1.ts'
import { type Metadata, rejectionError, Samples } from './samples.ts'
import type { SeriesIndex } from './series.ts'
import type { RemoteWriteSettings } from './settings.ts'

export interface ReceiverParts {
  pool: Pool
  index: SeriesIndex
  writer: FrameWriter
  metrics: WriteMetrics
  limits: RemoteWriteSettings['limits']
}

/** Takes the body of a remote-write request: resolves when all of it is on disk. */
export type Receive = (body: Buffer, now: Date) => Promise<void>

/**
 * The path of a request: uncompress, decode, judge, gather, commit. The promise it gives
 * @throws {RequestError} 4xx for what can never be stored, after the rest was stored;
 * {UnavailableError} when nothing was.
 */
export function createReceiver({ pool, index, writer, metrics, limits }: ReceiverParts): Receive {
  const samples = new Samples()
  const decoder = new WriteDecoder(index, limits, samples)

  /** Without a pause within, since the samples are shared by all requests. */
  function accept(body: Buffer, now: Date) {
    const size = index.size
    samples.clear()
    try {
      const bytes = uncompressBlock(body, limits.decodedBytes)
      decoder.decode(bytes, timeRange(now, limits))
      const rejection = rejectionError(samples)
      const committed = samples.count > 0 ? writer.add(samples) : Promise.resolve()
      count(samples, metrics)
      return { committed, rejection, metadata: samples.metadata }
    } catch (error) {
      index.truncate(size)
      throw error
    }
  }

  return async (body, now) => {
    const { committed, rejection, metadata } = accept(body, now)
    await Promise.all([committed, keepMetadata(pool, metadata)])
    if (rejection) throw rejection
  }
}

function timeRange(now: Date, limits: ReceiverParts['limits']) {
  return {
    fromMs: now.getTime() - limits.pastSeconds * 1000,
    toMs: now.getTime() + limits.futureSeconds * 1000,
  }
}

function count(samples: Samples, metrics: WriteMetrics): void {
  metrics.received.inc(samples.count)
  metrics.skipped.inc({ kind: 'exemplar' }, samples.exemplars)
  metrics.skipped.inc({ kind: 'histogram' }, samples.histograms)
  for (const [reason, kind] of samples.rejected) {
    metrics.received.inc(kind.samples)
    metrics.rejected.inc({ reason }, kind.samples)
  }
}

async function keepMetadata(pool: Pool, metadata: readonly Metadata[]): Promise<void> {
  if (metadata.length === 0) return
  await storeMetadata(pool, metadata).catch((error: unknown) => {
    throw databaseError(error)
  })
}
