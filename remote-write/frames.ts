import type { Pool, PoolClient } from 'pg'
import type { Logger } from '../exporter/service/log.ts'
import { UnavailableError } from '../exporter/service/request-error.ts'
import { Batch } from './batch.ts'
import { insertExemplars } from './exemplars.ts'
import { insertHistograms } from './histograms.ts'
import { dropStored } from './late.ts'
import type { WriteMetrics } from './metrics.ts'
import type { Partitions } from './partitions.ts'
import { databaseError, isEpochOver, isNoPartition } from './postgres/sqlstate.ts'
import type { Samples } from './samples.ts'
import { windowMs, windowNumber } from './segments/window.ts'
import type { SeriesIndex } from './series.ts'
import { enterNewEpoch, giveIds } from './series-ids.ts'

export interface WriterOptions {
  /** Used for one connection at a time. */
  pool: Pool
  index: SeriesIndex
  partitions: Partitions
  metrics: WriteMetrics
  log: Logger
  targetLabels: readonly string[]
  /** Series in memory. */
  maxSeries: number
  /** Samples in the open batch and the one being committed, above which requests get 503. */
  openSamples: number
  /** A window that ended longer ago may be compacted: its rows are written another way. */
  lateSeconds: number
  now: () => Date
}

/**
 * Group commit: requests that arrive while a transaction runs share the next one, and each is
 * answered after its commit. There is one writer for each group of frames (a plain server is one
 * group), so that no two transactions of ours wait for each other.
 */
export class FrameWriter {
  readonly #options: WriterOptions
  #open: OpenBatch
  #spare: OpenBatch
  #running: Promise<void> | undefined
  #runningSamples = 0
  #closed = false
  #rowType: number | undefined
  #droppedIdleAt: number

  constructor(options: WriterOptions) {
    this.#options = options
    this.#open = { batch: new Batch(options.index), waiting: [] }
    this.#spare = { batch: new Batch(options.index), waiting: [] }
    this.#droppedIdleAt = options.now().getTime()
  }

  /** Samples that no transaction has committed yet. */
  get openSamples(): number {
    return this.#open.batch.samples + this.#runningSamples
  }

  /**
   * Takes the samples in and resolves when they are on disk. The samples are read before it
   * returns, so the caller may use them again.
   * @throws {UnavailableError} at once when too many samples wait or the writer is closed, and
   * later when the transaction fails; {RequestError} 400 when it fails for the data.
   */
  add(samples: Samples): Promise<void> {
    if (this.#closed) throw new UnavailableError('closing', 'the service is stopping')
    this.#checkRoom(samples.accepted)
    this.#open.batch.add(samples)
    const done = new Promise<void>((resolve, reject) => {
      this.#open.waiting.push({ resolve, reject })
    })
    this.#running ??= this.#run()
    return done
  }

  /** To be called when there was no room for a series: later ones may find some. */
  makeRoom(): void {
    if (!this.#running) this.#dropIdle()
  }

  /** Resolves when all that was taken in is committed or has failed; takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  /** A row takes some 600 bytes and mostly holds dozens of samples; rows of one are bounded too. */
  #checkRoom(count: number): void {
    const { openSamples } = this.#options
    const rows = this.#open.batch.rows
    if (rows > 0 && (this.openSamples + count > openSamples || rows * 4 > openSamples)) {
      const message = `${this.openSamples} samples wait for their commit, limit ${openSamples}`
      throw new UnavailableError('overloaded', message, { retryAfterSeconds: 1 })
    }
  }

  async #run(): Promise<void> {
    while (this.#open.waiting.length > 0) {
      this.#dropIdle()
      const current = this.#open
      this.#open = this.#spare
      this.#spare = current
      this.#runningSamples = current.batch.samples
      const error = await this.#commit(current.batch)
      for (const { resolve, reject } of current.waiting) error ? reject(error) : resolve()
      current.batch.clear()
      current.waiting = []
      this.#runningSamples = 0
    }
    this.#running = undefined
  }

