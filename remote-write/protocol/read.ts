import type { Label } from '../validate.ts'
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
}

export interface ReadRequest {
  queries: ReadQuery[]
  /** Whether the client takes the response type SAMPLES, the only one we have. */
  takesSamples: boolean
}

/** A series of an answer: its samples are fields of a TimeSeries, made by the functions below. */
export interface ReadSeries {
  labels: readonly Label[]
  samples: WireWriter
}

/** By number in prompb's LabelMatcher.Type. */
const kinds: readonly MatcherKind[] = ['=', '!=', '=~', '!~']

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
  return { queries, takesSamples: types.length === 0 || types.includes(0) }
}

function decodePacked(reader: WireReader, end: number): number[] {
  const values: number[] = []
  while (reader.at < end) values.push(reader.unsigned())
  return values
}

function decodeQuery(reader: WireReader, end: number): ReadQuery {
  const query: ReadQuery = { fromMs: 0, toMs: 0, matchers: [] }
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === 0x08) query.fromMs = reader.signed()
    else if (tag === 0x10) query.toMs = reader.signed()
    else if (tag === 0x1a) query.matchers.push(decodeMatcher(reader, reader.fieldEnd(end)))
    else reader.skip(tag, end)
  }
  return query
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

/** Appends a sample: value by the halves of its bits, time in milliseconds. */
export function addSample(writer: WireWriter, timeMs: number, low: number, high: number): void {
  const sample = timeMs >= 0 ? 1 + 8 + 1 + varintLength(timeMs) : 20
  writer.varint(0x12)
  writer.varint(sample)
  writer.varint(0x09)
  writer.fixed64(low, high)
  writer.varint(0x10)
  writer.varint(timeMs)
}

/** Appends a histogram: `prometheus.Histogram` in protocol-buffer bytes. */
export function addHistogram(writer: WireWriter, payload: Uint8Array): void {
  writer.field(0x22, payload)
}

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++
  return length
}

/** Encodes `prometheus.ReadResponse`: for each query its series, in the order given. */
export function encodeReadResponse(results: readonly (readonly ReadSeries[])[]): Buffer {
  return message(results.map((series) => field(0x0a, message(series.map(encodeSeries)))))
}

function encodeSeries({ labels, samples }: ReadSeries): Buffer {
  const writer = new WireWriter()
  for (const { name, value } of labels) {
    const label = new WireWriter()
    label.textField(0x0a, name)
    label.textField(0x12, value)
    writer.field(0x0a, label.bytes())
  }
  return field(0x0a, message([writer.bytes(), samples.bytes()]))
}

function message(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts)
}

function field(tag: number, bytes: Buffer): Buffer {
  const header = new WireWriter(16)
  header.varint(tag)
  header.varint(bytes.length)
  return Buffer.concat([header.bytes(), bytes])
}
