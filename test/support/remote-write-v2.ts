import type { Response } from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { lengthField, post, sample, type Value, varint } from './remote-write.ts'

export interface Exemplar {
  labels: Record<string, string>
  value: number
  timeMs: number
}

/** A series of remote write 2.0; what is left out is not sent. */
export interface SeriesV2 {
  labels: Record<string, string>
  samples?: readonly (readonly [timeMs: number, value: Value])[]
  /** Messages `Histogram`, made by `histogram`. */
  histograms?: readonly Buffer[]
  exemplars?: readonly Exemplar[]
  metadata?: { type: number; help: string; unit: string }
}

/** What the answer to a request of 2.0 says is stored: samples, histograms, exemplars. */
export interface AnswerV2 {
  status: number
  text: string
  written: (string | null)[]
}

const contentType = 'application/x-protobuf;proto=io.prometheus.write.v2.Request'

/** Posts the bytes of a request as Prometheus 3 does. */
export async function postV2(service: Service, body: Buffer): Promise<Response> {
  const version = { 'x-prometheus-remote-write-version': '2.0.0' }
  return await post(service, compressSync(body), { 'content-type': contentType, ...version })
}

export async function writeV2(service: Service, series: readonly SeriesV2[]): Promise<AnswerV2> {
  return await answerOf(await postV2(service, requestV2(series)))
}

export async function answerOf(response: Response): Promise<AnswerV2> {
  const written = ['samples', 'histograms', 'exemplars'].map((kind) =>
    response.headers.get(`x-prometheus-remote-write-${kind}-written`),
  )
  return { status: response.status, text: await response.text(), written }
}

/** An `io.prometheus.write.v2.Request`; symbols stand in the order of their first use. */
export function requestV2(series: readonly SeriesV2[]): Buffer {
  const symbols = new Map([['', 0]])
  const ref = (text: string): number => {
    const known = symbols.get(text)
    if (known !== undefined) return known
    symbols.set(text, symbols.size)
    return symbols.size - 1
  }
  const encoded = series.map((one) => lengthField(5, timeSeries(one, ref)))
  return Buffer.concat([...symbolFields([...symbols.keys()]), ...encoded])
}

export function symbolFields(symbols: readonly string[]): Buffer[] {
  return symbols.map((text) => lengthField(4, Buffer.from(text)))
}

type Ref = (text: string) => number

function timeSeries({ labels, metadata, ...values }: SeriesV2, ref: Ref): Buffer {
  const samples = values.samples ?? []
  return Buffer.concat([
    refs(labels, ref),
    ...samples.map(([timeMs, value]) => lengthField(2, sample(timeMs, value))),
    ...(values.histograms ?? []).map((bytes) => lengthField(3, bytes)),
    ...(values.exemplars ?? []).map((one) => lengthField(4, exemplar(one, ref))),
    ...(metadata ? [lengthField(5, metadataFields(metadata, ref))] : []),
  ])
}

function refs(labels: Record<string, string>, ref: Ref): Buffer {
  const pairs = Object.keys(labels)
    .sort()
    .map((name) => [ref(name), ref(labels[name] ?? '')])
  return lengthField(1, packed(pairs.flat()))
}

/** A packed list of unsigned numbers. */
export function packed(numbers: readonly number[]): Buffer {
  return Buffer.concat(numbers.map((number) => varint(BigInt(number))))
}

function exemplar({ labels, value, timeMs }: Exemplar, ref: Ref): Buffer {
  return Buffer.concat([refs(labels, ref), exemplarValue(value, timeMs)])
}

/** Value and time of an exemplar, which have the same fields in 1.0 and 2.0. */
export function exemplarValue(value: number, timeMs: number): Buffer {
  return Buffer.concat([double(2, value), numberField(3, BigInt(timeMs))])
}

function metadataFields(
  { type, help, unit }: { type: number; help: string; unit: string },
  ref: Ref,
) {
  const fields = [[1, type] as const, [3, ref(help)] as const, [4, ref(unit)] as const]
  return Buffer.concat(fields.map(([number, value]) => numberField(number, BigInt(value))))
}

export interface HistogramFields {
  timeMs: number
  schema: number
  /** Integers give an integer histogram, the same numbers as floats a float one. */
  float?: boolean
  sum: Value
  zeroCount?: number
  /** Spans as offset and length; counts of the buckets they cover. */
  positive?: { spans: [offset: number, length: number][]; counts: number[] }
  negative?: { spans: [offset: number, length: number][]; counts: number[] }
  customValues?: number[]
}

/** A `Histogram` as Go's encoder writes it, the same in 1.0 and 2.0. */
export function histogram(fields: HistogramFields): Buffer {
  const { timeMs, schema, float = false, sum, zeroCount = 0, customValues = [] } = fields
  const negative = fields.negative ?? { spans: [], counts: [] }
  const positive = fields.positive ?? { spans: [], counts: [] }
  const count = [...negative.counts, ...positive.counts, zeroCount].reduce((a, b) => a + b, 0)
  return Buffer.concat([
    float ? double(2, count) : numberField(1, BigInt(count)),
    ...(sum === 0 ? [] : [double(3, sum)]),
    ...(schema === 0 ? [] : [numberField(4, zigzag(schema))]),
    ...(schema === -53 ? [] : [double(5, 2 ** -128)]),
    float ? double(7, zeroCount) : numberField(6, BigInt(zeroCount)),
    ...buckets(8, negative, float),
    ...buckets(11, positive, float),
    numberField(15, BigInt(timeMs)),
    ...(customValues.length === 0 ? [] : [doubles(16, customValues)]),
  ])
}

function buckets(
  first: number,
  { spans, counts }: { spans: [number, number][]; counts: number[] },
  float: boolean,
): Buffer[] {
  const encoded = spans.map(([offset, length]) => {
    const fields = [...(offset === 0 ? [] : [numberField(1, zigzag(offset))])]
    return lengthField(first, Buffer.concat([...fields, numberField(2, BigInt(length))]))
  })
  if (counts.length === 0) return encoded
  if (float) return [...encoded, doubles(first + 2, counts)]
  const deltas = counts.map((count, i) => varint(zigzag(count - (counts[i - 1] ?? 0))))
  return [...encoded, lengthField(first + 1, Buffer.concat(deltas))]
}

function zigzag(value: number): bigint {
  return value < 0 ? BigInt(-2 * value - 1) : BigInt(2 * value)
}

export function numberField(number: number, value: bigint): Buffer {
  return Buffer.concat([varint(BigInt(number << 3)), varint(value)])
}

function double(number: number, value: Value): Buffer {
  const bits = Buffer.alloc(8)
  if (typeof value === 'number') bits.writeDoubleLE(value)
  else bits.set(Buffer.from(value, 'hex').reverse())
  return Buffer.concat([varint(BigInt((number << 3) | 1)), bits])
}

function doubles(number: number, values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  for (const [i, value] of values.entries()) bytes.writeDoubleLE(value, i * 8)
  return lengthField(number, bytes)
}
