import { RequestError } from '../../exporter/service/request-error.ts'
import type { SampleColumn } from '../segments/column.ts'
import { WireReader, WireWriter } from './wire.ts'

export type MatcherKind = '=' | '!=' | '=~' | '!~'

export interface Matcher {
  kind: MatcherKind
  name: string
  value: string
}

/** Wanted samples: their times lie in [fromMs, toMs], both ends included. */
export interface ReadQuery {
  fromMs: number
  toMs: number
  matchers: Matcher[]
  /** Only which series have samples is asked for, not the samples. */
  onlySeries: boolean
}

/** SAMPLES: one message with all; STREAMED_XOR_CHUNKS: series by series, as Prometheus' chunks. */
export type ResponseType = 'samples' | 'streamed'

export interface ReadRequest {
  queries: ReadQuery[]
  /** The first that we know of those that the client takes. */
  type: ResponseType
}

/** A native histogram: `prometheus.Histogram` in protocol-buffer bytes. */
export interface HistogramSample {
  timeMs: number
  payload: Uint8Array
}

/** A series of an answer, its samples and histograms in order of time. */
export interface AnswerSeries {
  /** Names and values in turn, sorted by name. */
  labels: readonly string[]
  samples: SampleColumn
  histograms: readonly HistogramSample[]
}

/** By number in prompb's LabelMatcher.Type. */
const kinds: readonly MatcherKind[] = ['=', '!=', '=~', '!~']

/** By number in prompb's ReadRequest.ResponseType. */
const responseTypes: readonly ResponseType[] = ['samples', 'streamed']

/** Decodes `prometheus.ReadRequest` (prompb/remote.proto). @throws {RequestError} 400. */
export function decodeReadRequest(bytes: Buffer): ReadRequest {
  const reader = new WireReader(bytes)
  const queries: ReadQuery[] = []
  const types: number[] = []
  while (reader.at < bytes.length) {
    const tag = reader.tag()
    if (tag === 0x0a) queries.push(decodeQuery(reader, reader.fieldEnd(bytes.length)))
    else if (tag === 0x10) types.push(reader.unsigned())
    else if (tag === 0x12) types.push(...decodePacked(reader, reader.fieldEnd(bytes.length)))
    else reader.skip(tag, bytes.length)
  }
  return { queries, type: firstKnown(types) }
}

/** Clients from before there was a choice send none: they take SAMPLES. */
function firstKnown(numbers: readonly number[]): ResponseType {
  if (numbers.length === 0) return 'samples'
  const known = numbers.find((number) => responseTypes[number] !== undefined)
  const type = known === undefined ? undefined : responseTypes[known]
  if (type !== undefined) return type
  const message = `response types ${numbers.join(', ')}: known are 0 (SAMPLES) and 1 (STREAMED)`
  throw new RequestError(400, 'response_type', message)
}

function decodePacked(reader: WireReader, end: number): number[] {
  const values: number[] = []
  while (reader.at < end) values.push(reader.unsigned())
  return values
}

function decodeQuery(reader: WireReader, end: number): ReadQuery {
  const query: ReadQuery = { fromMs: 0, toMs: 0, matchers: [], onlySeries: false }
  let hints: Hints | undefined
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === 0x08) query.fromMs = reader.signed()
    else if (tag === 0x10) query.toMs = reader.signed()
    else if (tag === 0x1a) query.matchers.push(decodeMatcher(reader, reader.fieldEnd(end)))
    else if (tag === 0x22) hints = decodeHints(reader, reader.fieldEnd(end))
    else reader.skip(tag, end)
  }
  return hints ? follow(query, hints) : query
}

interface Hints {
  func: string
  startMs: number
  endMs: number
}

function decodeHints(reader: WireReader, end: number): Hints {
  const hints: Hints = { func: '', startMs: 0, endMs: 0 }
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === 0x12) hints.func = reader.text(reader.fieldEnd(end))
    else if (tag === 0x18) hints.startMs = reader.signed()
    else if (tag === 0x20) hints.endMs = reader.signed()
    else reader.skip(tag, end)
  }
  return hints
}

