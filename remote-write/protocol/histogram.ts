import { WireReader, WireWriter } from './wire.ts'

export interface DecodedHistogram {
  timeMs: number
  /** `prometheus.Histogram` in the one form we store. */
  payload: Buffer
  /** Why it cannot be served to anyone. */
  fault: string | undefined
}

/** A native histogram with all its buckets: Prometheus keeps them below some hundred. */
const maxBytes = 65_536

/** The schema of buckets whose bounds are custom values. */
const customBuckets = -53

/** What stands in each field of Histogram, by its number; 1.0 and 2.0 have the same. */
const kinds = [
  undefined,
  'varint', // count_int
  'double', // count_float
  'double', // sum
  'varint', // schema
  'double', // zero_threshold
  'varint', // zero_count_int
  'double', // zero_count_float
  'span', // negative_spans
  'varints', // negative_deltas
  'doubles', // negative_counts
  'span', // positive_spans
  'varints', // positive_deltas
  'doubles', // positive_counts
  'varint', // reset_hint
  'varint', // timestamp
  'doubles', // custom_values
] as const

type Kind = Exclude<(typeof kinds)[number], undefined>

/** Wire types of one value and of several packed ones, by kind. */
const wireTypes: Record<Kind, number> = { varint: 0, double: 1, span: 2, varints: 2, doubles: 2 }

/** Bytes of the values of each field, by number, in the order they came. */
type Parts = Buffer[][]

/**
 * Reads a Histogram of 1.0 (prompb/types.proto) or 2.0 (io/prometheus/write/v2/types.proto) and
 * puts it into one form: fields by number, lists packed, no zeros, nothing that 1.0 lacks.
 * @throws {RequestError} 400 when it is malformed.
 */
export function decodeHistogram(reader: WireReader, end: number): DecodedHistogram {
  if (end - reader.at > maxBytes) {
    const fault = `a histogram of ${end - reader.at} bytes, the limit is ${maxBytes}`
    reader.at = end
    return { timeMs: 0, payload: Buffer.alloc(0), fault }
  }
  const parts: Parts = kinds.map(() => [])
  while (reader.at < end) readField(reader, end, parts)
  const timeMs = parts[15]?.[0] ? new WireReader(parts[15][0]).signed() : 0
  return { timeMs, payload: encode(parts), fault: faultOf(parts) }
}

function readField(reader: WireReader, end: number, parts: Parts): void {
  const tag = reader.tag()
  const number = tag >>> 3
  const kind = kinds[number]
  const type = tag & 7
  if (kind === undefined || (type !== wireTypes[kind] && !isUnpacked(kind, type))) {
    reader.skip(tag, end)
    return
  }
  const bytes = reader.value(tag, end)
  if (kind === 'varint' || kind === 'double') parts[number] = [bytes]
  else if (kind === 'span') parts[number]?.push(encodeSpan(decodeSpan(bytes)))
  else parts[number]?.push(checkPacked(kind, bytes))
}

function isUnpacked(kind: Kind, type: number): boolean {
  return (kind === 'varints' && type === 0) || (kind === 'doubles' && type === 1)
}

/** The list, if it is made of whole values. */
function checkPacked(kind: 'varints' | 'doubles', bytes: Buffer): Buffer {
  const reader = new WireReader(bytes)
  if (kind === 'varints') while (reader.at < bytes.length) reader.unsigned()
  else if (bytes.length % 8 !== 0) throw reader.malformed('a list of doubles ends within one')
  return bytes
}

interface Span {
  offset: number
  length: number
}

function decodeSpan(bytes: Buffer): Span {
  const span = { offset: 0, length: 0 }
  const reader = new WireReader(bytes)
  while (reader.at < bytes.length) {
    const tag = reader.tag()
    if (tag === 0x08) span.offset = zigzag(reader.unsigned())
    else if (tag === 0x10) span.length = reader.unsigned()
    else reader.skip(tag, bytes.length)
  }
  return span
}

