import fetch, { type Response } from 'node-fetch'
import { compressSync, uncompressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { lengthField, varint } from './remote-write.ts'

export type Matcher = [name: string, kind: '=' | '!=' | '=~' | '!~', value: string]

/** A series of an answer: values as eight bytes in hexadecimal, most significant first. */
export interface ReadSeries {
  labels: Record<string, string>
  samples: [timeMs: number, bits: string][]
  /** Messages `prometheus.Histogram` in hexadecimal. */
  histograms: string[]
}

/** Posts a `prometheus.ReadRequest` of one query; the ends of the time count. */
export async function postRead(
  { url }: Service,
  matchers: readonly Matcher[],
  [fromMs, toMs]: readonly [number, number],
  types: readonly number[] = [],
): Promise<Response> {
  const kinds = ['=', '!=', '=~', '!~']
  const encoded = matchers.map(([name, kind, value]) => {
    const type = Buffer.of(0x08, kinds.indexOf(kind))
    const texts = [lengthField(2, Buffer.from(name)), lengthField(3, Buffer.from(value))]
    return lengthField(3, Buffer.concat([type, ...texts]))
  })
  const times = [Buffer.of(0x08), varint(BigInt(fromMs)), Buffer.of(0x10), varint(BigInt(toMs))]
  const query = lengthField(1, Buffer.concat([...times, ...encoded]))
  const accepted = types.map((type) => Buffer.of(0x10, type))
  return await fetch(`${url}/api/v1/read`, {
    method: 'POST',
    body: compressSync(Buffer.concat([query, ...accepted])),
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
  })
}

/** The series that the record answers with, in its order. */
export async function read(
  service: Service,
  matchers: readonly Matcher[],
  range: readonly [number, number],
): Promise<ReadSeries[]> {
  const response = await postRead(service, matchers, range)
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  const body = uncompressSync(Buffer.from(await response.arrayBuffer()), { asBuffer: true })
  const [result] = fields(body as Buffer)
  return fields(result?.bytes).map(({ bytes }) => parseSeries(bytes))
}

function parseSeries(bytes: Buffer | undefined): ReadSeries {
  const series: ReadSeries = { labels: {}, samples: [], histograms: [] }
  for (const field of fields(bytes)) {
    if (field.number === 4) {
      series.histograms.push(String(field.bytes?.toString('hex')))
      continue
    }
    const [first, second] = fields(field.bytes)
    if (field.number === 1) series.labels[String(first?.bytes)] = String(second?.bytes)
    else {
      const bits = Buffer.from(first?.bytes ?? []).reverse()
      series.samples.push([Number(second?.value), bits.toString('hex')])
    }
  }
  return series
}

interface Field {
  number: number
  value: bigint
  bytes?: Buffer
}

function fields(message: Buffer = Buffer.alloc(0)): Field[] {
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
