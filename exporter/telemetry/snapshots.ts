import { seriesText } from '../exposition.ts'
import type { Reading } from '../metrics.ts'
import type { TimedReading } from './merge.ts'
import type { Series } from './write-request.ts'

export interface SnapshotOptions {
  /** The target labels that Prometheus would add: `job`, `instance`. */
  targetLabels: Record<string, string>
  /** Everything known at present. */
  readings: () => readonly Reading[]
  /**
   * When the sensors of devices that may push took their present readings, by series: these go with
   * that time instead of the snapshot's.
   */
  times?: (now: number) => ReadonlyMap<string, number>
  /** So long after its last pushed sample a series without such a time is left out. */
  pushedForSeconds?: number
}

interface Shown {
  labels: Series['labels']
  /** Of its last sample, and whether that is the device's time. */
  atMs: number
  timed: boolean
  /** The last of the device's times that were sent, in order: they may be pushed as well. */
  takenMs: readonly number[]
}

/** A push has the last seconds of a sensor, one that is delivered again those of minutes ago. */
const mostTaken = 32

interface Pushed {
  labels: Series['labels']
  /** The newest of its samples, and when that came. */
  newestMs: number
  heardAtMs: number
}

interface Taken {
  taken: TimedReading[]
  /** How many were left out for a newer time. */
  overtaken: number
}

/**
 * Present readings as series, with the ends of those that were there before. What is polled from a
 * device that may push has the device's times, as what is pushed has: so the two make one
 * series. With the time of the snapshot a value would stand behind newer ones that are pushed
 * afterwards, and a counter seem to fall, unless those were left out.
 */
export class Snapshots {
  readonly #options: SnapshotOptions
  #last = new Map<string, Shown>()
  readonly #pushed = new Map<string, Pushed>()

  constructor(options: SnapshotOptions) {
    this.#options = options
  }

  take(timeMs: number): Series[] {
    const times = this.#options.times?.(timeMs)
    const present = new Map<string, Shown>()
    const series: Series[] = []
    for (const reading of this.#options.readings()) {
      const key = seriesText(reading)
      if (present.has(key)) continue
      const last = this.#last.get(key)
      const labels = last?.labels ?? this.#pushed.get(key)?.labels ?? this.#labels(reading)
      const takenMs = times?.get(key)
      const atMs = this.#timeOf(key, timeMs, takenMs)
      const timed = atMs === undefined ? (last?.timed ?? true) : takenMs !== undefined
      let taken = last?.takenMs ?? []
      if (atMs !== undefined) {
        series.push({ labels, samples: [{ timeMs: atMs, value: reading.value }] })
        if (timed) taken = [...taken.slice(1 - mostTaken), atMs]
      }
      const shownMs = atMs ?? last?.atMs ?? Number.NEGATIVE_INFINITY
      present.set(key, { labels, atMs: shownMs, timed, takenMs: taken })
    }
    for (const [key, { labels, atMs }] of this.#last) {
      if (present.has(key)) continue
      const newestMs = Math.max(atMs, this.#pushed.get(key)?.newestMs ?? atMs)
      const endMs = Math.max(timeMs, newestMs + 1)
      series.push({ labels, samples: [{ timeMs: endMs, value: Number.NaN }] })
    }
    for (const key of this.#pushed.keys()) if (!present.has(key)) this.#pushed.delete(key)
    this.#last = present
    return series
  }

  /**
   * Those that are to be sent; not what a snapshot had with the same time, nor what would stand
   * before a newer time with an older reading: a snapshot's own time is later than its readings'.
   */
  push(readings: readonly TimedReading[], heardAtMs: number): Taken {
    let overtaken = 0
    const taken = readings.filter((reading) => {
      const { key, timeMs } = reading
      const last = this.#last.get(key)
      const pushed = this.#pushed.get(key)
      if (pushed === undefined) {
        const labels = last?.labels ?? this.#labels(reading)
        this.#pushed.set(key, { labels, newestMs: timeMs, heardAtMs })
      } else {
        pushed.heardAtMs = heardAtMs
        if (timeMs > pushed.newestMs) pushed.newestMs = timeMs
      }
      if (last === undefined || timeMs > last.atMs) return true
      if (!last.timed) overtaken++
      return last.timed && !last.takenMs.includes(timeMs)
    })
    return { taken, overtaken }
  }

  labelsOf(reading: TimedReading): Series['labels'] {
    return this.#pushed.get(reading.key)?.labels ?? this.#labels(reading)
  }

  /** The time of the present reading of a series; undefined: it has been told already. */
  #timeOf(key: string, timeMs: number, takenMs: number | undefined): number | undefined {
    const pushed = this.#pushed.get(key)
    const last = this.#last.get(key)
    if (takenMs !== undefined) {
      const newestMs = Math.max(last?.atMs ?? takenMs - 1, pushed?.newestMs ?? takenMs - 1)
      return takenMs > newestMs ? takenMs : undefined
    }
    if (pushed === undefined) return timeMs
    const forMs = (this.#options.pushedForSeconds ?? 0) * 1000
    const isPushed = timeMs - pushed.heardAtMs < forMs || timeMs <= pushed.newestMs
    return isPushed ? undefined : timeMs
  }

  #labels({ metric, labels }: Reading): Series['labels'] {
    return { ...labels, ...this.#options.targetLabels, __name__: metric }
  }
}