/**
 * A query may span what several selectors need; the hints say what this one does, lookback
 * included, and Prometheus' own storage cuts to it (tsdb/querier.go). Its series API asks with the
 * function `series` and looks at labels only. Step, range, function and grouping are not used:
 * which samples a function needs is the asker's to know.
 */
function follow(query: ReadQuery, { func, startMs, endMs }: Hints): ReadQuery {
  const given = startMs !== 0 || endMs !== 0
  return {
    ...query,
    fromMs: given ? Math.max(query.fromMs, startMs) : query.fromMs,
    toMs: given ? Math.min(query.toMs, endMs) : query.toMs,
    onlySeries: func === 'series',
  }
}

function decodeMatcher(reader: WireReader, end: number): Matcher {
  const matcher: Matcher = { kind: '=', name: '', value: '' }
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === 0x08) matcher.kind = kindOf(reader)
    else if (tag === 0x12) matcher.name = reader.text(reader.fieldEnd(end))
    else if (tag === 0x1a) matcher.value = reader.text(reader.fieldEnd(end))
    else reader.skip(tag, end)
  }
  return matcher
}

function kindOf(reader: WireReader): MatcherKind {
  const number = reader.unsigned()
  const kind = kinds[number]
  if (kind === undefined) throw reader.malformed(`matcher type ${number}`)
  return kind
}

/** Fields `labels` of a TimeSeries, and of a ChunkedSeries. */
export function addLabels(writer: WireWriter, labels: readonly string[]): void {
  for (let i = 0; i < labels.length; i += 2) {
    const label = new WireWriter(64)
    label.textField(0x0a, labels[i] ?? '')
    label.textField(0x12, labels[i + 1] ?? '')
    writer.field(0x0a, label.bytes())
  }
}

/** A `prometheus.TimeSeries`, as a field of a QueryResult. */
export function addTimeSeries(result: WireWriter, series: AnswerSeries): void {
  const labels = new WireWriter()
  addLabels(labels, series.labels)
  const histograms = new WireWriter()
  for (const { payload } of series.histograms) histograms.field(0x22, payload)
  const samples = encodeSamples(series.samples)
  result.field(0x0a, Buffer.concat([labels.bytes(), samples, histograms.bytes()]))
}

/** A sample at its longest: with a time before 1970. */
const sampleBytes = 22

/** Fields `samples`, written by hand since there are millions. */
function encodeSamples({ count, times, words }: SampleColumn): Buffer {
  const bytes = Buffer.allocUnsafe(sampleBytes * count)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  for (let i = 0; i < count; i++) {
    const start = at
    bytes[at] = 0x12
    bytes[at + 2] = 0x09
    view.setUint32(at + 3, words[2 * i] ?? 0, true)
    view.setUint32(at + 7, words[2 * i + 1] ?? 0, true)
    bytes[at + 11] = 0x10
    at = writeVarint(bytes, at + 12, times[i] ?? 0)
    bytes[start + 1] = at - start - 2
  }
  return bytes.subarray(0, at)
}

/** A whole number of at most 2^53 in size; returns where it ends. */
function writeVarint(bytes: Buffer, start: number, value: number): number {
  if (value < 0) {
    const writer = new WireWriter(16)
    writer.varint(value)
    return start + writer.bytes().copy(bytes, start)
  }
  let at = start
  let rest = value
  if (value >= 2 ** 28) {
    const high = Math.floor(value / 2 ** 28)
    // Whole numbers below 2^31 are quick.
    let low = value - high * 2 ** 28
    for (let i = 0; i < 4; i++) {
      bytes[at++] = (low & 127) | 128
      low >>>= 7
    }
    rest = high
  }
  for (; rest >= 128; rest >>>= 7) bytes[at++] = (rest & 127) | 128
  bytes[at++] = rest
  return at
}

/** Encodes `prometheus.ReadResponse`: for each query its QueryResult. */
export function encodeReadResponse(results: readonly WireWriter[]): Buffer {
  const response = new WireWriter(16 + results.reduce((sum, { length }) => sum + length + 11, 0))
  for (const result of results) response.field(0x0a, result.bytes())
  return response.bytes()
}
