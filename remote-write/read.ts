import type { Pool, PoolClient } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import { readFloats } from './postgres/binary.ts'
import {
  addHistogram,
  addSample,
  type Matcher,
  type ReadQuery,
  type ReadSeries,
} from './protocol/read.ts'
import { toPostgresRegex } from './protocol/regex.ts'
import { WireWriter } from './protocol/wire.ts'
import type { Label } from './validate.ts'

export interface ReadOptions {
  /** Samples of all queries together, above which the request is refused. */
  maxSamples: number
  /** Aborts when the client has left. */
  signal: AbortSignal
}

/** Rows of frames fetched at a time: at most some 3 MB. */
const pageRows = 5000

/** Deadline of a statement; a Prometheus waits one minute by default. */
const statementTimeout = '60s'

/**
 * The series that match each query with their samples: series in order of their labels, samples in
 * order of time, stale markers included. All queries see the same state of the database.
 * @throws {RequestError} 400 for a regular expression that PostgreSQL does not take, and when
 * there are too many samples.
 */
export async function readSamples(
  pool: Pool,
  queries: readonly ReadQuery[],
  { maxSamples, signal }: ReadOptions,
): Promise<{ results: ReadSeries[][]; samples: number }> {
  const client = await pool.connect()
  let failed = true
  try {
    await client.query('begin transaction isolation level repeatable read read only')
    await client.query(`select set_config('statement_timeout', $1, true)`, [statementTimeout])
    const reading = { client, signal, maxSamples, samples: 0 }
    const results: ReadSeries[][] = []
    for (const query of queries) results.push(await readQuery(reading, query))
    await client.query('commit')
    failed = false
    return { results, samples: reading.samples }
  } finally {
    client.release(failed)
  }
}

interface Reading {
  client: PoolClient
  signal: AbortSignal
  maxSamples: number
  /** Samples so far, of all queries. */
  samples: number
}

async function readQuery(reading: Reading, query: ReadQuery): Promise<ReadSeries[]> {
  const series = await findSeries(reading.client, query.matchers)
  const frames = byFrame(series)
  await openFrames(reading.client, [...frames.keys()], query)
  await forEachRow<FrameRow>(reading, (row) => addRow(reading, frames, row))
  await openHistograms(reading.client, [...frames.keys()], query)
  await forEachRow<HistogramRow>(reading, (row) => addHistogramRow(reading, frames, row))
  return series.filter(({ samples }) => samples.length > 0).sort(byLabels)
}

interface FoundSeries extends ReadSeries {
  id: number
}

/**
 * Series for which every matcher holds; an absent label counts as empty, as in PromQL. The equality
 * matchers stand apart as well, where an index can serve them.
 */
async function findSeries(client: PoolClient, matchers: readonly Matcher[]) {
  const equal = matchers.filter(({ kind, value }) => kind === '=' && value !== '')
  const labels = equal.filter(({ name }) => name !== '__name__')
  const { rows } = await client.query<{ id: number; metric: string; labels: object }>(
    `select s.id, s.metric, s.labels
     from series s
     where ($1::text is null or s.metric = $1) and s.labels @> $2
       and not exists (
         select
         from jsonb_to_recordset($3) as m (kind text, name text, value text)
         cross join lateral (
           select case m.name when '__name__' then s.metric
             else coalesce(s.labels ->> m.name, '') end
         ) as label (value)
         where not case m.kind
           when '=' then label.value = m.value
           when '!=' then label.value <> m.value
           when '=~' then label.value ~ m.value
           else label.value !~ m.value end)`,
    [
      equal.find(({ name }) => name === '__name__')?.value ?? null,
      JSON.stringify(Object.fromEntries(labels.map(({ name, value }) => [name, value]))),
      JSON.stringify(matchers.map(toPostgres)),
    ],
  )
  return rows.map(({ id, metric, labels }): FoundSeries => {
    return { id, labels: sortedLabels(metric, labels), samples: new WireWriter() }
  })
}

