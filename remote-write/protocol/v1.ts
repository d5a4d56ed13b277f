import type { Samples, TimeRange } from '../samples.ts'
import { parseLabel, parseLabels, type SeriesIndex } from '../series.ts'
import { exemplarLabels, type Label } from '../validate.ts'
import { type DecodeLimits, Intake, metricType, type Refusal } from './intake.ts'
import { WireReader } from './wire.ts'

/** `number << 3 | wire type` of the fields of prometheus/prompb remote.proto and types.proto. */
const TIMESERIES = 0x0a
const METADATA = 0x1a
const LABELS = 0x0a
const SAMPLES = 0x12
const EXEMPLARS = 0x1a
const HISTOGRAMS = 0x22

/**
 * Decodes bodies of remote write 1.0 (`prometheus.WriteRequest`). A series' label bytes are
 * compared with those that followed its predecessor's last time; only where they differ they are
 * looked up, and only where they are unknown, parsed and judged.
 */
export class DecoderV1 {
  readonly #index: SeriesIndex
  readonly #intake: Intake
  /** The entry before the one at hand; it carries over to the next request. */
  #previous = -1

  constructor(index: SeriesIndex, limits: DecodeLimits, samples: Samples) {
    this.#index = index
    this.#intake = new Intake(index, limits, samples)
  }

  /**
   * Adds what `body` holds to the samples, and new series to the index.
   * @throws {RequestError} 400 when it is malformed, 413 with too many samples: the caller then
   * drops the samples and calls `undo`.
   */
  decode(body: Buffer, range: TimeRange): void {
    const reader = new WireReader(body)
    this.#intake.begin(range)
    this.#index.begin()
    while (reader.at < body.length) {
      const tag = reader.tag()
      if (tag === TIMESERIES) this.#series(reader, reader.fieldEnd(body.length))
      else if (tag === METADATA) this.#metadata(reader, reader.fieldEnd(body.length))
      else reader.skip(tag, body.length)
    }
  }

  /** Forgets the series that the last request brought. */
  undo(): void {
    this.#index.takeBack(0)
  }

  #series(reader: WireReader, end: number): void {
    this.#intake.countSeries()
    const start = reader.at
    const expected = this.#index.next(this.#previous)
    const length = expected < 0 ? 0 : this.#index.match(expected, reader.bytes, start, end)
    // With more labels it is another series, which begins with the expected one's labels.
    if (length > 0 && !hasLabels(reader, start + length, end)) {
      reader.at = start + length
      this.#values(reader, end, expected)
      this.#previous = expected
    } else {
      reader.at = start
      this.#unexpectedSeries(reader, end)
    }
  }

  /** A new series of which nothing is accepted leaves no trace in the index. */
  #unexpectedSeries(reader: WireReader, end: number): void {
    const { samples } = this.#intake
    const start = reader.at
    const { added } = this.#index
    const found = this.#resolve(labelBytes(reader, end))
    reader.at = start
    if (typeof found !== 'number') {
      this.#rejectAll(reader, end, found)
      return
    }
    const before = samples.accepted
    this.#values(reader, end, found)
    if (samples.accepted === before) {
      this.#index.takeBack(added)
      return
    }
    this.#index.setNext(this.#previous, found)
    this.#previous = found
  }

  #resolve(bytes: Buffer): number | Refusal {
    const known = this.#index.find(bytes)
    return known >= 0 ? known : this.#intake.resolve(this.#parse(bytes))
  }

  /** No more of them than it takes to see that there are too many. */
  #parse(bytes: Buffer): Label[] {
    return parseLabels(bytes, this.#intake.limits.labelsPerSeries + 1)
  }

  /** Reads all but the labels. */
  #values(reader: WireReader, end: number, entry: number): void {
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SAMPLES) this.#intake.sample(reader, reader.fieldEnd(end), entry)
      else if (tag === HISTOGRAMS) this.#intake.histogram(reader, reader.fieldEnd(end), entry)
      else if (tag === EXEMPLARS) this.#exemplar(reader, reader.fieldEnd(end), entry)
      else reader.skip(tag, end)
    }
  }

  #exemplar(reader: WireReader, end: number, entry: number): void {
    const labels: Label[] = []
    const exemplar = { entry, labels, timeMs: 0, value: 0 }
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === 0x0a && labels.length <= exemplarLabels) {
        labels.push(parseLabel(reader, reader.fieldEnd(end)))
      } else if (tag === 0x11) exemplar.value = reader.double(end)
      else if (tag === 0x18) exemplar.timeMs = reader.signed()
      else reader.skip(tag, end)
    }
    this.#intake.exemplar(exemplar)
  }

  #rejectAll(reader: WireReader, end: number, { reason, first }: Refusal): void {
    const { samples } = this.#intake
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SAMPLES || tag === HISTOGRAMS) samples.reject(reason, () => first)
      else if (tag === EXEMPLARS) samples.droppedExemplars++
      reader.skip(tag, end)
    }
  }

  #metadata(reader: WireReader, end: number): void {
    const metadata = { metric: '', type: 'unknown', help: '', unit: '' }
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === 0x08) metadata.type = metricType(reader.unsigned())
      else if (tag === 0x12) metadata.metric = reader.text(reader.fieldEnd(end))
      else if (tag === 0x22) metadata.help = reader.text(reader.fieldEnd(end))
      else if (tag === 0x2a) metadata.unit = reader.text(reader.fieldEnd(end))
      else reader.skip(tag, end)
    }
    this.#intake.metadata(metadata)
  }
}

/** Whether a label stands from `start` on; mostly one short sample is all that does. */
function hasLabels(reader: WireReader, start: number, end: number): boolean {
  const length = end - start - 2
  if (length < 128 && reader.bytes[start] === SAMPLES && reader.bytes[start + 1] === length) {
    return false
  }
  reader.at = start
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === LABELS) return true
    reader.skip(tag, end)
  }
  return false
}

/** No sender scatters labels; each piece takes memory. */
const maxPieces = 1000

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
    if (parts.length > maxPieces) throw reader.malformed(`labels in over ${maxPieces} pieces`)
  }
  const buffers = parts.map(([from, to]) => reader.bytes.subarray(from, to))
  return buffers.length === 1 && buffers[0] ? buffers[0] : Buffer.concat(buffers)
}
