import type { Pool, PoolClient } from 'pg'
import { RequestError } from '../exporter/service/request-error.ts'
import type { ReadQuery } from './protocol/read.ts'
import { type ReadSeries, readSamples, seriesWithSamples } from './read-samples.ts'
import type { FoundSeries, SeriesFinder } from './read-series.ts'

export interface ReadOptions {
  finder: SeriesFinder
  /** Samples of all queries together, above which the request is refused. */
  maxSamples: number
  /** Longest time of a statement. */
  timeoutSeconds: number
  /** Aborts when nobody waits for the answer any more; its reason is what is thrown then. */
  signal: AbortSignal
}

/** Some of the series of a query's answer. */
export interface ReadBatch {
  /** Counts the queries from 0. */
  query: number
  series: readonly ReadSeries[]
}

/** Samples in memory at once, 16 bytes each, unless one series alone has more. */
const batchSamples = 1_000_000

/** Series that a batch begins with, before it is known how many samples they have. */
const firstBatch = 1000

/**
 * The series that match each query with their samples in its range, stale markers included: query
 * after query, series in order of their labels, samples in order of time. All queries see the same
 * state of the database. Batches are read as they are taken: until then their transaction is open.
 * @throws {RequestError} 400 for an expression that Prometheus refuses, and for too many samples;
 * the signal's reason; what the database says.
 */
export async function* readBatches(
  pool: Pool,
  queries: readonly ReadQuery[],
  options: ReadOptions,
): AsyncGenerator<ReadBatch> {
  const { signal, timeoutSeconds } = options
  const client = await pool.connect()
  const ends = new Ends(pool, signal)
  let failed = true
  try {
    ends.watch(await begin(client, timeoutSeconds))
    const budget = { most: options.maxSamples, left: options.maxSamples }
    for (const [query, one] of queries.entries()) {
      const batches = readQuery(client, one, { finder: options.finder, budget })
      for await (const series of batches) yield { query, series }
    }
    await client.query('commit')
    failed = false
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    await ends.settle()
    client.release(failed || ends.came)
  }
}

/**
 * The lock comes before the snapshot, which the first query takes: a partition of frames that
 * compaction empties and drops afterwards would take samples along that the snapshot still has.
 * The timeout of statements is there for the case that nobody is left to cancel one.
 */
async function begin(client: PoolClient, timeoutSeconds: number): Promise<number> {
  await client.query(
    `begin transaction isolation level repeatable read read only;
     lock table only frames in access share mode`,
  )
  const { rows } = await client.query<{ pid: number }>(
    `select pg_backend_pid() as pid, set_config('statement_timeout', $1, true)`,
    [`${timeoutSeconds}s`],
  )
  return rows[0]?.pid ?? 0
}

/** Cancels what the database is doing for a request that has come to its end before its answer. */
class Ends {
  readonly #pool: Pool
  readonly #signal: AbortSignal
  #cancel: (() => void) | undefined
  #cancelled: Promise<unknown> | undefined

  constructor(pool: Pool, signal: AbortSignal) {
    this.#pool = pool
    this.#signal = signal
  }

  get came(): boolean {
    return this.#cancelled !== undefined
  }

  /** @throws the signal's reason, if the end has come already. */
  watch(pid: number): void {
    this.#signal.throwIfAborted()
    this.#cancel = () => {
      this.#cancelled = this.#pool.query('select pg_cancel_backend($1)', [pid]).catch(() => {})
    }
    this.#signal.addEventListener('abort', this.#cancel)
  }

  /** Waits until nothing more can be cancelled: the connection may be somebody else's next. */
  async settle(): Promise<void> {
    if (this.#cancel) this.#signal.removeEventListener('abort', this.#cancel)
    await this.#cancelled
  }
}

async function* readQuery(
  client: PoolClient,
  query: ReadQuery,
  { finder, budget }: { finder: SeriesFinder; budget: Budget },
): AsyncGenerator<readonly ReadSeries[]> {
  const found = await finder.find(client, query.matchers)
  if (query.onlySeries) yield await seriesWithSamples(client, found, query)
  else yield* readInBatches(client, found, { ...query, budget })
}

/** Samples that all queries together may still have. */
interface Budget {
  most: number
  left: number
}

async function* readInBatches(
  client: PoolClient,
  found: readonly FoundSeries[],
  { fromMs, toMs, budget }: { fromMs: number; toMs: number; budget: Budget },
): AsyncGenerator<readonly ReadSeries[]> {
  let size = firstBatch
  for (let at = 0; at < found.length; ) {
    const some = found.slice(at, at + size)
    const most = some.length === 1 ? budget.left : Math.min(batchSamples, budget.left)
    const { series, samples } = await readSamples(client, some, { fromMs, toMs, most })
    if (series) {
      budget.left -= samples
      at += some.length
      size = Math.max(1, Math.floor((batchSamples / 2 / (samples + 1)) * some.length))
      yield series
    } else {
      if (most === budget.left) throw tooMany(budget)
      size = Math.ceil(some.length / 4)
    }
  }
}

function tooMany({ most }: Budget): RequestError {
  const message = `more than ${most} samples: ask for less time or fewer series`
  return new RequestError(400, 'too_many_samples', message)
}
