import type { ClientBase, Pool } from 'pg'
import { type Partition, windowMs } from './segments/window.ts'

const dayMs = 24 * 3600 * 1000

/**
 * The span of time of a partition, by table. Spans begin at multiples of it since 1970, UTC, and
 * are made of whole windows. Of histograms, exemplars and segments there are few rows, of roll-ups
 * fewer: longer spans keep the number of partitions low.
 */
const spanMs = {
  frames: windowMs,
  histogram: dayMs,
  exemplar: dayMs,
  segments: dayMs,
  rollup: 30 * dayMs,
}

export type PartitionedTable = keyof typeof spanMs

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

  /** To be called when a partition turned out to be gone, or was dropped. */
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

/** Those a table has, oldest first, and the time by the database's clock. */
export async function listPartitions(
  db: Pool | ClientBase,
  table: PartitionedTable,
): Promise<{ partitions: Partition[]; nowMs: number }> {
  const { rows } = await db.query<{ name: string | null; from: Date; to: Date; now: Date }>(
    `select p.name, p.from_time as "from", p.to_time as "to", now() as now
     from (select) as once left join partitions($1) p on true`,
    [table],
  )
  const partitions = rows.flatMap(({ name, from, to }) =>
    name === null ? [] : [{ name, fromMs: from.getTime(), toMs: to.getTime() }],
  )
  return { partitions, nowMs: rows[0]?.now.getTime() ?? 0 }
}
