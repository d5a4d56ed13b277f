import { RequestError } from '../../exporter/service/request-error.ts'
import {
  describeSample,
  type Exemplar,
  type Metadata,
  type Rejection,
  type Samples,
  type TimeRange,
} from '../samples.ts'
import { encodeLabels, type SeriesIndex } from '../series.ts'
import {
  describeLabels,
  exemplarFits,
  type Label,
  type LabelLimits,
  labelFault,
} from '../validate.ts'
import { decodeHistogram } from './histogram.ts'
import type { WireReader } from './wire.ts'

export interface DecodeLimits extends LabelLimits {
  /** Series in one request. */
  requestSeries: number
  /** Series in the index. */
  series: number
  /** Samples in one request, histograms and exemplars included. */
  openSamples: number
}

/** Why a series is not taken, with a text that names it. */
export interface Refusal {
  reason: Rejection
  first: string
}

/** `number << 3 | wire type` of the fields of Sample, the same in 1.0 and 2.0. */
const VALUE = 0x09
const TIMESTAMP = 0x10

/** Judges what a request holds, of whichever version, and gathers what can be stored. */
export class Intake {
  readonly index: SeriesIndex
  readonly samples: Samples
  readonly limits: DecodeLimits
  #range: TimeRange = { fromMs: 0, toMs: 0 }
  #requestSeries = 0

  constructor(index: SeriesIndex, limits: DecodeLimits, samples: Samples) {
    this.index = index
    this.limits = limits
    this.samples = samples
  }

  /** To be called before each request. */
  begin(range: TimeRange): void {
    this.#range = range
    this.#requestSeries = 0
  }

  /** To be called for each series of the request. @throws {RequestError} 413 when too many. */
  countSeries(): void {
    const { requestSeries } = this.limits
    if (++this.#requestSeries > requestSeries) throw tooMany('series', requestSeries)
  }

  /** The entry of the series with these labels, known or new, or why it is refused. */
  resolve(labels: readonly Label[]): number | Refusal {
    const fault = labelFault(labels, this.limits)
    if (fault !== undefined) {
      return { reason: 'invalid_labels', first: `${describeLabels(labels)}: ${fault}` }
    }
    const canonical = encodeLabels(labels)
    const same = this.index.find(canonical)
    if (same >= 0) return same
    if (this.index.size >= this.limits.series) {
      const first = `${describeLabels(labels)}: there are ${this.index.size} series already`
      return { reason: 'series_limit', first }
    }
    return this.index.add(canonical, -1)
  }

  sample(reader: WireReader, end: number, entry: number): void {
    let low = 0
    let high = 0
    let timeMs = 0
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === VALUE && reader.at + 8 <= end) {
        low = reader.view.getUint32(reader.at, true)
        high = reader.view.getUint32(reader.at + 4, true)
        reader.at += 8
      } else if (tag === TIMESTAMP) timeMs = reader.signed()
      else reader.skip(tag, end)
    }
    if (reader.at > end) throw reader.malformed("a sample passes its message's end")
    if (!this.#inRange(timeMs)) this.#rejectTime(entry, timeMs)
    else {
      this.samples.add(entry, timeMs, low, high)
      this.#checkCount()
    }
  }

  histogram(reader: WireReader, end: number, entry: number): void {
    const { timeMs, payload, fault } = decodeHistogram(reader, end)
    if (fault !== undefined) {
      const first = () => `${describeLabels(this.index.labels(entry))}: ${fault}`
      this.samples.reject('invalid_histogram', first)
    } else if (!this.#inRange(timeMs)) this.#rejectTime(entry, timeMs)
    else {
      this.samples.histograms.push({ entry, timeMs, payload })
      this.#checkCount()
    }
  }

  /**
   * Exemplars illustrate and are not worth a refusal: those that cannot be stored are dropped. One
   * without a time takes that of the series' sample before it.
   */
  exemplar(exemplar: Exemplar): void {
    const timeMs = exemplar.timeMs === 0 ? this.#lastTime(exemplar.entry) : exemplar.timeMs
    if (!this.#inRange(timeMs) || !exemplarFits(exemplar.labels)) this.samples.droppedExemplars++
    else {
      this.samples.exemplars.push({ ...exemplar, timeMs })
      this.#checkCount()
    }
  }

  metadata(metadata: Metadata): void {
    const { openSamples } = this.limits
    this.samples.metadata.push(metadata)
    if (this.samples.metadata.length > openSamples) throw tooMany('metadata', openSamples)
  }

  #inRange(timeMs: number): boolean {
    return timeMs >= this.#range.fromMs && timeMs <= this.#range.toMs
  }

  #rejectTime(entry: number, timeMs: number): void {
    const reason = timeMs < this.#range.fromMs ? 'too_old' : 'too_far_ahead'
    this.samples.reject(reason, () => describeSample(this.index.labels(entry), timeMs))
  }

  #lastTime(entry: number): number {
    const { count, entries, times, histograms } = this.samples
    const histogram = histograms.at(-1)
    if (histogram?.entry === entry) return histogram.timeMs
    return entries[count - 1] === entry && count > 0 ? (times[count - 1] ?? 0) : 0
  }

  #checkCount(): void {
    const { openSamples } = this.limits
    if (this.samples.accepted > openSamples) throw tooMany('samples', openSamples)
  }
}

/** 413 with the code `too_many_samples`, `too_many_series`, ... */
export function tooMany(what: string, limit: number): RequestError {
  const message = `the request has more than ${limit} ${what}: send smaller ones`
  return new RequestError(413, `too_many_${what}`, message)
}

/** MetricMetadata.MetricType of 1.0 and Metadata.MetricType of 2.0, which have the same numbers. */
export function metricType(number: number): string {
  return metricTypes[number] ?? 'unknown'
}

const metricTypes = [
  'unknown',
  'counter',
  'gauge',
  'histogram',
  'gaugehistogram',
  'summary',
  'info',
  'stateset',
]
