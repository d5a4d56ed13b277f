import type { Pool, PoolClient } from 'pg'
import { listPartitions, Partitions } from '../partitions.ts'
import { isLocked } from '../postgres/sqlstate.ts'
import { FrameCompactor, type WindowFrames } from './frame-compactor.ts'
import { duePartitions, type Partition, windowNumber } from './window.ts'

export interface CompactOptions {
  /** A window is due when it ended longer ago than this. */
  delaySeconds: number
  /** The receiver's, which must not count on a partition that is dropped. */
  partitions?: Partitions
  /** Aborts it after the transaction in hand. */
  signal?: AbortSignal
}

export interface Compacted {
  samples: number
  /** Windows whose partition of frames was dropped. */
  windows: number
  /** Windows that are due still. */
  windowsDue: number
  /** Why windows could not be finished, each naming its partition. */
  failures: Error[]
}

/** Samples of a transaction, about: 16 bytes each in memory, and late writers wait for so many. */
const samplesAtOnce = 500_000

const framesAtOnce = 64

/**
 * Moves the samples of all due windows from frames to segments, oldest window first, some frames
 * in a transaction: a sample is in one of both in every state of the database, so it may be broken
 * off anywhere and begun anew. Resolves to undefined when another process is at it.
 * @throws {Error} when the database is lost.
 */
export async function compactDue(
  pool: Pool,
  { delaySeconds, partitions = new Partitions(), signal }: CompactOptions,
): Promise<Compacted | undefined> {
  const client = await pool.connect()
  let failed = true
  try {
    if (!(await takeLock(client))) {
      failed = false
      return undefined
    }
    const compactor = new FrameCompactor(client)
    const compacted = await compactAll({ client, compactor, partitions, signal }, delaySeconds)
    await client.query('select pg_advisory_unlock($1)', [compactionLock])
    failed = false
    return compacted
  } finally {
    // The lock goes with the connection.
    client.release(failed)
  }
}

/** Any constant serves, as long as nothing else in the database locks the same number. */
const compactionLock = 8_021_120_502

async function takeLock(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>(
    'select pg_try_advisory_lock($1) as locked',
    [compactionLock],
  )
  return rows[0]?.locked === true
}

interface Tools {
  client: PoolClient
  compactor: FrameCompactor
  partitions: Partitions
  signal: AbortSignal | undefined
}

interface Run extends Tools {
  result: Compacted
}

async function compactAll(tools: Tools, delaySeconds: number): Promise<Compacted> {
  const { client, signal } = tools
  const listed = await listPartitions(client, 'frames')
  const due = duePartitions(listed.partitions, listed.nowMs, delaySeconds)
  const result: Compacted = { samples: 0, windows: 0, windowsDue: due.length, failures: [] }
  const run: Run = { ...tools, result }
  for (const window of due) {
    if (signal?.aborted) break
    await compactWindow(run, window).catch(async (cause: unknown) => {
      const failure = new Error(window.name, { cause })
      result.failures.push(failure)
      run.compactor = new FrameCompactor(client)
      await client.query('rollback').catch(() => {
        // The connection is lost, and with it the run.
        throw failure
      })
    })
  }
  return result
}

async function compactWindow(run: Run, window: Partition): Promise<void> {
  const { client, partitions, signal } = run
  await partitions.ensure(client, 'segments', [window.fromMs])
  await partitions.ensure(client, 'rollup', [window.fromMs])
  let [next, count] = [0, 1]
  while (!signal?.aborted) {
    const frames = await nextFrames(client, window, next, count)
    const last = frames.at(-1)
    if (last === undefined) return await dropWindow(run, window)
    const samples = await compactFrames(run, { windowStartMs: window.fromMs, frames })
    next = last + 1
    count = nextCount(count, samples / frames.length)
  }
}

async function compactFrames(run: Run, asked: WindowFrames): Promise<number> {
  const { client, compactor, result } = run
  await client.query('begin')
  const samples = await compactor.compact(asked).catch((cause: unknown) => {
    throw new Error(`frames ${asked.frames[0]} to ${asked.frames.at(-1)}`, { cause })
  })
  await client.query('commit')
  result.samples += samples
  return samples
}

/** How many frames to take at once, when they have so many samples each. */
function nextCount(count: number, samplesPerFrame: number): number {
  const wanted = Math.floor(samplesAtOnce / Math.max(samplesPerFrame, 1))
  return Math.max(1, Math.min(wanted, 4 * count, framesAtOnce))
}

/** The next frames that have rows in the window, from `first` on: one look at the index each. */
async function nextFrames(
  client: PoolClient,
  { fromMs, toMs }: Partition,
  first: number,
  count: number,
): Promise<number[]> {
  const { rows } = await client.query<{ frame: number }>(
    `with recursive found (frame) as (
       (select frame from frames
        where frame >= $1 and time >= $3 and time < $4 order by frame limit 1)
       union all
       select (
         select frame from frames
         where frame > found.frame and time >= $3 and time < $4 order by frame limit 1)
       from found where found.frame is not null
     )
     select frame from found where frame is not null limit $2`,
    [first, count, new Date(fromMs), new Date(toMs)],
  )
  return rows.map(({ frame }) => frame)
}

/** Rows that came meanwhile stay, with the partition, for the next run; as when it is in use. */
async function dropWindow({ client, partitions, result }: Run, window: Partition): Promise<void> {
  const { rows } = await client
    .query<{ dropped: boolean }>('select drop_empty_window($1, $2) as dropped', [
      windowNumber(window.fromMs),
      window.name,
    ])
    .catch((error: unknown) => {
      if (!isLocked(error)) throw error
      return { rows: [] }
    })
  if (rows[0]?.dropped !== true) return
  partitions.forget()
  result.windows++
  result.windowsDue--
}