  /**
   * From time to time, and sooner where there is no room for others. Between two transactions only
   * the open batch has entries that must stay.
   */
  #dropIdle(): void {
    const { index, now, metrics, maxSeries } = this.#options
    const after = index.size >= maxSeries ? idleMs.whenFull : idleMs.mostly
    if (now().getTime() - this.#droppedIdleAt < after) return
    this.#droppedIdleAt = now().getTime()
    metrics.idleSeries.inc(index.dropIdle(this.#open.batch.entries))
  }

  /** Resolves to the error that all requests of the batch are answered with, if there is one. */
  async #commit(batch: Batch): Promise<Error | undefined> {
    const { metrics, log, partitions } = this.#options
    const stop = metrics.commitDuration.startTimer()
    try {
      await this.#write(batch)
      metrics.stored.inc(batch.samples - batch.histograms.length - batch.exemplars.length)
      metrics.storedHistograms.inc(batch.histograms.length)
      metrics.storedExemplars.inc(batch.exemplars.length)
    } catch (cause) {
      if (isNoPartition(cause)) partitions.forget()
      this.#rowType = undefined
      log.error({ error: cause, samples: batch.samples }, 'samples not committed')
      return databaseError(cause)
    } finally {
      stop()
    }
    return undefined
  }

  async #write(batch: Batch): Promise<void> {
    const client = await this.#options.pool.connect()
    let failed = true
    try {
      await this.#makePartitions(client, batch)
      this.#rowType ??= await frameRowType(client)
      const rowType = this.#rowType
      while (!(await this.#insert(client, batch, rowType))) {
        const gone = await enterNewEpoch(client, this.#options.index)
        for (const { batch } of [this.#open, this.#spare]) batch.withdraw(gone)
      }
      failed = false
    } finally {
      client.release(failed)
    }
  }

  /** Whether the ids of the series hold still; otherwise nothing was written. */
  async #insert(client: PoolClient, batch: Batch, rowType: number): Promise<boolean> {
    const { index } = this.#options
    batch.settle((entry) => index.id(entry))
    const lateBefore = this.#lateBefore()
    const { histograms, exemplars, newEntries } = batch
    const alone = histograms.length + exemplars.length + newEntries.length === 0
    try {
      if (alone && oldestOf(batch.times()) >= lateBefore) {
        await insertFrames(client, batch, { rowType, epoch: index.epoch })
      } else await this.#writeTogether(client, batch, { rowType, lateBefore })
      return true
    } catch (error) {
      if (!isEpochOver(error)) throw error
      await client.query('rollback')
      return false
    }
  }

  /** The start of the first window that is certainly not compacted yet. */
  #lateBefore(): number {
    const { now, lateSeconds } = this.#options
    return windowNumber(now().getTime() - lateSeconds * 1000) * windowMs
  }

  async #makePartitions(client: PoolClient, batch: Batch): Promise<void> {
    const { partitions } = this.#options
    await partitions.ensure(client, 'frames', batch.times())
    await partitions.ensure(client, 'histogram', timesOf(batch.histograms))
    await partitions.ensure(client, 'exemplar', timesOf(batch.exemplars))
  }

  /** Ids enter the index after the commit: one taken in vain must not survive. */
  async #writeTogether(
    client: PoolClient,
    batch: Batch,
    { rowType, lateBefore }: { rowType: number; lateBefore: number },
  ): Promise<void> {
    const { index, targetLabels } = this.#options
    await client.query('begin')
    await client.query('select enter_epoch($1)', [index.epoch])
    const ids = await giveIds(client, { index, targetLabels, entries: batch.newEntries })
    const idOf = (entry: number) => ids.get(entry) ?? index.id(entry)
    batch.settle(idOf)
    await dropStored(client, batch, lateBefore)
    await insertFrames(client, batch, { rowType })
    await insertHistograms(client, batch.histograms, idOf)
    await insertExemplars(client, batch.exemplars, idOf)
    await client.query('commit')
    for (const [entry, id] of ids) index.setId(entry, id)
  }
}

/** For how long a series must have been without a sample to be let go from memory. */
const idleMs = { mostly: 6 * 3_600_000, whenFull: 600_000 }

interface OpenBatch {
  batch: Batch
  waiting: { resolve: () => void; reject: (error: Error) => void }[]
}

function* timesOf(rows: readonly { timeMs: number }[]): Iterable<number> {
  for (const { timeMs } of rows) yield timeMs
}

async function frameRowType(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ reltype: number }>(
    `select reltype from pg_class where oid = 'frames'::regclass`,
  )
  return rows[0]?.reltype ?? 0
}

/**
 * One statement: alone it is a transaction of its own. A row that is there already as it stands, as
 * after a retry, is only compared: that takes a fifth of a merge's time. Late rows are told to
 * note_stretches (functions/counter_stretch.sql); where the oldest is not, they are not looked for.
 * The epoch is that of the ids, unless the transaction has entered it.
 */
async function insertFrames(
  client: PoolClient,
  batch: Batch,
  { rowType, epoch }: { rowType: number; epoch?: number },
): Promise<void> {
  const rows = batch.encode(rowType)
  if (rows === undefined) return
  await client.query({
    name: 'insert_frames',
    text: `
      with entered as materialized (
        select case when $3::int4 is not null then enter_epoch($3) end
      ),
      late as (
        insert into late_frame (frame, from_time, to_time)
        select r.frame, min(r.time), max(r.time)
        from unnest($1::frames[]) r
        where $2 < statement_timestamp() - interval '5 minutes'
          and r.time < statement_timestamp() - interval '5 minutes'
        group by r.frame
      )
      insert into frames as f (frame, time, v)
      select r.frame, r.time, r.v from entered cross join unnest($1::frames[]) r
      on conflict (frame, time) do update set v = frames_merge(f.v, excluded.v)
      where f.v <> excluded.v and frames_merge(f.v, excluded.v) is distinct from f.v`,
    values: [rows, new Date(oldestOf(batch.times())), epoch ?? null],
  })
}

function oldestOf(times: Iterable<number>): number {
  let oldest = Number.POSITIVE_INFINITY
  for (const time of times) if (time < oldest) oldest = time
  return oldest
}
