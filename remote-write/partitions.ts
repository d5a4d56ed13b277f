import type { ClientBase, Pool } from 'pg'

/** The span of time of a partition of frames. Windows begin at multiples of it since 1970, UTC. */
export const windowMs = 4 * 3600 * 1000

/** Partitions that are made before they are needed. */
const windowsAhead = 2

/** Makes partitions of frames: ahead of time, and whenever samples have a time without one. */
export class Partitions {
  readonly #known = new Set<number>()

  /** Makes those of `starts` (milliseconds since 1970) that are missing. */
  async ensure(db: Pool | ClientBase, starts: Iterable<number>): Promise<void> {
    for (const start of starts) {
      if (this.#known.has(start)) continue
      await db.query('select make_frames_partition($1, $2)', [
        new Date(start).toISOString(),
        new Date(start + windowMs).toISOString(),
      ])
      this.#known.add(start)
    }
  }

  /** Makes the partition of `now` and the next ones. */
  ensureAhead(db: Pool, now: Date): Promise<void> {
    const current = Math.floor(now.getTime() / windowMs) * windowMs
    const starts = Array.from({ length: windowsAhead + 1 }, (_, i) => current + i * windowMs)
    return this.ensure(db, starts)
  }

  /** To be called when a partition turned out to be gone. */
  forget(): void {
    this.#known.clear()
  }
}
