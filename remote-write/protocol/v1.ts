import { RequestError } from '../../exporter/service/request-error.ts'
import { describeSample, type Rejection, type Samples, type TimeRange } from '../samples.ts'
import { encodeLabels, parseLabels, type SeriesIndex } from '../series.ts'
import { describeLabels, type LabelLimits, labelFault } from '../validate.ts'
import { WireReader } from './wire.ts'

export interface DecodeLimits extends LabelLimits {
  /** Series in the index. */
  series: number
  /** Samples in one request. */
  openSamples: number
}

/** `number << 3 | wire type` of the fields of prometheus/prompb remote.proto and types.proto. */
const TIMESERIES = 0x0a
const METADATA = 0x1a
const LABELS = 0x0a
const SAMPLES = 0x12
const EXEMPLARS = 0x1a
const HISTOGRAMS = 0x22
const VALUE = 0x09
const TIMESTAMP = 0x10

/**
 * Decodes bodies of remote write 1.0 (`prometheus.WriteRequest`). A series' label bytes are
 * compared with those that followed its predecessor's last time; only where they differ they are
 * looked up, and only where they are unknown, parsed and judged.
 */
export class WriteDecoder {
  readonly #index: SeriesIndex
  readonly #limits: DecodeLimits
  readonly #samples: Samples
  #range: TimeRange = { fromMs: 0, toMs: 0 }
  /** The entry before the one at hand; it carries over to the next request. */
  #previous = -1

  constructor(index: SeriesIndex, limits: DecodeLimits, samples: Samples) {
    this.#index = index
    this.#limits = limits
    this.#samples = samples
  }

  /**
   * Adds what `body` holds to the samples, and new series to the index.
   * @throws {RequestError} 400 when it is malformed, 413 with too many samples: the caller then
   * drops the samples and truncates the index.
   */
  decode(body: Buffer, range: TimeRange): void {
    const reader = new WireReader(body)
    this.#range = range
    while (reader.at < body.length) {
      const tag = reader.tag()
      if (tag === TIMESERIES) this.#series(reader, reader.fieldEnd(body.length))
      else if (tag === METADATA) this.#metadata(reader, reader.fieldEnd(body.length))
      else reader.skip(tag, body.length)
    }
  }

  #series(reader: WireReader, end: number): void {
    const start = reader.at
    const count = this.#samples.count
    const expected = this.#index.next(this.#previous)
    const length = expected < 0 ? 0 : this.#index.match(expected, reader.bytes, start, end)
    if (length > 0) {
      reader.at = start + length
      if (this.#values(reader, end, expected)) {
        this.#previous = expected
        return
      }
      // More labels follow: it is another series, which begins with the expected one's labels.
      this.#samples.count = count
      reader.at = start
    }
    this.#unexpectedSeries(reader, end)
  }

  /** A new series of which no sample is accepted leaves no trace in the index. */
  #unexpectedSeries(reader: WireReader, end: number): void {
    const start = reader.at
    const size = this.#index.size
    const bytes = labelBytes(reader, end)
    const found = this.#resolve(bytes)
    reader.at = start
    if (typeof found !== 'number') {
      this.#rejectAll(reader, end, found)
      return
    }
    const count = this.#samples.count
    this.#values(reader, end, found, true)
    if (this.#samples.count === count) {
      this.#index.truncate(size)
      return
    }
    this.#index.setNext(this.#previous, found)
    this.#previous = found
  }

  /** The entry of the series with these label bytes, new or known, or why it is rejected. */
  #resolve(bytes: Buffer): number | { reason: Rejection; first: string } {
    const known = this.#index.find(bytes)
    if (known >= 0) return known
    const labels = parseLabels(bytes)
    const fault = labelFault(labels, this.#limits)
    if (fault !== undefined) {
      return { reason: 'invalid_labels', first: `${describeLabels(labels)}: ${fault}` }
    }
    const canonical = encodeLabels(labels)
    const same = this.#index.find(canonical)
    if (same >= 0) return same
    if (this.#index.size >= this.#limits.series) {
      const first = `${describeLabels(labels)}: there are ${this.#index.size} series already`
      return { reason: 'series_limit', first }
    }
    return this.#index.add(canonical, -1)
  }

  /** Reads all but the labels; false when it meets labels that it was not told to expect. */
  #values(reader: WireReader, end: number, entry: number, withLabels = false): boolean {
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SAMPLES) this.#sample(reader, reader.fieldEnd(end), entry)
      else if (tag === LABELS && !withLabels) return false
      else this.#otherField(reader, tag, end)
    }
    return true
  }

  #sample(reader: WireReader, end: number, entry: number): void {
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
    if (timeMs >= this.#range.fromMs && timeMs <= this.#range.toMs) {
      this.#samples.add(entry, timeMs, low, high)
      if (this.#samples.count > this.#limits.openSamples) throw tooManySamples(this.#limits)
    } else {
      const reason = timeMs < this.#range.fromMs ? 'too_old' : 'too_far_ahead'
      this.#samples.reject(reason, () => describeSample(this.#index.labels(entry), timeMs))
    }
  }

  #otherField(reader: WireReader, tag: number, end: number): void {
    if (tag === EXEMPLARS) this.#samples.exemplars++
    if (tag === HISTOGRAMS) this.#samples.histograms++
    reader.skip(tag, end)
  }

  #rejectAll(reader: WireReader, end: number, why: { reason: Rejection; first: string }): void {
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SAMPLES) this.#samples.reject(why.reason, () => why.first)
      reader.skip(tag, end)
    }
  }

  #metadata(reader: WireReader, end: number): void {
    const metadata = { metric: '', type: 'unknown', help: '', unit: '' }
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === 0x08) metadata.type = metricTypes[reader.unsigned()] ?? 'unknown'
      else if (tag === 0x12) metadata.metric = reader.text(reader.fieldEnd(end))
      else if (tag === 0x22) metadata.help = reader.text(reader.fieldEnd(end))
      else if (tag === 0x2a) metadata.unit = reader.text(reader.fieldEnd(end))
      else reader.skip(tag, end)
    }
    this.#samples.metadata.push(metadata)
  }
}

/** prompb MetricMetadata.MetricType, by number. */
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

/** All label fields of the TimeSeries at hand; joined, if they do not stand together. */
function labelBytes(reader: WireReader, end: number): Buffer {
  const parts: [from: number, to: number][] = []
  while (reader.at < end) {
    const from = reader.at
    const tag = reader.tag()
    reader.skip(tag, end)
    const last = parts.at(-1)
    if (tag !== LABELS) continue
    if (last?.[1] === from) last[1] = reader.at
    else parts.push([from, reader.at])
  }
  const buffers = parts.map(([from, to]) => reader.bytes.subarray(from, to))
  return buffers.length === 1 && buffers[0] ? buffers[0] : Buffer.concat(buffers)
}

function tooManySamples({ openSamples }: DecodeLimits): RequestError {
  const message = `the request has more than ${openSamples} samples: send smaller ones`
  return new RequestError(413, 'too_many_samples', message)
}
