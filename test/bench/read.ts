import pg from 'pg'
import { compressSync } from 'snappy'
import { types } from '../../remote-write/postgres/binary.ts'
import { CopyRows, copyIn } from '../../remote-write/postgres/copy.ts'
import type { SampleColumn } from '../../remote-write/segments/column.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { windowMs, windowNumber } from '../../remote-write/segments/window.ts'
import { type Matcher, postRead } from '../support/remote-read.ts'
import { writeRequest } from '../support/remote-write.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { nodeSamples } from '../support/telemetry-data.ts'
import { median } from './figures.ts'
import { type Receiver, startPrometheusReceiver, startRecordProcess } from './receivers.ts'

export const name = 'read'
export const title = 'Remote read of 500 series x 4 h, against Prometheus from its own storage'

export const goals = [
  { key: 'streamed_segments_metric_ms', most: 60, words: 'read 500 series x 4 h, compacted, ms' },
  { key: 'streamed_frames_metric_ms', most: 60, words: 'read 500 series x 4 h, live, ms' },
  { key: 'streamed_segments_metric_bytes_per_sample', most: 2, words: 'streamed, bytes a sample' },
]

const rounds = 5
const nodes = 500
const stepMs = 15_000
const steps = windowMs / stepMs
const samples = 500 * steps
/** Of a node, in one frame. */
const width = 20

/** All of 25 nodes, whose frames are read whole, and one metric of all nodes. */
const selections: Record<string, Matcher[]> = {
  nodes: [
    ['job', '=', 'exporter'],
    ['node', '=~', '1?[0-9]|2[0-4]'],
  ],
  metric: [['__name__', '=', 'sensor_0']],
}

/**
 * Medians of interleaved rounds: of 10,000 series 500 are read, one window from segments and the
 * next from frames. CPU is that of the service and of all of PostgreSQL's processes.
 */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  const parts: { close(): Promise<void> }[] = [server]
  try {
    const record = await startRecordProcess(server)
    parts.push(record)
    // Compacted two hours after its end.
    const first = windowNumber(Date.now() - 2 * 3_600_000) - 1
    await fill(server, first)
    const peer = await startPrometheusReceiver()
    if (peer) {
      parts.push(peer)
      await fillPeer(peer, first)
    }
    return await measure({ record, peer, first })
  } finally {
    for (const part of parts.reverse()) await part.close()
  }
}

/** Two windows of all nodes in order of time, the first compacted; straight into the tables. */
async function fill(server: TestServer, first: number): Promise<void> {
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  const client = await pool.connect()
  try {
    await client.query(
      `insert into series (id, metric, labels)
       select node * 64 + sensor, 'sensor_' || sensor, jsonb_build_object(
         'job', 'exporter', 'instance', 'node-' || node, 'node', node::text, 'bmc', 'bmc-' || node,
         'cluster', 'alps', 'cabinet', 'x1000', 'source', 'redfish', 'location', 'Input')
       from generate_series(0, $1 - 1) as node cross join generate_series(0, $2 - 1) as sensor`,
      [nodes, width],
    )
    const rows = new CopyRows()
    for (const window of [first, first + 1]) {
      await client.query(`select make_partition('frames', $1, $2)`, [
        new Date(window * windowMs),
        new Date((window + 1) * windowMs),
      ])
      const columns = Array.from({ length: nodes }, (_, node) => columnsOf(node, window))
      for (let step = 0; step < steps; step++) {
        for (const [node, some] of columns.entries()) addFrame(rows, node, some, step)
        const text = 'copy frames (frame, time, v) from stdin (format binary)'
        await copyIn(client, text, rows.take())
      }
    }
    await client.query('analyze')
    await compactDue(pool, { delaySeconds: 7200 })
    await client.query('vacuum analyze')
  } finally {
    client.release()
    await pool.end()
  }
}

function columnsOf(node: number, window: number): SampleColumn[] {
  const options = { steps, startMs: window * windowMs, seed: window }
  return nodeSamples(node, options).filter((_, i) => i % 2 === 0)
}