function encodeSpan({ offset, length }: Span): Buffer {
  const writer = new WireWriter(24)
  if (offset !== 0) {
    writer.varint(0x08)
    writer.varint(offset < 0 ? -2 * offset - 1 : 2 * offset)
  }
  if (length !== 0) {
    writer.varint(0x10)
    writer.varint(length)
  }
  return writer.bytes()
}

function encode(parts: Parts): Buffer {
  const writer = new WireWriter(512)
  for (const [number, kind] of kinds.entries()) {
    const values = parts[number] ?? []
    if (kind === undefined || values.length === 0) continue
    const tag = (number << 3) | wireTypes[kind]
    if (kind === 'span') for (const span of values) writer.field(tag, span)
    else if (kind === 'varints' || kind === 'doubles') writer.field(tag, Buffer.concat(values))
    else if (isOneOf(number) || values[0]?.some((byte) => byte !== 0)) {
      writer.value(tag, values[0] ?? Buffer.alloc(0))
    }
  }
  return Buffer.from(writer.bytes())
}

/** Counts say by being there whether the histogram is one of integers, zeros included. */
function isOneOf(number: number): boolean {
  return number === 1 || number === 2 || number === 6 || number === 7
}

/**
 * What would mislead a reader's arithmetic, or end it: lists that do not fit the spans, spans that
 * overlap, and schemas that nobody has defined (remote write 2.0, `Histogram` in types.proto).
 */
function faultOf(parts: Parts): string | undefined {
  const has = (number: number) => (parts[number] ?? []).some(({ length }) => length > 0)
  const integer = has(1) || has(6) || has(9) || has(12)
  if (integer && (has(2) || has(7) || has(10) || has(13))) return 'integer and float counts'
  const schema = parts[4]?.[0] ? zigzag(new WireReader(parts[4][0]).unsigned()) : 0
  const isCustom = schema === customBuckets
  if (!isCustom && (schema < -4 || schema > 8)) return `schema ${schema}`
  const customValues = doubles(parts[16])
  if (!isCustom && customValues > 0) return `custom values with schema ${schema}`
  if (!ascending(parts[16])) return 'custom values that do not ascend'
  const negative = spanFault(parts[8], counts(parts, 9, 10))
  return (
    negative ?? spanFault(parts[11], counts(parts, 12, 13), isCustom ? customValues : undefined)
  )
}

/** Buckets that have a count: deltas of integers, or floats. */
function counts(parts: Parts, deltas: number, floats: number): number {
  let varints = 0
  for (const bytes of parts[deltas] ?? []) for (const byte of bytes) if (byte < 0x80) varints++
  return varints + doubles(parts[floats])
}

function doubles(values: readonly Buffer[] = []): number {
  return values.reduce((sum, bytes) => sum + bytes.length, 0) / 8
}

function ascending(values: readonly Buffer[] = []): boolean {
  const bytes = Buffer.concat(values)
  for (let at = 8; at < bytes.length; at += 8) {
    if (!(bytes.readDoubleLE(at) > bytes.readDoubleLE(at - 8))) return false
  }
  return true
}

/** Spans cover `buckets` buckets, none twice, and none beyond the bounds that there may be. */
function spanFault(
  spans: readonly Buffer[] = [],
  buckets: number,
  bounds?: number,
): string | undefined {
  let covered = 0
  let at = 0
  for (const [i, { offset, length }] of spans.map(decodeSpan).entries()) {
    if (offset < 0 && (i > 0 || bounds !== undefined)) return `a span's offset of ${offset}`
    if (Math.abs(offset) >= 2 ** 31) return `a span's offset of ${offset}`
    covered += length
    at += offset + length
  }
  if (covered !== buckets) return `spans over ${covered} buckets, ${buckets} counts`
  const beyond = bounds !== undefined && at > bounds + 1
  return beyond ? `${at} buckets with ${bounds} bounds` : undefined
}

/** A sint32 or sint64 from its varint. */
function zigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
