import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { startRecord, varint, writeRequest } from '../support/remote-write.ts'
import { type Sender, startSender } from '../support/sender.ts'
import { startServer } from '../support/server.ts'

export const name = 'receive'
export const title =
  'HTTP receive with durable commit and dedup, against binary COPY of plain unindexed rows'

const rounds = 5
const series = 2000
const requestsPerRound = 250
const inFlight = 8
const rowsPerCopy = 10_000
const copiesPerRound = 50
const stepMs = 15_000

/** Medians of interleaved rounds on one PostgreSQL that syncs to disk. Rates in samples/s. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  try {
    return await runOn(server.url, join(server.directory, 'rows'))
  } finally {
    await server.close()
  }
}

async function runOn(url: string, file: string): Promise<Record<string, number>> {
  const service = await startRecord(url)
  const sender = startSender()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await measure({ service, sender, client, file })
  } finally {
    sender.close()
    await client.end()
    await service.close()
  }
}

interface Bed {
  service: Service
  sender: Sender
  client: pg.Client
  /** What is copied. */
  file: string
}

async function measure({ service, sender, client, file }: Bed): Promise<Record<string, number>> {
  await client.query('create table plain (series_id int4, time timestamptz, value float8)')
  await writeFile(file, copyFile(), { mode: 0o644 })
  const start = Date.now() - 30 * 3_600_000
  const results: { receive: number; copy: number; p99Ms: number; cpu: number }[] = []
  for (let round = -1; round < rounds; round++) {
    const bodies = requests(start + round * requestsPerRound * stepMs)
    const { rate, p99Ms, cpu } = await receive(service, sender, bodies)
    const copied = await copy(client, file)
    if (round >= 0) results.push({ receive: rate, copy: copied, p99Ms, cpu })
  }
  return {
    ratio_to_copy: median(results.map((result) => result.receive / result.copy)),
    receive_samples_per_second: median(results.map((result) => result.receive)),
    copy_samples_per_second: median(results.map((result) => result.copy)),
    receive_p99_ms: median(results.map((result) => result.p99Ms)),
    receiver_cpu_seconds_per_million: median(results.map((result) => result.cpu)),
    live_bytes_per_sample: await bytesPerSample(client),
  }
}

/** 2000 series of 50 targets, one sample each, 12 labels: one body for each step of time. */
function requests(startMs: number): Buffer[] {
  const labels = Array.from({ length: series }, (_, i) => labelsOf(i))
  const one = (i: number) => ({ labels: labels[i] ?? {}, samples: [[startMs, 0]] as const })
  const parts = labels.map((_, i) => writeRequest([one(i)]))
  return Array.from({ length: requestsPerRound }, (_, step) => {
    const time = varint(BigInt(startMs + step * stepMs))
    parts.forEach((part, i) => {
      part.writeDoubleLE(200 + ((i * 7919 + step * 104_729) % 997) / 10, part.length - 15)
      part.set(time, part.length - time.length)
    })
    return compressSync(Buffer.concat(parts))
  })
}

function labelsOf(i: number): Record<string, string> {
  const node = Math.floor(i / 40)
  const xname = `x1000c${node % 8}s${node % 7}b0n${node}`
  return {
    __name__: `cray_sensor_${i % 40}_watts`,
    ...{ job: 'exporter', instance: xname, xname, bmc: xname.replace(/n\d+$/, '') },
    ...{ chassis: 'Enclosure', sensor: `Sensor ${i % 40}`, source: 'redfish', cabinet: 'x1000' },
    ...{ cluster: 'alps', location: 'Input', phase: 'L1' },
  }
}

async function receive(service: Service, sender: Sender, bodies: readonly Buffer[]) {
  await sender.load(bodies)
  const before = process.cpuUsage()
  const { seconds, latenciesMs } = await sender.run(`${service.url}/api/v1/write`, inFlight)
  const { user, system } = process.cpuUsage(before)
  const samples = bodies.length * series
  const p99Ms = latenciesMs[Math.floor(latenciesMs.length * 0.99)] ?? Number.NaN
  return { rate: samples / seconds, p99Ms, cpu: (user + system) / samples }
}

/** The server reads the file itself: the ceiling has neither network nor decoding in it. */
async function copy(client: pg.Client, file: string): Promise<number> {
  const began = performance.now()
  for (let i = 0; i < copiesPerRound; i++) {
    await client.query(`copy plain from '${file}' with (format binary)`)
  }
  return (copiesPerRound * rowsPerCopy * 1000) / (performance.now() - began)
}

/** PostgreSQL manual, COPY, "Binary Format". */
function copyFile(): Buffer {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  const rows = Array.from({ length: rowsPerCopy }, (_, i) => copyRow(i))
  return Buffer.concat([header, ...rows, Buffer.of(0xff, 0xff)])
}

function copyRow(i: number): Buffer {
  const row = Buffer.alloc(2 + 8 + 12 + 12)
  row.writeInt16BE(3, 0)
  row.writeInt32BE(4, 2)
  row.writeInt32BE(i, 6)
  row.writeInt32BE(8, 10)
  row.writeBigInt64BE(800_000_000_000_000n + BigInt(i), 14)
  row.writeInt32BE(8, 22)
  row.writeDoubleBE(200 + (i % 997) / 10, 26)
  return row
}

async function bytesPerSample(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: number }>(
    `select sum(pg_total_relation_size(relid))::float8 / (select count(*) from sample) as bytes
     from pg_partition_tree('frames')`,
  )
  return rows[0]?.bytes ?? Number.NaN
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
