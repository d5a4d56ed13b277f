import fetch, { type Response } from 'node-fetch'
import { compressSync, uncompressSync } from 'snappy'
import { lengthField, varint } from './remote-write.ts'

export type Matcher = [name: string, kind: '=' | '!=' | '=~' | '!~', value: string]

/** A series of an answer: values as eight bytes in hexadecimal, most significant first. */
export interface ReadSeries {
  labels: Record<string, string>
  samples: [timeMs: number, bits: string][]
  /** Messages `prometheus.Histogram` in hexadecimal. */
  histograms: string[]
}

export interface Query {
  matchers: readonly Matcher[]
  /** Both ends count. */
  range: readonly [fromMs: number, toMs: number]
  hints?: { func?: string; startMs?: number; endMs?: number }
}

/** Posts a `prometheus.ReadRequest` of one query; the ends of the time count. */
export async function postRead(
  service: { url: string },
  matchers: readonly Matcher[],
  range: readonly [number, number],
  types: readonly number[] = [],
): Promise<Response> {
  return await postQueries(service, [{ matchers, range }], types)
}

/** Posts a `prometheus.ReadRequest`. */
export async function postQueries(
  { url }: { url: string },
  queries: readonly Query[],
  types: readonly number[] = [],
  signal: AbortSignal = new AbortController().signal,
): Promise<Response> {
  const encoded = queries.map((query) => lengthField(1, encodeQuery(query)))
  const accepted = types.map((type) => Buffer.of(0x10, type))
  return await fetch(`${url}/api/v1/read`, {
    method: 'POST',
    body: compressSync(Buffer.concat([...encoded, ...accepted])),
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
    signal,
  })
}

const kinds = ['=', '!=', '=~', '!~']

function encodeQuery({ matchers, range: [fromMs, toMs], hints }: Query): Buffer {
  const encoded = matchers.map(([name, kind, value]) => {
    const type = Buffer.of(0x08, kinds.indexOf(kind))
    const texts = [lengthField(2, Buffer.from(name)), lengthField(3, Buffer.from(value))]
    return lengthField(3, Buffer.concat([type, ...texts]))
  })
  const times = [Buffer.of(0x08), varint(BigInt(fromMs)), Buffer.of(0x10), varint(BigInt(toMs))]
  return Buffer.concat([...times, ...encoded, ...(hints ? [encodeHints(hints)] : [])])
}

function encodeHints({ func, startMs, endMs }: NonNullable<Query['hints']>): Buffer {
  const parts = [lengthField(2, Buffer.from(func ?? ''))]
  if (startMs !== undefined) parts.push(Buffer.of(0x18), varint(BigInt(startMs)))
  if (endMs !== undefined) parts.push(Buffer.of(0x20), varint(BigInt(endMs)))
  return lengthField(4, Buffer.concat(parts))
}

/** The series that the record answers with, in its order. */
export async function read(
  service: { url: string },
  matchers: readonly Matcher[],
  range: readonly [number, number],
): Promise<ReadSeries[]> {
  const [result] = await readQueries(service, [{ matchers, range }])
  return result ?? []
}

/** For each query the series of the answer, of the type SAMPLES. */
export async function readQueries(
  service: { url: string },
  queries: readonly Query[],
): Promise<ReadSeries[][]> {
  const response = await postQueries(service, queries)
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  const body = uncompressSync(Buffer.from(await response.arrayBuffer()), { asBuffer: true })
  const results = messageFields(body as Buffer)
  return results.map((result) => messageFields(result.bytes).map(({ bytes }) => parseSeries(bytes)))
}

function parseSeries(bytes: Buffer | undefined): ReadSeries {
  const series: ReadSeries = { labels: {}, samples: [], histograms: [] }
  for (const field of messageFields(bytes)) {
    if (field.number === 4) {
      series.histograms.push(String(field.bytes?.toString('hex')))
      continue
    }
    const [first, second] = messageFields(field.bytes)
    if (field.number === 1) series.labels[String(first?.bytes)] = String(second?.bytes)
    else {
      const bits = Buffer.from(first?.bytes ?? []).reverse()
      series.samples.push([Number(second?.value), bits.toString('hex')])
    }
  }
  return series
}

export interface Field {
  number: number
  value: bigint
  bytes?: Buffer
}

/** The fields of a message in their order. */
export function messageFields(message: Buffer = Buffer.alloc(0)): Field[] {
  const found: Field[] = []
  let at = 0
  const number = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = Number(number())
    const type = tag & 7
    const value = type === 1 ? 8n : number()
    if (type === 0) found.push({ number: tag >> 3, value })
    else {
      at += Number(value)
      found.push({ number: tag >> 3, value, bytes: message.subarray(at - Number(value), at) })
    }
  }
  return found
}
