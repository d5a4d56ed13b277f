import { RequestError } from '../exporter/service/request-error.ts'
import { enlarged } from './byte-table.ts'
import { describeLabels, type Label } from './validate.ts'

/** Why a sample is not stored. */
export type Rejection =
  | 'invalid_labels'
  | 'invalid_histogram'
  | 'no_samples'
  | 'series_limit'
  | 'too_old'
  | 'too_far_ahead'

/** A native histogram: a sample whose value is `prometheus.Histogram` in protocol-buffer bytes. */
export interface HistogramSample {
  entry: number
  timeMs: number
  payload: Buffer
}

/** An example of what a series counted, with labels of its own such as a trace's name. */
export interface Exemplar {
  entry: number
  timeMs: number
  value: number
  labels: readonly Label[]
}

/** What the sender of a metric says of it. */
export interface Metadata {
  metric: string
  type: string
  help: string
  unit: string
}

/** Which times we take, in milliseconds since 1970. */
export interface TimeRange {
  fromMs: number
  toMs: number
}

/**
 * What one request holds, in columns: sample i belongs to the series `entries[i]`, has the time
 * `times[i]` in milliseconds, and a value by the low and high half of its bits, so that no NaN is
 * changed on the way. Used again for each request.
 */
export class Samples {
  count = 0
  entries = new Int32Array(4096)
  times = new Float64Array(4096)
  low = new Uint32Array(4096)
  high = new Uint32Array(4096)
  histograms: HistogramSample[] = []
  exemplars: Exemplar[] = []
  droppedExemplars = 0
  metadata: Metadata[] = []
  readonly rejected = new Map<Rejection, { samples: number; first: string }>()

  /** What is to be stored, of all three kinds. */
  get accepted(): number {
    return this.count + this.histograms.length + this.exemplars.length
  }

  add(entry: number, timeMs: number, low: number, high: number): void {
    const i = this.count++
    if (i === this.entries.length) this.#grow()
    this.entries[i] = entry
    this.times[i] = timeMs
    this.low[i] = low
    this.high[i] = high
  }

  reject(reason: Rejection, first: () => string): void {
    const known = this.rejected.get(reason)
    if (known) known.samples++
    else this.rejected.set(reason, { samples: 1, first: first() })
  }

  clear(): void {
    this.count = 0
    this.histograms = []
    this.exemplars = []
    this.droppedExemplars = 0
    this.metadata = []
    this.rejected.clear()
  }

  #grow(): void {
    const length = this.entries.length * 2
    this.entries = enlarged(this.entries, new Int32Array(length))
    this.times = enlarged(this.times, new Float64Array(length))
    this.low = enlarged(this.low, new Uint32Array(length))
    this.high = enlarged(this.high, new Uint32Array(length))
  }
}

/** A 400 that counts what was not stored and gives the first of each kind; nothing if all was. */
export function rejectionError(samples: Samples): RequestError | undefined {
  if (samples.rejected.size === 0) return undefined
  const kinds = [...samples.rejected]
  const rejected = kinds.reduce((sum, [, kind]) => sum + kind.samples, 0)
  const all = rejected + samples.count + samples.histograms.length
  const reasons = kinds.map(([reason, kind]) => `${kind.samples} ${reason}, first: ${kind.first}`)
  return new RequestError(
    400,
    'partial_write',
    `${rejected} of ${all} samples not stored: ${reasons.join('; ')}`,
  )
}

/** `x{a="b"} at 2026-11-22T10:00:00.000Z`, for a message. */
export function describeSample(labels: readonly Label[], timeMs: number): string {
  const date = new Date(timeMs)
  const time = Number.isNaN(date.getTime()) ? `${timeMs} ms` : date.toISOString()
  return `${describeLabels(labels)} at ${time}`
}
