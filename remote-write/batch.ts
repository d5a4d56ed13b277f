import { enlarged } from './byte-table.ts'
import { ARRAY_HEADER_BYTES, BinaryWriter, types } from './postgres/binary.ts'
import type { Exemplar, HistogramSample, Samples } from './samples.ts'
import type { SeriesIndex } from './series.ts'

/** Series in a frame. */
const WIDTH = 64

/** A row's bytes without its values: length, column count, frame, time, v with its header. */
const ROW_BYTES = 4 + 4 + 12 + 16 + 8 + ARRAY_HEADER_BYTES

/** Bytes of a row in memory, about; histograms count as so many rows. */
const MEMORY_BYTES = 600

/**
 * The frame rows of one transaction in the making, with the histograms and exemplars beside them.
 * Samples of series that have no id yet wait apart. Of two values for one place the first stays.
 * Used again for each transaction.
 */
export class Batch {
  #index: SeriesIndex
  #rows = 0
  #samples = 0
  #frames = new Int32Array(256)
  #times = new Float64Array(256)
  /** Two words of 32 bits a row: which positions have a value. */
  #present = new Uint32Array(256 * 2)
  /** Low and high half of each value, `2 * WIDTH` words a row. */
  #values = new Uint32Array(256 * 2 * WIDTH)
  /** Row + 1 by frame and time, 0 for none; open addressing, at most half full. */
  #table = new Int32Array(1024)
  #last = -1
  #waiting: Waiting[] = []
  #histograms: HistogramSample[] = []
  #histogramBytes = 0
  #exemplars: Exemplar[] = []
  #encoded = Buffer.alloc(0)

  constructor(index: SeriesIndex) {
    this.#index = index
  }

  /** Samples taken in, duplicates, histograms and exemplars included. */
  get samples(): number {
    return this.#samples
  }

