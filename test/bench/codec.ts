import fc from 'fast-check'
import pg from 'pg'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { decodeChunk, encodeChunk } from '../../remote-write/segments/chunk.ts'
import { SampleColumn } from '../../remote-write/segments/column.ts'
import { decodeXorChunk, encodeXorChunk } from '../../remote-write/segments/xor.ts'
import { anyColumns, assertSameSamples } from '../support/columns.ts'
import { startServer } from '../support/server.ts'
import { nodeSamples, sensors } from '../support/telemetry-data.ts'
import { median } from './figures.ts'
import { cpuSeconds } from './processes.ts'

export const name = 'codec'
export const title = 'Chunks of 50 nodes x 40 sensors x 4 h: bytes, rates, exactness'

const nodes = 50
const steps = 960
const rounds = 5
const roundTrips = 100_000
/** What remote read sends in one XOR chunk. */
const xorSamples = 120

/** Bytes for a sample, ours and Prometheus'; samples for a second of one core's time, medians. */
export async function run(): Promise<Record<string, number>> {
  const columns = Array.from({ length: nodes }, (_, node) =>
    nodeSamples(node, { steps, startMs: 1_800_000_000_000 }),
  ).flat()
  checkRoundTrips()
  return {
    ...sizes(columns),
    ...rates(columns),
    chunk_samples_per_cpu_second: await sqlRate(columns),
    exact_round_trips: roundTrips,
  }
}

function sizes(columns: readonly SampleColumn[]): Record<string, number> {
  const kinds = ['all', ...new Set(sensors.map(({ kind }) => kind))]
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const some = columns.filter((_, i) =>
        [sensors[i % sensors.length]?.kind, 'all'].includes(kind),
      )
      return Object.entries({
        [`${kind}_chunk_bytes_per_sample`]: bytesPerSample(some.map(encodeChunk)),
        [`${kind}_xor_bytes_per_sample`]: bytesPerSample(some.map(xorChunk)),
      })
    }),
  )
}

function bytesPerSample(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0) / (steps * chunks.length)
}

function xorChunk(column: SampleColumn): Buffer {
  return encodeXorChunk(column, 0, column.count)
}

function rates(columns: readonly SampleColumn[]): Record<string, number> {
  const chunks = columns.map(encodeChunk)
  const xorChunks = columns.map(xorChunk)
  // Sensor by sensor: no chunk has the times of the one before.
  const strangers = sensors.flatMap((_, sensor) =>
    columns.filter((_, i) => i % sensors.length === sensor),
  )
  const into = new SampleColumn()
  const works: Record<string, () => void> = {
    encode: () => each(columns, encodeChunk),
    encode_other_times: () => each(strangers, encodeChunk),
    decode: () => each(chunks, (chunk) => decodeChunk(chunk, emptied(into))),
    xor_encode: () => each(columns, encodeXorPieces),
    xor_decode: () => each(xorChunks, (chunk) => decodeXorChunk(chunk, emptied(into))),
  }
  const taken = Object.keys(works).map((work): [string, number[]] => [work, []])
  for (let round = -1; round < rounds; round++) {
    for (const [work, seconds] of taken) {
      const before = process.cpuUsage()
      works[work]?.()
      const { user, system } = process.cpuUsage(before)
      if (round >= 0) seconds.push((user + system) / 1e6)
    }
  }
  const samples = columns.length * steps
  return Object.fromEntries(
    taken.map(([work, seconds]) => [`${work}_samples_per_cpu_second`, samples / median(seconds)]),
  )
}

function encodeXorPieces(column: SampleColumn): void {
  for (let from = 0; from < column.count; from += xorSamples) {
    encodeXorChunk(column, from, Math.min(column.count, from + xorSamples))
  }
}

function each<Item>(items: readonly Item[], work: (item: Item) => unknown): void {
  for (const item of items) work(item)
}

function emptied(column: SampleColumn): SampleColumn {
  column.clear()
  return column
}

/** Throws with the column and the seed when one has not come back bit for bit. */
function checkRoundTrips(): void {
  const property = fc.property(anyColumns(), (column) => {
    const back = new SampleColumn()
    decodeChunk(encodeChunk(column), back)
    assertSameSamples(back, column)
  })
  fc.assert(property, { numRuns: roundTrips })
}

async function sqlRate(columns: readonly SampleColumn[]): Promise<number> {
  const server = await startServer()
  const client = new pg.Client({ connectionString: server.url })
  try {
    await migrate(server.url)
    await client.connect()
    await client.query('create temp table encoded (chunk bytea)')
    await client.query('insert into encoded select unnest($1::bytea[])', [
      columns.slice(0, 10 * sensors.length).map(encodeChunk),
    ])
    const rates = []
    for (let round = 0; round < rounds; round++) rates.push(await decodeInSql(client))
    return median(rates)
  } finally {
    await client.end()
    await server.close()
  }
}

async function decodeInSql(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const pid = rows[0]?.pid ?? 0
  const before = await cpuSeconds(pid)
  const { rows: sums } = await client.query<{ n: number }>(
    `select sum(c.n)::float8 as n from encoded,
     lateral (select count(*) as n from chunk_samples(chunk, null, null)) c`,
  )
  return (sums[0]?.n ?? 0) / ((await cpuSeconds(pid)) - before)
}
