import type { SampleColumn } from '../segments/column.ts'
import { encodeXorChunk } from '../segments/xor.ts'
import { crc32c } from './crc32c.ts'
import { encodeHistogramChunk } from './histogram-chunk.ts'
import { type AnswerSeries, addLabels, type HistogramSample } from './read.ts'
import { WireWriter } from './wire.ts'

export const streamedType = 'application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse'

/** Samples in a chunk, as in Prometheus' own blocks. */
const samplesPerChunk = 120

/** What Prometheus keeps its own answers below (--storage.remote.read-max-bytes-in-frame). */
const maxFrameBytes = 1024 * 1024

/** Tags and lengths of a frame, of the series in it and of its last chunk. */
const frameOverhead = 64

/**
 * The series in frames of the answer type STREAMED_XOR_CHUNKS: the length of a message, its CRC-32C
 * in four bytes, the highest first, and a `prometheus.ChunkedReadResponse` (prompb/remote.proto,
 * storage/remote/chunked.go). A frame holds one series, since Prometheus takes only the first of a
 * message; a series that is longer than a frame goes on in the next.
 */
export function* seriesFrames(queryIndex: number, series: AnswerSeries): Iterable<Buffer> {
  const labels = new WireWriter()
  addLabels(labels, series.labels)
  const most = maxFrameBytes - frameOverhead - labels.length
  let chunks = new WireWriter(4096)
  for (const chunk of chunksOf(series)) {
    const message = encodeChunk(chunk)
    if (chunks.length > 0 && chunks.length + message.length > most) {
      yield* frame(queryIndex, labels.bytes(), chunks.bytes())
      chunks = new WireWriter(maxFrameBytes)
    }
    chunks.field(0x12, message)
  }
  yield* frame(queryIndex, labels.bytes(), chunks.bytes())
}

function frame(queryIndex: number, labels: Buffer, chunks: Buffer): [Buffer, Buffer] {
  const head = new WireWriter(16)
  head.varint(0x0a)
  head.varint(labels.length + chunks.length)
  const tail = new WireWriter(16)
  if (queryIndex > 0) {
    tail.varint(0x10)
    tail.varint(queryIndex)
  }
  const message = Buffer.concat([head.bytes(), labels, chunks, tail.bytes()])
  const length = new WireWriter(16)
  length.varint(message.length)
  const checksum = Buffer.allocUnsafe(4)
  checksum.writeUInt32BE(crc32c(message))
  return [Buffer.concat([length.bytes(), checksum]), message]
}

/** By number in prompb's Chunk.Encoding. */
export type ChunkType = 1 | 2 | 3

interface Chunk {
  fromMs: number
  toMs: number
  type: ChunkType
  data: Buffer
}

function encodeChunk({ fromMs, toMs, type, data }: Chunk): Buffer {
  const message = new WireWriter(data.length + 32)
  message.varint(0x08)
  message.varint(fromMs)
  message.varint(0x10)
  message.varint(toMs)
  message.varint(0x18)
  message.varint(type)
  message.field(0x22, data)
  return message.bytes()
}

/** In order of time: no chunk reaches across a histogram, which has one of its own. */
function* chunksOf({ samples, histograms }: AnswerSeries): Iterable<Chunk> {
  let from = 0
  for (const histogram of histograms) {
    const to = firstFrom(samples, from, histogram.timeMs)
    yield* sampleChunks(samples, from, to)
    from = to
    // Prometheus takes the number where a series has both at one time.
    if (samples.times[from] === histogram.timeMs && from < samples.count) continue
    yield histogramChunk(histogram)
  }
  yield* sampleChunks(samples, from, samples.count)
}

function* sampleChunks(column: SampleColumn, start: number, end: number): Iterable<Chunk> {
  const { times } = column
  for (let from = start; from < end; from += samplesPerChunk) {
    const to = Math.min(from + samplesPerChunk, end)
    const data = encodeXorChunk(column, from, to)
    yield { fromMs: times[from] ?? 0, toMs: times[to - 1] ?? 0, type: 1, data }
  }
}

function histogramChunk({ timeMs, payload }: HistogramSample): Chunk {
  return { fromMs: timeMs, toMs: timeMs, ...encodeHistogramChunk(timeMs, payload) }
}

/** The first sample at or after `timeMs`. */
function firstFrom({ count, times }: SampleColumn, from: number, timeMs: number): number {
  let at = from
  while (at < count && (times[at] ?? 0) < timeMs) at++
  return at
}