  /** Rows, counting each sample that waits for its series' id as one: some 600 bytes each. */
  get rows(): number {
    const histograms = Math.ceil(this.#histogramBytes / MEMORY_BYTES) + this.#histograms.length
    return this.#rows + this.#waiting.length + histograms + this.#exemplars.length
  }

  get histograms(): readonly HistogramSample[] {
    return this.#histograms
  }

  get exemplars(): readonly Exemplar[] {
    return this.#exemplars
  }

  /** Entries that have no id yet, each once. */
  get newEntries(): number[] {
    return this.entries.filter((entry) => this.#index.id(entry) < 0)
  }

  /** Entries that are named here still, each once: of samples in their rows the ids are. */
  get entries(): number[] {
    const all = [this.#waiting, this.#histograms, this.#exemplars]
    return [...new Set(all.flatMap((some) => some.map(({ entry }) => entry)))]
  }

  add(samples: Samples): void {
    const { count, entries, times, low, high } = samples
    this.#samples += samples.accepted
    for (const histogram of samples.histograms) {
      this.#index.use(histogram.entry)
      this.#histograms.push(histogram)
      this.#histogramBytes += histogram.payload.length
    }
    for (const exemplar of samples.exemplars) {
      this.#index.use(exemplar.entry)
      this.#exemplars.push(exemplar)
    }
    for (let i = 0; i < count; i++) {
      const entry = entries[i] ?? 0
      const timeMs = times[i] ?? 0
      this.#index.use(entry)
      const id = this.#index.id(entry)
      if (id >= 0) this.#put(id, timeMs, low[i] ?? 0, high[i] ?? 0)
      else this.#waiting.push({ entry, timeMs, low: low[i] ?? 0, high: high[i] ?? 0 })
    }
  }

  /** Puts the samples that waited in their places, but for those whose id is still -1. */
  settle(idOf: (entry: number) => number): void {
    this.#waiting = this.#waiting.filter(({ entry, timeMs, low, high }) => {
      const id = idOf(entry)
      if (id >= 0) this.#put(id, timeMs, low, high)
      return id < 0
    })
  }

  /** Has samples wait for another id, of the entries that are given by their former one. */
  withdraw(entries: ReadonlyMap<number, number>): void {
    const frames = new Set([...entries.keys()].map((id) => id >> 6))
    for (let row = 0; row < this.#rows; row++) {
      const frame = this.#frame(row)
      if (!frames.has(frame)) continue
      for (let position = 0; position < WIDTH; position++) {
        const entry = entries.get((frame << 6) | position)
        if (entry !== undefined && this.#take(row, position)) {
          const at = (row * WIDTH + position) * 2
          const [low = 0, high = 0] = this.#values.subarray(at, at + 2)
          this.#waiting.push({ entry, timeMs: this.#time(row), low, high })
        }
      }
    }
  }

  /** The times of all rows of frames, in milliseconds since 1970. */
  *times(): Iterable<number> {
    yield* this.#times.subarray(0, this.#rows)
    for (const { timeMs } of this.#waiting) yield timeMs
  }

  /** Frame and time of the rows before `beforeMs`. */
  *keysBefore(beforeMs: number): Iterable<{ frame: number; timeMs: number }> {
    for (let row = 0; row < this.#rows; row++) {
      const timeMs = this.#time(row)
      if (timeMs < beforeMs) yield { frame: this.#frame(row), timeMs }
    }
  }

  /** Leaves out the value of a position of the row with this key, if there is one. */
  drop(frame: number, position: number, timeMs: number): void {
    const row = (this.#table[this.#slotOf(frame, timeMs)] ?? 0) - 1
    if (row >= 0) this.#take(row, position)
  }

  /** Whether there was a value, which is out now. */
  #take(row: number, position: number): boolean {
    const word = row * 2 + (position >> 5)
    const present = this.#present[word] ?? 0
    const bit = 1 << (position & 31)
    this.#present[word] = present & ~bit
    return (present & bit) !== 0
  }

  /**
   * The rows as PostgreSQL's binary form of `frames[]` (array_recv and record_recv in its source),
   * or undefined if there are none. Ordered by key: receivers that write the same rows then wait
   * for each other, never in a circle.
   *
   * The bytes are valid until the next call: one buffer serves all transactions, as freeing so
   * much so often has the garbage collector mark all memory again and again.
   */
  encode(rowType: number): Buffer | undefined {
    const order = this.#ordered()
    if (order.length === 0) return undefined
    const lengths = order.map((row) => rowBytes(this.#presentLow(row), this.#presentHigh(row)))
    const total = lengths.reduce((sum, length) => sum + length, ARRAY_HEADER_BYTES)
    if (total > this.#encoded.length) this.#encoded = Buffer.allocUnsafeSlow(total * 2)
    const out = new BinaryWriter(this.#encoded.subarray(0, total))
    out.arrayHeader(rowType, order.length, false)
    order.forEach((row, i) => {
      out.int32((lengths[i] ?? 0) - 4)
      this.#encodeRow(out, row)
    })
    return out.bytes
  }

  #ordered(): number[] {
    return Array.from({ length: this.#rows }, (_, row) => row)
      .filter((row) => (this.#presentLow(row) | this.#presentHigh(row)) !== 0)
      .sort((a, b) => this.#frame(a) - this.#frame(b) || this.#time(a) - this.#time(b))
  }

  clear(): void {
    this.#table.fill(0)
    this.#rows = 0
    this.#samples = 0
    this.#last = -1
    this.#waiting = []
    this.#histograms = []
    this.#histogramBytes = 0
    this.#exemplars = []
  }

  #encodeRow(out: BinaryWriter, row: number): void {
    const low = this.#presentLow(row)
    const high = this.#presentHigh(row)
    const width = widthOf(low, high)
    const present = ones(low) + ones(high)
    out.int32(3)
    out.column(types.int4, 4)
    out.int32(this.#frame(row))
    out.column(types.timestamptz, 8)
    out.time(this.#time(row))
    out.column(types.float8Array, ARRAY_HEADER_BYTES + present * 12 + (width - present) * 4)
    out.arrayHeader(types.float8, width, present < width)
    for (let position = 0; position < width; position++) {
      const mask = position < 32 ? low : high
      if ((mask >>> (position & 31)) & 1) this.#encodeValue(out, row, position)
      else out.int32(-1)
    }
  }

  #encodeValue(out: BinaryWriter, row: number, position: number): void {
    const at = (row * WIDTH + position) * 2
    out.int32(8)
    out.int32(this.#values[at + 1] ?? 0)
    out.int32(this.#values[at] ?? 0)
  }

  #put(id: number, timeMs: number, low: number, high: number): void {
    const row = this.#row(id >> 6, timeMs)
    const position = id & 63
    const word = row * 2 + (position >> 5)
    const bit = 1 << (position & 31)
    const present = this.#present[word] ?? 0
    if (present & bit) return
    this.#present[word] = present | bit
    const at = (row * WIDTH + position) * 2
    this.#values[at] = low
    this.#values[at + 1] = high
  }

  /** The row of this key; most often the one used last, as senders keep targets together. */
  #row(frame: number, timeMs: number): number {
    const last = this.#last
    if (last >= 0 && this.#frames[last] === frame && this.#times[last] === timeMs) return last
    const slot = this.#slotOf(frame, timeMs)
    const row = (this.#table[slot] ?? 0) - 1
    this.#last = row >= 0 ? row : this.#addRow(frame, timeMs, slot)
    return this.#last
  }

  /** Where the table names the row of this key, or would. */
  #slotOf(frame: number, timeMs: number): number {
    let slot = this.#slot(hashOf(frame, timeMs))
    for (; this.#table[slot] !== 0; slot = this.#slot(slot + 1)) {
      const row = (this.#table[slot] ?? 0) - 1
      if (this.#frames[row] === frame && this.#times[row] === timeMs) break
    }
    return slot
  }

  #addRow(frame: number, timeMs: number, slot: number): number {
    const row = this.#rows++
    if (row === this.#frames.length) this.#grow()
    this.#frames[row] = frame
    this.#times[row] = timeMs
    this.#present[row * 2] = 0
    this.#present[row * 2 + 1] = 0
    this.#table[slot] = row + 1
    if (this.#rows * 2 > this.#table.length) this.#rehash()
    return row
  }

  #rehash(): void {
    this.#table = new Int32Array(this.#table.length * 2)
    for (let row = 0; row < this.#rows; row++) {
      let slot = this.#slot(hashOf(this.#frame(row), this.#time(row)))
      while (this.#table[slot] !== 0) slot = this.#slot(slot + 1)
      this.#table[slot] = row + 1
    }
  }

  #grow(): void {
    const rows = this.#frames.length * 2
    this.#frames = enlarged(this.#frames, new Int32Array(rows))
    this.#times = enlarged(this.#times, new Float64Array(rows))
    this.#present = enlarged(this.#present, new Uint32Array(rows * 2))
    this.#values = enlarged(this.#values, new Uint32Array(rows * 2 * WIDTH))
  }

  #slot(hash: number): number {
    return hash & (this.#table.length - 1)
  }

  #frame(row: number): number {
    return this.#frames[row] ?? 0
  }

  #time(row: number): number {
    return this.#times[row] ?? 0
  }

  #presentLow(row: number): number {
    return this.#present[row * 2] ?? 0
  }

  #presentHigh(row: number): number {
    return this.#present[row * 2 + 1] ?? 0
  }
}

interface Waiting {
  entry: number
  timeMs: number
  low: number
  high: number
}

function hashOf(frame: number, timeMs: number): number {
  const seconds = Math.floor(timeMs / 1000)
  let hash = Math.imul(frame ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(seconds, 0x85ebca6b)
  hash ^= Math.imul(timeMs - seconds * 1000, 0xc2b2ae35)
  return hash ^ (hash >>> 15)
}

function rowBytes(low: number, high: number): number {
  const present = ones(low) + ones(high)
  return ROW_BYTES + present * 12 + (widthOf(low, high) - present) * 4
}

/** The highest position that is present, + 1. */
function widthOf(low: number, high: number): number {
  return high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(low)
}

function ones(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555)
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333)
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
