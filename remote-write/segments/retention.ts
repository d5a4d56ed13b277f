import type { Pool, PoolClient } from 'pg'
import { listPartitions, type PartitionedTable, type Partitions } from '../partitions.ts'
import { isLocked } from '../postgres/sqlstate.ts'
import { compileRegex } from '../protocol/regex.ts'
import type { RetentionSettings } from '../settings.ts'
import { forgetMarked, markSeries } from './forget.ts'
import { duePartitions, type Partition } from './window.ts'

export interface RetentionOptions {
  settings: RetentionSettings
  /** Names of labels by which a series is one of a job. */
  jobLabels?: readonly string[]
  /** The receiver's, which must not count on a partition that is dropped. */
  partitions: Partitions
  /** What earlier runs deleted already; kept by the caller from run to run. */
  swept: Set<string>
  /** Aborts it after the statement in hand. */
  signal?: AbortSignal
}

export interface Retained {
  droppedPartitions: number
  /** Of segments and roll-ups whose series are kept for less than others. */
  deletedRows: number
  /** Of which nothing was left, an hour ago or longer. */
  forgottenSeries: number
  /** Partitions that somebody used: left to the next run. */
  partitionsInUse: number
}

/**
 * Lets go what is older than it shall be: whole partitions, and from those that other series still
 * need the rows of the series whose time is over, once the whole partition is that old, so that
 * each is swept and vacuumed once. Series of which nothing is left are forgotten. Resolves to
 * undefined when another process is at it.
 * @throws {Error} of the database; what was done stays done.
 */
export async function applyRetention(
  pool: Pool,
  options: RetentionOptions,
): Promise<Retained | undefined> {
  const client = await pool.connect()
  let failed = true
  try {
    const { rows } = await client.query<{ locked: boolean }>(
      'select pg_try_advisory_lock($1) as locked',
      [retentionLock],
    )
    const done = rows[0]?.locked === true ? await retain(client, options) : undefined
    if (done) await client.query('select pg_advisory_unlock($1)', [retentionLock])
    failed = false
    return done
  } finally {
    // The lock goes with the connection.
    client.release(failed)
  }
}

/** Any constant serves, as long as nothing else in the database locks the same number. */
const retentionLock = 8_021_120_503

/** Metrics that are kept equally long. */
export interface KeptMetrics {
  metrics: string[]
  samplesSeconds: number
  rollupSeconds: number
}

/** Which metrics each rule is for: the first that matches the whole name, else the default. */
function keptMetrics(
  { samplesSeconds, rollupSeconds, metrics }: RetentionSettings,
  names: readonly string[],
): KeptMetrics[] {
  const rules = metrics.map((rule) => {
    const kept: KeptMetrics = {
      metrics: [],
      samplesSeconds: rule.samplesSeconds,
      rollupSeconds: rule.rollupSeconds ?? rollupSeconds,
    }
    return { matches: compileRegex(rule.match), kept }
  })
  const others: KeptMetrics = { metrics: [], samplesSeconds, rollupSeconds }
  for (const name of names) {
    const rule = rules.find(({ matches }) => matches(name))
    const kept = rule?.kept ?? others
    kept.metrics.push(name)
  }
  return [...rules.map(({ kept }) => kept), others]
}

interface Run extends RetentionOptions {
  client: PoolClient
  result: Retained
}

async function retain(client: PoolClient, options: RetentionOptions): Promise<Retained> {
  const result = { droppedPartitions: 0, deletedRows: 0, forgottenSeries: 0, partitionsInUse: 0 }
  const run: Run = { ...options, client, result }
  const { rows } = await client.query<{ metric: string }>('select distinct metric from series')
  const names = rows.map(({ metric }) => metric)
  const rules = keptMetrics(options.settings, names)
  const longest = (of: 'samplesSeconds' | 'rollupSeconds') =>
    Math.max(...rules.map((rule) => rule[of]))
  await dropOlder(run, 'frames', longest('samplesSeconds'))
  await dropOlder(run, 'segments', longest('samplesSeconds'))
  await dropOlder(run, 'rollup', longest('rollupSeconds'))
  await dropOlder(run, 'histogram', options.settings.samplesSeconds)
  await dropOlder(run, 'exemplar', options.settings.samplesSeconds)
  for (const { metrics, samplesSeconds, rollupSeconds } of rules) {
    if (metrics.length === 0) continue
    await sweep(run, { table: 'segments', metrics, seconds: samplesSeconds })
    await sweep(run, { table: 'rollup', metrics, seconds: rollupSeconds })
    const seconds = Math.min(rollupSeconds, options.settings.jobRollupSeconds ?? samplesSeconds)
    await sweep(run, { table: 'rollup', metrics, jobLabels: options.jobLabels ?? [], seconds })
  }
  await forget(run, rules)
  return result
}

