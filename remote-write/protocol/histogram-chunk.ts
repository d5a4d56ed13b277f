import { BitWriter } from '../segments/bits.ts'
import { WireReader } from './wire.ts'

/** By number in prompb's Chunk.Encoding: HISTOGRAM or FLOAT_HISTOGRAM. */
export interface HistogramChunk {
  type: 2 | 3
  data: Buffer
}

const writer = new BitWriter()

/** Counter reset hints as flags of a chunk, by number in prompb's Histogram.ResetHint. */
const resetFlags = [0, 0b1000_0000, 0b0100_0000, 0b1100_0000]

const customBuckets = -53n

/**
 * One native histogram, a `prometheus.Histogram` in the form that we store, as a chunk of one
 * sample: its head says how the buckets lie, and every histogram may have them otherwise
 * (tsdb/chunkenc/histogram.go, float_histogram.go, histogram_meta.go).
 */
export function encodeHistogramChunk(timeMs: number, payload: Uint8Array): HistogramChunk {
  const of = parse(payload)
  writer.begin(64 + 10 * payload.length)
  writer.write(1, 16)
  writer.write(resetFlags[of.resetHint] ?? 0, 8)
  writeLayout(of)
  writeSigned(BigInt(timeMs))
  if (of.countFloat) {
    for (const value of [of.countFloat, of.zeroCountFloat ?? zero, of.sum ?? zero]) writeBits(value)
    for (const list of [of.positiveCounts, of.negativeCounts]) for (const v of list) writeBits(v)
    return { type: 3, data: writer.finish() }
  }
  writeUnsigned(of.count)
  writeUnsigned(of.zeroCount)
  writeBits(of.sum ?? zero)
  for (const list of [of.positiveDeltas, of.negativeDeltas]) for (const v of list) writeSigned(v)
  return { type: 2, data: writer.finish() }
}

/** A double as eight bytes, the lowest first. */
type Double = Buffer

interface Span {
  offset: bigint
  length: bigint
}

interface Histogram {
  count: bigint
  countFloat?: Double
  sum?: Double
  schema: bigint
  zeroThreshold?: Double
  zeroCount: bigint
  zeroCountFloat?: Double
  negativeSpans: Span[]
  negativeDeltas: bigint[]
  negativeCounts: Double[]
  positiveSpans: Span[]
  positiveDeltas: bigint[]
  positiveCounts: Double[]
  resetHint: number
  customValues: Double[]
}

const zero: Double = Buffer.alloc(8)

function parse(payload: Uint8Array): Histogram {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  const reader = new WireReader(bytes)
  const of: Histogram = {
    ...{ count: 0n, schema: 0n, zeroCount: 0n, resetHint: 0, customValues: [] },
    ...{ negativeSpans: [], negativeDeltas: [], negativeCounts: [] },
    ...{ positiveSpans: [], positiveDeltas: [], positiveCounts: [] },
  }
  while (reader.at < bytes.length) {
    const tag = reader.tag()
    setField(of, tag >>> 3, reader.value(tag, bytes.length))
  }
  return of
}

function setField(of: Histogram, number: number, value: Buffer): void {
  if (number === 1) of.count = varints(value)[0] ?? 0n
  else if (number === 2) of.countFloat = value
  else if (number === 3) of.sum = value
  else if (number === 4) of.schema = varints(value).map(zigzag)[0] ?? 0n
  else if (number === 5) of.zeroThreshold = value
  else if (number === 6) of.zeroCount = varints(value)[0] ?? 0n
  else if (number === 7) of.zeroCountFloat = value
  else if (number === 8) of.negativeSpans.push(parseSpan(value))
  else if (number === 9) of.negativeDeltas.push(...varints(value).map(zigzag))
  else if (number === 10) of.negativeCounts.push(...doubles(value))
  else if (number === 11) of.positiveSpans.push(parseSpan(value))
  else if (number === 12) of.positiveDeltas.push(...varints(value).map(zigzag))
  else if (number === 13) of.positiveCounts.push(...doubles(value))
  else if (number === 14) of.resetHint = Number(varints(value)[0] ?? 0n)
  else if (number === 16) of.customValues.push(...doubles(value))
}

function parseSpan(bytes: Buffer): Span {
  const reader = new WireReader(bytes)
  const span = { offset: 0n, length: 0n }
  while (reader.at < bytes.length) {
    const tag = reader.tag()
    const [value = 0n] = varints(reader.value(tag, bytes.length))
    if (tag === 0x08) span.offset = zigzag(value)
    else if (tag === 0x10) span.length = value
  }
  return span
}

function varints(bytes: Buffer): bigint[] {
  const values: bigint[] = []
  let value = 0n
  let shift = 0n
  for (const byte of bytes) {
    value |= BigInt(byte & 127) << shift
    shift += 7n
    if (byte > 127) continue
    values.push(BigInt.asUintN(64, value))
    value = 0n
    shift = 0n
  }
  return values
}

function doubles(bytes: Buffer): Double[] {
  return Array.from({ length: bytes.length / 8 }, (_, i) => bytes.subarray(8 * i, 8 * i + 8))
}

function zigzag(value: bigint): bigint {
  return value & 1n ? -(value >> 1n) - 1n : value >> 1n
}

function writeLayout(of: Histogram): void {
  // A threshold of zero is one byte; any other may follow 255 as it is.
  const threshold = of.zeroThreshold
  writer.write(threshold ? 255 : 0, 8)
  if (threshold) writeBits(threshold)
  writeSigned(of.schema)
  for (const spans of [of.positiveSpans, of.negativeSpans]) {
    writeUnsigned(BigInt(spans.length))
    for (const { length, offset } of spans) {
      writeUnsigned(length)
      writeSigned(offset)
    }
  }
  if (of.schema !== customBuckets) return
  writeUnsigned(BigInt(of.customValues.length))
  for (const bound of of.customValues) {
    // A bound may be a count of thousandths, or after a 0 as it is.
    writer.write(0, 1)
    writeBits(bound)
  }
}

function writeBits(double: Double): void {
  writer.write(double.readUInt32LE(4), 32)
  writer.write(double.readUInt32LE(0), 32)
}

/** Bits of a number behind 1, 2, ... ones and a zero; behind eight ones all 64 (varbit.go). */
const widths = [3, 6, 9, 12, 18, 25, 56]

function writeUnsigned(value: bigint): void {
  writeVarbit(value, (bits) => value < 1n << BigInt(bits))
}

/** The range of each width has one more number above zero than below. */
function writeSigned(value: bigint): void {
  writeVarbit(value, (bits) => {
    const most = 1n << BigInt(bits - 1)
    return value > -most && value <= most
  })
}

function writeVarbit(value: bigint, fits: (bits: number) => boolean): void {
  if (value === 0n) {
    writer.write(0, 1)
    return
  }
  const found = widths.findIndex(fits)
  const ones = found < 0 ? widths.length + 1 : found + 1
  const bits = widths[found] ?? 64
  writer.write(2 ** ones - 1, ones)
  if (found >= 0) writer.write(0, 1)
  const low = BigInt.asUintN(Math.min(bits, 32), value)
  if (bits > 32) writer.write(Number(BigInt.asUintN(bits - 32, value >> 32n)), bits - 32)
  writer.write(Number(low), Math.min(bits, 32))
}
