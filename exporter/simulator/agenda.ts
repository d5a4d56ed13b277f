import type { Seconds } from './load.ts'

interface Entry {
  at: Seconds
  rank: number
  run: (at: Seconds) => void
}

/** What is to happen, in order of time, then of rank, then of being added. A few dozen entries. */
export class Agenda {
  readonly #entries: Entry[] = []

  /** When the next entry is due; Infinity when there is none. */
  get nextAt(): Seconds {
    return this.#entries[0]?.at ?? Number.POSITIVE_INFINITY
  }

  add(entry: Entry): void {
    const { at, rank } = entry
    const index = this.#entries.findLastIndex(
      (other) => other.at < at || (other.at === at && other.rank <= rank),
    )
    this.#entries.splice(index + 1, 0, entry)
  }

  runNext(): void {
    const entry = this.#entries.shift()
    entry?.run(entry.at)
  }
}
