import { EPOCH_MS } from '../postgres/binary.ts'
import { SampleColumn } from './column.ts'

/** Series in a frame. */
export const frameWidth = 64

/** The samples of one frame in one window: a column for each position. */
export class FrameSamples {
  readonly columns = Array.from({ length: frameWidth }, () => new SampleColumn(0))
  #ascending = true
  #lastMs = Number.NEGATIVE_INFINITY

  /** Samples of all columns. */
  get count(): number {
    return this.columns.reduce((sum, { count }) => sum + count, 0)
  }

  /**
   * Adds a row of `frames` (frame, time, v), in the form that COPY sends it (array_send in
   * PostgreSQL's source), and returns how many samples it has.
   */
  addRow(row: DataView): number {
    const timeMs = rowTime(row)
    this.#noteTime(timeMs)
    const length = row.getInt32(26) === 0 ? 0 : row.getInt32(38)
    let at = length === 0 ? 38 : 46
    let samples = 0
    for (let position = 0; position < length; position++) {
      if (row.getInt32(at) === 8) {
        this.columns[position]?.push(timeMs, row.getUint32(at + 8), row.getUint32(at + 4))
        samples++
        at += 12
      } else at += 4
    }
    // Whoever takes samples away must have understood them.
    if (at !== row.byteLength || length > frameWidth) {
      throw new Error(`row of frame ${rowFrame(row)}: ${length} values in ${row.byteLength} bytes`)
    }
    return samples
  }

  /** To be called when samples were put into the columns by other ways than `addRow`. */
  disorder(): void {
    this.#ascending = false
  }

  /** Brings each column in order of time; of samples with one time the one added first stays. */
  settle(): void {
    if (!this.#ascending) for (const column of this.columns) sortColumn(column)
    this.#ascending = true
  }

  clear(): void {
    for (const column of this.columns) column.clear()
    this.#ascending = true
    this.#lastMs = Number.NEGATIVE_INFINITY
  }

  #noteTime(timeMs: number): void {
    if (timeMs <= this.#lastMs) this.#ascending = false
    this.#lastMs = timeMs
  }
}

/** The frame of a row (frame, ...) as COPY sends it. */
export function rowFrame(row: DataView): number {
  return row.getInt32(6)
}

function rowTime(row: DataView): number {
  const micros = row.getInt32(14) * 2 ** 32 + row.getUint32(18)
  return Math.round(micros / 1000) + EPOCH_MS
}

function sortColumn(column: SampleColumn): void {
  const { count, times } = column
  if (isAscending(times, count)) return
  const order = Array.from({ length: count }, (_, i) => i)
  order.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b)
  const sorted = new SampleColumn(count)
  for (const i of order) {
    if (sorted.count > 0 && sorted.times[sorted.count - 1] === times[i]) continue
    sorted.push(times[i] ?? 0, column.words[2 * i] ?? 0, column.words[2 * i + 1] ?? 0)
  }
  column.clear()
  column.append(sorted)
}

function isAscending(times: Float64Array, count: number): boolean {
  for (let i = 1; i < count; i++) if ((times[i - 1] ?? 0) >= (times[i] ?? 0)) return false
  return true
}
