import { readFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import pg from 'pg'
import { types } from '../../remote-write/postgres/binary.ts'
import { CopyRows, copyIn } from '../../remote-write/postgres/copy.ts'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { windowMs } from '../../remote-write/segments/window.ts'
import { startServer } from '../support/server.ts'
import { nodeSamples, sensors } from '../support/telemetry-data.ts'
import { median } from './figures.ts'
import { cpuSeconds } from './processes.ts'

export const name = 'compact'
export const title = 'Compaction of closed windows: CPU and bytes, against rows with a primary key'

const rounds = 5
const nodes = 100
const stepMs = 15_000
const steps = windowMs / stepMs
const startMs = Date.UTC(2026, 0, 1)

export const goals = [
  { key: 'samples_per_cpu_second', least: 5e6, words: 'compaction of one core' },
  { key: 'bytes_per_sample', most: 0.9, words: 'compacted, everything counted' },
]

/** Medians of rounds, a window each, on one PostgreSQL that syncs to disk. CPU in seconds. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  const pool = new pg.Pool({ connectionString: server.url, max: 1 })
  pool.on('error', () => {})
  try {
    await migrate(server.url)
    return await measure(pool)
  } finally {
    await pool.end()
    await server.close()
  }
}

async function measure(pool: pg.Pool): Promise<Record<string, number>> {
  await storeSeries(pool)
  const results: Round[] = []
  for (let round = 0; round <= rounds; round++) {
    await storeWindow(pool, round)
    if (round === 0) await pool.query('create table live as select * from frames')
    const result = await compact(pool)
    if (round > 0) results.push(result)
  }
  const samples = (rounds + 1) * nodes * sensors.length * steps
  const rowBytes = await plainRowBytes(pool)
  const bytes = await sizes(pool, samples)
  const middle = (of: (result: Round) => number) => median(results.map(of))
  return {
    samples_per_cpu_second: middle((one) => one.samples / (one.node + one.postgres)),
    cpu_seconds_per_million: middle((one) => perMillion(one, one.node + one.postgres)),
    node_cpu_seconds_per_million: middle((one) => perMillion(one, one.node)),
    postgres_cpu_seconds_per_million: middle((one) => perMillion(one, one.postgres)),
    samples_per_second: middle((one) => one.samples / one.seconds),
    longest_stop_ms: Math.max(...results.map((one) => one.longestStopMs)),
    wal_bytes_per_sample: middle((one) => one.walBytes / one.samples),
    ...bytes,
    plain_row_bytes: rowBytes,
    ratio_to_plain_rows: rowBytes / (bytes['bytes_per_sample'] ?? Number.NaN),
  }
}

interface Round {
  samples: number
  seconds: number
  node: number
  postgres: number
  longestStopMs: number
  walBytes: number
}

async function compact(pool: pg.Pool): Promise<Round> {
  const [pid = 0, wal = 0] = await backend(pool)
  const server = await parentOf(pid)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const [began, node, postgres] = [performance.now(), process.cpuUsage(), await cpuSeconds(server)]
  delay.enable()
  const done = await compactDue(pool, { delaySeconds: 7200 })
  delay.disable()
  const { user, system } = process.cpuUsage(node)
  const [, walAfter = 0] = await backend(pool)
  if (!done || done.windowsDue > 0)
    throw new Error('not all was compacted', { cause: done?.failures })
  return {
    samples: done.samples,
    seconds: (performance.now() - began) / 1000,
    node: (user + system) / 1e6,
    postgres: (await cpuSeconds(server)) - postgres,
    longestStopMs: delay.max / 1e6,
    walBytes: walAfter - wal,
  }
}

/** The postmaster, of whom all processes of the server are children. */
async function parentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1])
}

async function backend(pool: pg.Pool): Promise<[pid: number, walBytes: number]> {
  const { rows } = await pool.query<{ pid: number; wal: number }>(
    `select pg_backend_pid() as pid,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal`,
  )
  return [rows[0]?.pid ?? 0, rows[0]?.wal ?? 0]
}