function addFrame(rows: CopyRows, frame: number, columns: readonly SampleColumn[], step: number) {
  rows.row(3, 64 + 12 * columns.length)
  rows.int4(frame)
  rows.time(columns[0]?.times[step] ?? 0)
  rows.array(types.float8, columns.length, (n) => rows.float8(columns[n]?.values[step] ?? 0))
}

/**
 * One metric of all nodes in the second window, in order of time, since Prometheus takes nothing
 * much older than its newest sample.
 */
async function fillPeer(peer: Receiver, first: number): Promise<void> {
  const columns = Array.from({ length: nodes }, (_, node) => columnsOf(node, first + 1)[0])
  for (let from = 0; from < steps; from += stepsAtOnce) {
    const series = columns.map((column, node) => ({
      labels: { __name__: 'sensor_0', job: 'exporter', node: `${node}` },
      samples: Array.from({ length: stepsAtOnce }, (_, i) => {
        return [column?.times[from + i] ?? 0, column?.values[from + i] ?? 0] as const
      }),
    }))
    const body = compressSync(writeRequest(series))
    const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' }
    const response = await fetch(peer.url, { method: 'POST', body, headers })
    if (response.status !== 204) throw new Error(`${response.status}: ${await response.text()}`)
  }
}

const stepsAtOnce = 40

interface Bed {
  record: Receiver
  peer: Receiver | undefined
  /** The number of the window that is compacted. */
  first: number
}

/** What is read of whom, by the figure's name. */
function reads({ record, peer, first }: Bed): Map<string, Read> {
  const found = new Map<string, Read>()
  for (const [selection, matchers] of Object.entries(selections)) {
    for (const [place, window] of Object.entries({ segments: first, frames: first + 1 })) {
      for (const type of ['streamed', 'samples'] as const) {
        found.set(`${type}_${place}_${selection}`, { of: record, matchers, window, type })
      }
    }
  }
  if (peer === undefined) return found
  const matchers = selections['metric'] ?? []
  found.set('prometheus_streamed', { of: peer, matchers, window: first + 1, type: 'streamed' })
  found.set('prometheus_samples', { of: peer, matchers, window: first + 1, type: 'samples' })
  return found
}

interface Read {
  of: Receiver
  matchers: readonly Matcher[]
  window: number
  type: 'samples' | 'streamed'
}

async function measure(bed: Bed): Promise<Record<string, number>> {
  const all = reads(bed)
  const results = new Map([...all.keys()].map((key): [string, Result[]] => [key, []]))
  for (let round = -1; round < rounds; round++) {
    for (const [key, each] of all) {
      const result = await readOnce(each)
      if (round >= 0) results.get(key)?.push(result)
    }
  }
  const figures: Record<string, number> = {}
  for (const [key, some] of results) {
    figures[`${key}_ms`] = median(some.map(({ ms }) => ms))
    figures[`${key}_cpu_seconds_per_million`] = median(some.map(({ cpu }) => cpu))
    figures[`${key}_bytes_per_sample`] = median(some.map(({ bytes }) => bytes / samples))
  }
  return figures
}

interface Result {
  ms: number
  cpu: number
  bytes: number
}

/** Reads an answer to its end some times, since the clock of CPU time is coarse. */
async function readOnce({ of, matchers, window, type }: Read): Promise<Result> {
  const url = of.url.replace('/api/v1/write', '')
  const range = [window * windowMs, (window + 1) * windowMs - 1] as const
  const times: number[] = []
  let bytes = 0
  const before = await of.cpuSeconds()
  for (let i = 0; i < repeats; i++) {
    const began = performance.now()
    const response = await postRead({ url }, matchers, range, type === 'streamed' ? [1] : [0])
    const body = await response.arrayBuffer()
    times.push(performance.now() - began)
    bytes = body.byteLength
    if (response.status !== 200 || bytes < samples) {
      throw new Error(`${of.name}: ${response.status}: ${bytes} bytes`)
    }
  }
  const cpu = ((await of.cpuSeconds()) - before) / repeats / samples
  return { ms: median(times), cpu: cpu * 1e6, bytes }
}

const repeats = 3
