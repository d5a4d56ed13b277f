import fetch, { type Response } from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import { postgresSection } from '../../remote-write/postgres/pool.ts'
import { type RemoteWriteSettings, remoteWriteSection } from '../../remote-write/settings.ts'

/** A sample's value as a number, or as its eight bytes in hexadecimal, most significant first. */
export type Value = number | string

export interface WrittenSeries {
  labels: Record<string, string>
  samples: readonly (readonly [timeMs: number, value: Value])[]
}

export type Limits = Partial<RemoteWriteSettings['limits']>

/** The real service on a free port of loopback. Give the database's URL with its password. */
export async function startRecord(
  databaseUrl: string,
  limits: Limits = {},
  more: object = {},
): Promise<Service> {
  const defaults = remoteWriteSection.parse({
    ...more,
    web: { listenAddress: '127.0.0.1:0' },
    limits,
    // Tests of what was long ago want no clock to move or drop it.
    compaction: { schedule: '0 0 1 1 *' },
    retention: { samplesSeconds: 100 * 365 * 86_400, rollupSeconds: 100 * 365 * 86_400 },
  })
  const log = { level: 'silent', format: 'json' } as const
  const postgres = { ...postgresSection.parse({}), url: databaseUrl }
  return await startRemoteWrite(
    { ...defaults, log, postgres },
    { log: createLog('test', log), env: {} },
  )
}

/** Posts a body to /api/v1/write as Prometheus 2 does, but for the headers that are given. */
export async function post(
  { url }: Service,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    body,
    headers: { ...writeHeaders, ...headers },
  })
}

const writeHeaders = {
  'content-type': 'application/x-protobuf',
  'content-encoding': 'snappy',
  'x-prometheus-remote-write-version': '0.1.0',
}

/** Writes the series; the answer's status with what it says. */
export async function write(
  service: Service,
  series: readonly WrittenSeries[],
): Promise<{ status: number; text: string }> {
  const response = await post(service, compressSync(writeRequest(series)))
  return { status: response.status, text: await response.text() }
}

/** A `prometheus.WriteRequest`; label names are sorted. */
export function writeRequest(series: readonly WrittenSeries[]): Buffer {
  return Buffer.concat(series.map((one) => lengthField(1, timeSeries(one))))
}

function timeSeries({ labels, samples }: WrittenSeries): Buffer {
  const names = Object.keys(labels).sort()
  return Buffer.concat([
    ...names.map((name) => lengthField(1, label(name, labels[name] ?? ''))),
    ...samples.map(([timeMs, value]) => lengthField(2, sample(timeMs, value))),
  ])
}

export function label(name: string, value: string): Buffer {
  return Buffer.concat([lengthField(1, Buffer.from(name)), lengthField(2, Buffer.from(value))])
}

export function sample(timeMs: number, value: Value): Buffer {
  const bits = Buffer.alloc(8)
  if (typeof value === 'number') bits.writeDoubleLE(value)
  else bits.set(Buffer.from(value, 'hex').reverse())
  return Buffer.concat([Buffer.of(0x09), bits, Buffer.of(0x10), varint(BigInt(timeMs))])
}

/** A field of wire type 2. */
export function lengthField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(BigInt((number << 3) | 2)), varint(BigInt(bytes.length)), bytes])
}

export function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}
