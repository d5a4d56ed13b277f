import { enlarged } from '../byte-table.ts'

/**
 * Samples of one series, in columns: sample i has the time `times[i]` in milliseconds since 1970
 * and the value `values[i]`. `words` is the same memory as `values`, the low half of value i in
 * `words[2 * i]` and the high half in `words[2 * i + 1]`: moved by halves, no NaN is changed.
 * Growing replaces the arrays, so take them anew after `reserve`, `push` and `append`.
 */
export class SampleColumn {
  count = 0
  times: Float64Array
  values: Float64Array
  words: Uint32Array

  constructor(capacity = 1024) {
    this.times = new Float64Array(capacity)
    this.values = new Float64Array(capacity)
    this.words = new Uint32Array(this.values.buffer)
  }

  /** Makes room for `samples` in all. */
  reserve(samples: number): void {
    if (samples <= this.times.length) return
    const capacity = Math.max(samples, 2 * this.times.length)
    this.times = enlarged(this.times, new Float64Array(capacity))
    this.words = enlarged(this.words, new Uint32Array(2 * capacity))
    this.values = new Float64Array(this.words.buffer)
  }

  clear(): void {
    this.count = 0
  }

  push(timeMs: number, low: number, high: number): void {
    const i = this.count
    if (i === this.times.length) this.reserve(i + 1)
    this.times[i] = timeMs
    this.words[2 * i] = low
    this.words[2 * i + 1] = high
    this.count = i + 1
  }

  /** Appends the samples [from, to) of another column. */
  append(other: SampleColumn, from = 0, to = other.count): void {
    this.reserve(this.count + to - from)
    this.times.set(other.times.subarray(from, to), this.count)
    this.words.set(other.words.subarray(2 * from, 2 * to), 2 * this.count)
    this.count += to - from
  }
}

if (new Uint32Array(Float64Array.of(1).buffer)[0] !== 0) {
  throw new Error('a big-endian processor: the halves of float64 would be swapped')
}