async function storeSeries(pool: pg.Pool): Promise<void> {
  const series = Array.from({ length: nodes }, (_, node) =>
    sensors.map((sensor, i) => ({
      id: node * 64 + i,
      metric: `cray_${sensor.metric}`,
      labels: labelsOf(node, i),
    })),
  ).flat()
  await pool.query(
    `insert into series (id, metric, labels)
     select id, metric, labels
     from jsonb_to_recordset($1) as s (id int4, metric text, labels jsonb)`,
    [JSON.stringify(series)],
  )
}

function labelsOf(node: number, sensor: number): Record<string, string> {
  const xname = `x1000c${node % 8}s${node % 7}b0n${node}`
  return {
    ...{ job: 'exporter', instance: xname, xname, bmc: xname.replace(/n\d+$/, '') },
    ...{ chassis: 'Enclosure', sensor: `Sensor ${sensor}`, source: 'redfish', cabinet: 'x1000' },
    ...{ cluster: 'alps', location: 'Input', phase: 'L1' },
  }
}

/** In the order in which scrapes arrive: time by time, node by node. */
async function storeWindow(pool: pg.Pool, window: number): Promise<void> {
  const from = startMs + window * windowMs
  await pool.query('select make_partition($1, $2, $3)', [
    'frames',
    new Date(from),
    new Date(from + windowMs),
  ])
  const columns = Array.from({ length: nodes }, (_, node) =>
    nodeSamples(node, { steps, startMs: from, stepMs, seed: window + 1 }),
  )
  const client = await pool.connect()
  const rows = new CopyRows()
  for (let step = 0; step < steps; step++) {
    columns.forEach((of, node) => {
      rows.row(3, 60 + of.length * 12)
      rows.int4(node)
      rows.time(of[0]?.times[step] ?? 0)
      rows.array(types.float8, of.length, (i) => rows.float8(of[i]?.values[step] ?? 0))
    })
    if (step % 50 === 49 || step === steps - 1) {
      await copyIn(client, 'copy frames (frame, time, v) from stdin (format binary)', rows.take())
    }
  }
  client.release()
}

async function sizes(pool: pg.Pool, samples: number): Promise<Record<string, number>> {
  const { rows } = await pool.query<Record<string, number>>(
    `select sum(pg_table_size(relid)) filter (where r = 'segments')::float8 as segments,
       sum(pg_indexes_size(relid)) filter (where r = 'segments')::float8 as segments_index,
       sum(pg_total_relation_size(relid)) filter (where r = 'rollup')::float8 as rollup,
       (select pg_total_relation_size('series'))::float8 as series,
       (select sum(length(chunk)) from segments)::float8 as chunks
     from unnest(array['segments', 'rollup']) as r
     cross join lateral pg_partition_tree(r::regclass)`,
  )
  const { segments = 0, segments_index = 0, rollup = 0, series = 0, chunks = 0 } = rows[0] ?? {}
  const perSeries = series / (nodes * sensors.length)
  // A series stays as long as its samples: by default 31 days.
  const seriesPerSample = perSeries / ((31 * 86_400_000) / stepMs)
  return {
    bytes_per_sample: (segments + segments_index + rollup) / samples + seriesPerSample,
    segments_heap_bytes_per_sample: segments / samples,
    segments_index_bytes_per_sample: segments_index / samples,
    chunk_bytes_per_sample: chunks / samples,
    rollup_bytes_per_sample: rollup / samples,
    series_bytes_per_sample_in_31_days: seriesPerSample,
    series_bytes: perSeries,
  }
}

/** Bytes of a sample as a row (series_id, time, value) with its primary key. */
async function plainRowBytes(pool: pg.Pool): Promise<number> {
  await pool.query(`
    create table plain (
      series_id int4, time timestamptz, value float8, primary key (series_id, time))`)
  const { rowCount } = await pool.query(
    `insert into plain
     select l.frame * 64 + u.nth, l.time, u.value
     from live l cross join lateral unnest(l.v) with ordinality as u (value, nth)
     where l.frame < 20 order by l.time`,
  )
  const { rows } = await pool.query<{ bytes: number }>(
    `select pg_total_relation_size('plain')::float8 as bytes`,
  )
  return (rows[0]?.bytes ?? Number.NaN) / (rowCount ?? Number.NaN)
}

function perMillion({ samples }: Round, seconds: number): number {
  return seconds / (samples / 1e6)
}
