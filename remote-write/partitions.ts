import type { ClientBase, Pool } from 'pg'

const hourMs = 3600 * 1000

/**
 * The span of time of a partition, by table. Spans begin at multiples of it since 1970, UTC. Of
 * histograms and exemplars there are few: partitions of a day keep their number low.
 */
const spanMs = { frames: 4 * hourMs, histogram: 24 * hourMs, exemplar: 24 * hourMs }

type PartitionedTable = keyof typeof spanMs

/** Partitions of frames that are made before they are needed. */
const spansAhead = 2

/** Makes partitions: of frames ahead of time, and whenever a row has a time without one. */
export class Partitions {
  readonly #known = new Set<string>()

  /** Makes those that rows of these times (milliseconds since 1970) lack. */
  async ensure(
    db: Pool | ClientBase,
    table: PartitionedTable,
    times: Iterable<number>,
  ): Promise<void> {
    const span = spanMs[table]
    const starts = new Set<number>()
    for (const timeMs of times) starts.add(Math.floor(timeMs / span) * span)
    for (const start of starts) await this.#make(db, table, start)
  }

  /** Makes the partition of frames for `now` and the next ones. */
  ensureAhead(db: Pool, now: Date): Promise<void> {
    const ahead = Array.from({ length: spansAhead + 1 }, (_, i) => i * spanMs.frames)
    return this.ensure(
      db,
      'frames',
      ahead.map((later) => now.getTime() + later),
    )
  }

  /** To be called when a partition turned out to be gone. */
  forget(): void {
    this.#known.clear()
  }

  async #make(db: Pool | ClientBase, table: PartitionedTable, start: number): Promise<void> {
    const key = `${table} ${start}`
    if (this.#known.has(key)) return
    const [from, to] = [new Date(start), new Date(start + spanMs[table])]
    await db.query('select make_partition($1, $2, $3)', [table, from, to])
    this.#known.add(key)
  }
}
