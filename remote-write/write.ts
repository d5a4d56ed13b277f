import type { Pool } from 'pg'
import type { RequestError } from '../exporter/service/request-error.ts'
import type { FrameWriter } from './frames.ts'
import type { JobLabels } from './jobs/labels.ts'
import { storeMetadata } from './metadata.ts'
import type { WriteMetrics } from './metrics.ts'
import { databaseError } from './postgres/sqlstate.ts'
import type { WriteVersion } from './protocol/headers.ts'
import { uncompressBlock } from './protocol/snappy.ts'
import { DecoderV1 } from './protocol/v1.ts'
import { DecoderV2 } from './protocol/v2.ts'
import { type Metadata, rejectionError, Samples } from './samples.ts'
import type { SeriesIndex } from './series.ts'
import type { RemoteWriteSettings } from './settings.ts'

export interface ReceiverParts {
  pool: Pool
  index: SeriesIndex
  writer: FrameWriter
  metrics: WriteMetrics
  limits: RemoteWriteSettings['limits']
  jobLabels: JobLabels
}

/** What of a request is on disk, and why not all of it. */
export interface Written {
  samples: number
  histograms: number
  exemplars: number
  rejection: RequestError | undefined
}

/** Takes the body of a remote-write request: resolves when what can be stored is on disk. */
export type Receive = (body: Buffer, version: WriteVersion, now: Date) => Promise<Written>

/**
 * The path of a request: uncompress, decode, judge, gather, commit. The promise it gives
 * @throws {RequestError} 4xx when nothing of it can ever be stored; {UnavailableError} when
 * nothing was.
 */
export function createReceiver(parts: ReceiverParts): Receive {
  const { pool, index, writer, metrics, limits, jobLabels } = parts
  const samples = new Samples()
  const createDecoders = () => ({
    '1.0': new DecoderV1(index, limits, samples),
    '2.0': new DecoderV2(index, limits, samples),
  })
  let decoders = createDecoders()
  index.onDrop(() => {
    decoders = createDecoders()
    jobLabels.forgetEntries()
  })

  /** Without a pause within, since the samples are shared by all requests. */
  function accept(body: Buffer, version: WriteVersion, now: Date) {
    const bytes = uncompressBlock(body, limits.decodedBytes)
    const decoder = decoders[version]
    samples.clear()
    try {
      decoder.decode(bytes, timeRange(now, limits))
      const written = writtenOf(samples)
      const committed = samples.accepted > 0 ? writer.add(samples) : Promise.resolve()
      count(samples, metrics)
      const jobs = jobLabels.observe(samples)
      if (samples.rejected.has('series_limit')) writer.makeRoom()
      return { committed, written, metadata: samples.metadata, jobs }
    } catch (error) {
      decoder.undo()
      throw error
    }
  }

  return async (body, version, now) => {
    const { committed, written, metadata, jobs } = accept(body, version, now)
    try {
      await Promise.all([committed, keepMetadata(pool, metadata), jobs])
    } catch (error) {
      if (metadata.length > 0) decoders['2.0'].forgetMetadata()
      throw error
    }
    return written
  }
}

function timeRange(now: Date, limits: ReceiverParts['limits']) {
  return {
    fromMs: now.getTime() - limits.pastSeconds * 1000,
    toMs: now.getTime() + limits.futureSeconds * 1000,
  }
}

function writtenOf(samples: Samples): Written {
  return {
    samples: samples.count,
    histograms: samples.histograms.length,
    exemplars: samples.exemplars.length,
    rejection: rejectionError(samples),
  }
}

function count(samples: Samples, metrics: WriteMetrics): void {
  metrics.received.inc(samples.count + samples.histograms.length)
  metrics.droppedExemplars.inc(samples.droppedExemplars)
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
