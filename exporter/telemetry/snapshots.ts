import { seriesText } from '../exposition.ts'
import type { Reading } from '../metrics.ts'
import type { TimedReading } from './merge.ts'
import type { Series } from './write-request.ts'

export interface SnapshotOptions {
  /** The target labels that Prometheus would add: `job`, `instance`. */
  targetLabels: Record<string, string>
  /** Everything known at present. */
  readings: () => readonly Reading[]
  /** So long after its last pushed sample a series is left out of the snapshots. */
  pushedForSeconds?: number
}

interface Shown {
  labels: Series['labels']
  /** Of the last snapshot that it was in. */
  atMs: number
}

interface Pushed {
  labels: Series['labels']
  /** The newest of its samples, and when that came. */
  newestMs: number
  heardAtMs: number
}

/**
 * Present readings as series, with the ends of those that were there the time before. A series that
 * is pushed has the device's times and no others: a value shown again at a later time would stand
 * behind newer ones, and a counter seem to fall.
 */
export class Snapshots {
  readonly #options: SnapshotOptions
  #last = new Map<string, Shown>()
  readonly #pushed = new Map<string, Pushed>()

  constructor(options: SnapshotOptions) {
    this.#options = options
  }

  take(timeMs: number): Series[] {
    const present = new Map<string, Shown>()
    const series: Series[] = []
    for (const reading of this.#options.readings()) {
      const key = seriesText(reading)
      if (present.has(key)) continue
      const last = this.#last.get(key)
      const labels = last?.labels ?? this.#labels(reading)
      const left = this.#isPushed(key, timeMs)
      present.set(key, { labels, atMs: left ? (last?.atMs ?? Number.NEGATIVE_INFINITY) : timeMs })
      if (!left) series.push({ labels, samples: [{ timeMs, value: reading.value }] })
    }
    for (const [key, { labels }] of this.#last) {
      if (present.has(key)) continue
      const endMs = Math.max(timeMs, (this.#pushed.get(key)?.newestMs ?? timeMs) + 1)
      series.push({ labels, samples: [{ timeMs: endMs, value: Number.NaN }] })
    }
    for (const key of this.#pushed.keys()) if (!present.has(key)) this.#pushed.delete(key)
    this.#last = present
    return series
  }

  /** Those that are newer than the last snapshot of their series, which is in no more from now. */
  push(readings: readonly TimedReading[], heardAtMs: number): TimedReading[] {
    return readings.filter((reading) => {
      const { key, timeMs } = reading
      const last = this.#last.get(key)
      const pushed = this.#pushed.get(key)
      const labels = pushed?.labels ?? last?.labels ?? this.#labels(reading)
      const newestMs = Math.max(timeMs, pushed?.newestMs ?? timeMs)
      this.#pushed.set(key, { labels, newestMs, heardAtMs })
      return last === undefined || timeMs > last.atMs
    })
  }

  labelsOf(reading: TimedReading): Series['labels'] {
    return this.#pushed.get(reading.key)?.labels ?? this.#labels(reading)
  }

  #isPushed(key: string, timeMs: number): boolean {
    const pushed = this.#pushed.get(key)
    if (pushed === undefined) return false
    const forMs = (this.#options.pushedForSeconds ?? 0) * 1000
    return timeMs - pushed.heardAtMs < forMs || timeMs <= pushed.newestMs
  }

  #labels({ metric, labels }: Reading): Series['labels'] {
    return { ...labels, ...this.#options.targetLabels, __name__: metric }
  }
}
