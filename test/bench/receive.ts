import type pg from 'pg'
import { type Bed, type Measured, receive, withBed } from './bed.ts'
import { median } from './figures.ts'
import { Requests, Steps } from './requests.ts'
import { growRows } from './rows.ts'

export const name = 'receive'
export const title = 'HTTP receive with durable commit and dedup, against binary COPY of plain rows'

export const goals = [
  { key: 'ratio_to_copy', least: 0.75, words: 'receive / COPY of rows without index' },
  { key: 'ratio_to_copy_into_key', least: 4, words: 'receive / COPY into rows with primary key' },
  { key: 'live_bytes_per_sample', most: 11, words: 'bytes per sample, live' },
]

const rounds = 5
const series = 2000
const stepsPerRound = 500
/** The row table has 5 million rows before it is measured. */
const grownSteps = 2500

/**
 * Medians of interleaved rounds; CPU is that of the service and all of PostgreSQL's processes.
 * Every rate is of the same samples: 2000 series, 40 of a target, a million samples a round.
 */
export async function run(): Promise<Record<string, number>> {
  return await withBed(measure)
}

async function measure(bed: Bed): Promise<Record<string, number>> {
  const steps = new Steps((rounds + 1) * stepsPerRound * 2)
  await bed.client.query('create table plain (series_id int4, time timestamptz, value float8)')
  const grown = { series, steps: grownSteps, beforeMs: steps.nextMs }
  await growRows(bed.client, { table: 'keyed', ...grown })
  const results: Round[] = []
  for (let round = -1; round < rounds; round++) {
    const result = await measureRound(bed, steps)
    if (round >= 0) results.push(result)
  }
  const middle = (figure: (round: Round) => number) => median(results.map(figure))
  return {
    ratio_to_copy: middle(({ v1, plain }) => v1.samplesPerSecond / plain),
    v2_ratio_to_copy: middle(({ v2, plain }) => v2.samplesPerSecond / plain),
    ratio_to_copy_into_key: middle(({ v1, keyed }) => v1.samplesPerSecond / keyed),
    copy_samples_per_second: middle(({ plain }) => plain),
    copy_into_key_samples_per_second: middle(({ keyed }) => keyed),
    ...described('v1', (figure) => middle(({ v1 }) => figure(v1))),
    ...described('v2', (figure) => middle(({ v2 }) => figure(v2))),
    live_bytes_per_sample: await bytesPerSample(bed.client),
  }
}

interface Round {
  v1: Measured
  v2: Measured
  /** Rows a second. */
  plain: number
  keyed: number
}

const requests = {
  v1: new Requests({ series, perTarget: 40 }),
  v2: new Requests({ series, perTarget: 40, version: '2.0' }),
}

async function measureRound(bed: Bed, steps: Steps): Promise<Round> {
  const { record, sender, copies } = bed
  const ids = Array.from({ length: series }, (_, i) => i)
  const times = steps.take(stepsPerRound)
  const v1 = await receive(record, sender, requests.v1.load(times))
  const files = await copies.prepare(times, ids)
  const plain = await copies.into('plain', files)
  const v2 = await receive(record, sender, requests.v2.load(steps.take(stepsPerRound)))
  const keyed = await copies.into('keyed', files)
  await copies.remove(files)
  return { v1, v2, plain, keyed }
}

function described(
  name: string,
  middle: (figure: (one: Measured) => number) => number,
): Record<string, number> {
  return {
    [`${name}_samples_per_second`]: middle((one) => one.samplesPerSecond),
    [`${name}_cpu_seconds_per_million`]: middle((one) => one.cpuSecondsPerMillion),
    [`${name}_p50_ms`]: middle((one) => one.p50Ms),
    [`${name}_p99_ms`]: middle((one) => one.p99Ms),
  }
}

/** Heap, index and all else of the table. */
async function bytesPerSample(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: number }>(
    `select sum(pg_total_relation_size(relid))::float8
       / (select sum(cardinality(v)) from frames) as bytes
     from pg_partition_tree('frames')`,
  )
  return rows[0]?.bytes ?? Number.NaN
}