function toPostgres({ kind, name, value }: Matcher): Matcher {
  const isRegex = kind === '=~' || kind === '!~'
  return { kind, name, value: isRegex ? toPostgresRegex(value) : value }
}

function sortedLabels(metric: string, labels: object): Label[] {
  const pairs: [string, unknown][] = [['__name__', metric], ...Object.entries(labels)]
  return pairs
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ name, value: String(value) }))
}

function byLabels(a: ReadSeries, b: ReadSeries): number {
  for (const [i, label] of a.labels.entries()) {
    const other = b.labels[i]
    if (!other) return 1
    if (label.name !== other.name) return label.name < other.name ? -1 : 1
    if (label.value !== other.value) return label.value < other.value ? -1 : 1
  }
  return a.labels.length - b.labels.length
}

/** For each frame the wanted series by position. */
function byFrame(series: readonly FoundSeries[]): Map<number, FoundSeries[]> {
  const frames = new Map<number, FoundSeries[]>()
  for (const one of series) {
    const frame = frames.get(one.id >> 6) ?? []
    frame[one.id & 63] = one
    frames.set(one.id >> 6, frame)
  }
  return frames
}

function openFrames(client: PoolClient, frames: readonly number[], { fromMs, toMs }: ReadQuery) {
  return client.query(
    `declare rows_read no scroll cursor for
     select frame, round(extract(epoch from time) * 1000)::int8 as ms, array_send(v) as v
     from frames
     where frame = any($1::int4[]) and time >= $2 and time <= $3
     order by frame, time`,
    [frames, toTimestamp(fromMs), toTimestamp(toMs)],
  )
}

function openHistograms(
  client: PoolClient,
  frames: readonly number[],
  { fromMs, toMs }: ReadQuery,
) {
  return client.query(
    `declare rows_read no scroll cursor for
     select frame, position, payload
     from histogram
     where frame = any($1::int4[]) and time >= $2 and time <= $3
     order by frame, position, time`,
    [frames, toTimestamp(fromMs), toTimestamp(toMs)],
  )
}

/** Within what both PostgreSQL and ISO 8601 can say: Prometheus asks for the end of time. */
function toTimestamp(timeMs: number): string {
  const [earliest, latest] = [-62_135_596_800_000, 253_402_300_799_999]
  return new Date(Math.min(Math.max(timeMs, earliest), latest)).toISOString()
}

/** The values in PostgreSQL's binary form, because its text makes all NaN one. */
interface FrameRow {
  frame: number
  ms: string
  v: Buffer
}

interface HistogramRow {
  frame: number
  position: number
  payload: Buffer
}

/** Reads the open cursor to its end, and closes it. */
async function forEachRow<R extends object>(
  { client, signal }: Reading,
  visit: (row: R) => void,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const { rows } = await client.query<R>(`fetch ${pageRows} from rows_read`)
    if (rows.length === 0) break
    for (const row of rows) visit(row)
  }
  await client.query('close rows_read')
}

function addRow(reading: Reading, frames: Map<number, FoundSeries[]>, row: FrameRow): void {
  const series = frames.get(row.frame) ?? []
  const timeMs = Number(row.ms)
  readFloats(row.v, (position, low, high) => {
    const one = series[position]
    if (!one) return
    addSample(one.samples, timeMs, low, high)
    reading.samples++
  })
  checkSamples(reading)
}

/** The bytes of a sample in an answer, which a histogram takes many times. */
const sampleBytes = 20

function addHistogramRow(
  reading: Reading,
  frames: Map<number, FoundSeries[]>,
  { frame, position, payload }: HistogramRow,
): void {
  const series = frames.get(frame)?.[position]
  if (!series) return
  addHistogram(series.samples, payload)
  reading.samples += Math.ceil(payload.length / sampleBytes)
  checkSamples(reading)
}

function checkSamples({ samples, maxSamples }: Reading): void {
  if (samples <= maxSamples) return
  const message = `more than ${maxSamples} samples: ask for less time or fewer series`
  throw new RequestError(400, 'too_many_samples', message)
}