/** Each look at all series takes some seconds: it is done as seldom as a partition is swept. */
async function forget(run: Run, rules: readonly KeptMetrics[]): Promise<void> {
  const { client, swept, signal, result } = run
  result.forgottenSeries = await forgetMarked(client, signal)
  if (swept.has('series')) return
  for (const { metrics, samplesSeconds } of rules) {
    await markSeries(client, { metrics, seconds: samplesSeconds }, signal)
  }
  await client.query('select begin_epoch()')
  if (!signal?.aborted) swept.add('series')
}

async function dropOlder(run: Run, table: PartitionedTable, seconds: number): Promise<void> {
  const { client, result } = run
  for (const { name } of await older(run, table, seconds)) {
    try {
      await client.query('select drop_partition($1)', [name])
      result.droppedPartitions++
    } catch (error) {
      if (!isLocked(error)) throw error
      result.partitionsInUse++
    }
    run.partitions.forget()
  }
}

async function older(run: Run, table: PartitionedTable, seconds: number): Promise<Partition[]> {
  const { partitions, nowMs } = await listPartitions(run.client, table)
  return duePartitions(partitions, nowMs, seconds)
}

/** Frames of which rows are deleted in one transaction: of segments some 50,000 at most. */
const framesAtOnce = 128

interface Sweep {
  table: 'segments' | 'rollup'
  metrics: readonly string[]
  /** Only series with one of these labels. */
  jobLabels?: readonly string[]
  seconds: number
}

async function sweep(run: Run, { table, seconds, metrics, jobLabels }: Sweep): Promise<void> {
  const chosen = [metrics, jobLabels ?? null]
  const first = await nextFrame(run, chosen, 0)
  if (first === undefined) return
  const partitions = await older(run, table, seconds)
  for (const { name, fromMs, toMs } of partitions) {
    const key = `${name} ${seconds} ${jobLabels}`
    if (run.swept.has(key)) continue
    for (let frame: number | undefined = first; frame !== undefined; ) {
      if (run.signal?.aborted) return
      const to: number = frame + framesAtOnce
      const range = [...chosen, frame, to, new Date(fromMs), new Date(toMs)]
      const deleted = await run.client.query(
        table === 'segments' ? deleteSegments : thinRollup,
        range,
      )
      run.result.deletedRows += deleted.rowCount ?? 0
      frame = await nextFrame(run, chosen, to)
    }
    run.swept.add(key)
  }
}

/** The next frame, from `first` on, that has a series that is chosen. */
async function nextFrame(
  { client }: Run,
  chosen: readonly unknown[],
  first: number,
): Promise<number | undefined> {
  const { rows } = await client.query<{ frame: number | null }>(
    `select min(s.frame) as frame from series s where ${isChosen} and s.frame >= $3`,
    [...chosen, first],
  )
  return rows[0]?.frame ?? undefined
}

const isChosen = 's.metric = any($1) and ($2::text[] is null or s.labels ?| $2)'

const deleteSegments = `
  delete from segments g
  using series s
  where ${isChosen} and s.frame >= $3 and s.frame < $4
    and g.frame = s.frame and g.position = s.position
    and g.frame >= $3 and g.frame < $4 and g.t0 >= $5 and g.t0 < $6`

/** A row is of a whole frame: it goes when none of its series is left. */
const thinRollup = `
  with gone as (
    select s.frame, array_agg(s.position) as positions
    from series s
    where ${isChosen} and s.frame >= $3 and s.frame < $4
    group by s.frame
  ),
  thinner as (
    select r.frame, r.t0, without_positions(r.n, g.positions) as n, g.positions
    from rollup r join gone g on g.frame = r.frame
    where r.frame >= $3 and r.frame < $4 and r.t0 >= $5 and r.t0 < $6
      and without_positions(r.n, g.positions) is distinct from r.n
  ),
  deleted as (
    delete from rollup r
    using thinner t
    where r.frame = t.frame and r.t0 = t.t0 and array_remove(t.n, null) = '{}'
      and r.t0 >= $5 and r.t0 < $6
  )
  update rollup r
  set n = t.n,
    min = without_positions(r.min, t.positions),
    max = without_positions(r.max, t.positions),
    sum = without_positions(r.sum, t.positions),
    area = without_positions(r.area, t.positions),
    increase = without_positions(r.increase, t.positions)
  from thinner t
  where r.frame = t.frame and r.t0 = t.t0 and array_remove(t.n, null) <> '{}'
    and r.t0 >= $5 and r.t0 < $6`
