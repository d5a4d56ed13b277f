import { type Packed, pack, unpack } from './gzip-pieces.ts'
import type { MetricName } from './metrics.ts'

/** The lines of one source. */
export interface Lines {
  /** Of one metric; empty where it has none. */
  text(metric: MetricName): string
}

/** In characters: large enough to pack well, small enough that a change packs little anew. */
const pieceLength = 48 * 1024

/**
 * The lines that some sources have of one metric, in their order: in pieces, each but the last of
 * the same number of sources.
 */
export class Family {
  readonly #metric: MetricName
  readonly #sources: readonly Lines[]
  readonly #perPiece: number
  readonly #slots: Slot[]
  /** Sources have so many more lines by now that smaller pieces would be better. */
  hasGrown = false

  constructor(metric: MetricName, sources: readonly Lines[]) {
    this.#metric = metric
    this.#sources = sources
    let length = 0
    for (const source of sources) length += source.text(metric).length
    const wanted = Math.floor((pieceLength * sources.length) / Math.max(1, length))
    this.#perPiece = Math.max(1, Math.min(wanted, sources.length))
    const slots = Math.ceil(sources.length / this.#perPiece)
    this.#slots = Array.from({ length: slots }, () => ({ staleSince: 0 }))
  }

  /** A source, by its place, has other lines than before: since then at the earliest. */
  changed(place: number, since: number): void {
    const slot = this.#slots[Math.floor(place / this.#perPiece)]
    if (slot !== undefined) slot.staleSince = Math.min(slot.staleSince, since)
  }

  /** All lines, but for changes after `staleSince`, which may be missing. */
  pieces(staleSince: number): Piece[] {
    this.renew({ staleSince, until: Number.POSITIVE_INFINITY, packed: false })
    return this.#slots.flatMap(({ piece }) => (piece === undefined || piece.isEmpty ? [] : piece))
  }

  /**
   * Makes anew what has been stale since `staleSince` or before; stops at `until`, both as
   * `performance.now()` counts. Answers whether all of it is done.
   */
  renew({ staleSince, until, packed }: Renewal): boolean {
    for (const [index, slot] of this.#slots.entries()) {
      if (slot.piece !== undefined && slot.staleSince > staleSince) continue
      if (performance.now() > until) return false
      const text = this.#text(index)
      slot.piece = new Piece(text)
      slot.staleSince = Number.POSITIVE_INFINITY
      if (packed) slot.piece.packed()
      slot.firstLength ??= Math.max(text.length, pieceLength)
      if (text.length > 4 * slot.firstLength) this.hasGrown = true
    }
    return true
  }

  #text(index: number): string {
    const sources = this.#sources.slice(index * this.#perPiece, (index + 1) * this.#perPiece)
    return sources.map((source) => source.text(this.#metric)).join('')
  }
}

export interface Renewal {
  staleSince: number
  until: number
  /** Packs what it makes as well. */
  packed: boolean
}

interface Slot {
  piece?: Piece
  firstLength?: number
  /** When something in it changed first since the piece was made. */
  staleSince: number
}

/** Some lines, held in one form alone: once packed, they take a fifteenth. */
export class Piece {
  readonly isEmpty: boolean
  #held: string | Packed

  constructor(text: string) {
    this.#held = text
    this.isEmpty = text === ''
  }

  plain(): Buffer {
    return typeof this.#held === 'string' ? Buffer.from(this.#held) : unpack(this.#held)
  }

  packed(): Packed {
    if (typeof this.#held === 'string') this.#held = pack(Buffer.from(this.#held))
    return this.#held
  }
}
