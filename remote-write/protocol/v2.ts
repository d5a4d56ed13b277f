import { ByteTable } from '../byte-table.ts'
import type { Samples, TimeRange } from '../samples.ts'
import type { SeriesIndex } from '../series.ts'
import { describeLabels, exemplarLabels, type Label } from '../validate.ts'
import { type DecodeLimits, Intake, type Refusal } from './intake.ts'
import { SeriesMetadata } from './series-metadata.ts'
import { Symbols } from './symbols.ts'
import { WireReader } from './wire.ts'

/** `number << 3 | wire type` of the fields of io/prometheus/write/v2/types.proto. */
const SYMBOLS = 0x22
const TIMESERIES = 0x2a
const LABELS_REFS = 0x0a
const LABEL_REF = 0x08
const SAMPLES = 0x12
const HISTOGRAMS = 0x1a
const EXEMPLARS = 0x22
const METADATA = 0x2a

/** A series seldom brings more than this many texts that no other has. */
const symbolsPerSample = 4

/**
 * Decodes bodies of remote write 2.0 (`io.prometheus.write.v2.Request`). Symbols of known series
 * have entries that stay the same from request to request, though their places change; a series is
 * known by the entries of its labels' symbols, which are compared with those that followed its
 * predecessor's last time. Only for an unknown series are label texts read and judged.
 */
export class DecoderV2 {
  readonly #index: SeriesIndex
  readonly #intake: Intake
  readonly #metadata: SeriesMetadata
  /** Texts of the labels of known series. */
  readonly #texts = new ByteTable()
  /** Known series by the entries of their texts, 4 bytes each; the value is the series' entry. */
  readonly #known = new ByteTable()
  readonly #symbols: Symbols
  /** The refs of the series at hand, and how many it has: more than we have room for, perhaps. */
  readonly #refs: Int32Array
  #refCount = 0
  #hasUnknownText = false
  /** The entries of its symbols; their bytes are the key among the known series. */
  readonly #entries: Int32Array<ArrayBuffer>
  readonly #key: Buffer
  /** The known series before the one at hand; it carries over to the next request. */
  #previous = -1

  constructor(index: SeriesIndex, limits: DecodeLimits, samples: Samples) {
    this.#index = index
    this.#intake = new Intake(index, limits, samples)
    this.#symbols = new Symbols(this.#texts, Math.max(4096, limits.openSamples * symbolsPerSample))
    this.#metadata = new SeriesMetadata(this.#intake, this.#symbols)
    this.#refs = new Int32Array(limits.labelsPerSeries * 2)
    this.#entries = new Int32Array(this.#refs.length)
    this.#key = Buffer.from(this.#entries.buffer)
  }

  /**
   * Adds what `body` holds to the samples, and new series to the index.
   * @throws {RequestError} 400 when it is malformed, 413 with too many samples or symbols: the
   * caller then drops the samples and calls `undo`.
   */
  decode(body: Buffer, range: TimeRange): void {
    this.#intake.begin(range)
    for (const table of this.#tables) table.begin()
    const reader = new WireReader(body)
    this.#readSymbols(reader)
    reader.at = 0
    while (reader.at < body.length) {
      const tag = reader.tag()
      if (tag === TIMESERIES) this.#series(reader, reader.fieldEnd(body.length))
      else reader.skip(tag, body.length)
    }
  }

  /** Forgets the series that the last request brought, and all metadata. */
  undo(): void {
    for (const table of this.#tables) table.takeBack(0)
    this.#metadata.forget()
  }

  /** To be called when metadata could not be stored: they are then read anew. */
  forgetMetadata(): void {
    this.#metadata.forget()
  }

  get #tables(): ByteTable[] {
    return [this.#index, this.#texts, this.#known]
  }

  #readSymbols(reader: WireReader): void {
    this.#symbols.begin(reader.bytes)
    const end = reader.bytes.length
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SYMBOLS) {
        const to = reader.fieldEnd(end)
        this.#symbols.add(reader.at, to)
        reader.at = to
      } else reader.skip(tag, end)
    }
    if (this.#symbols.count > 0 && !this.#symbols.startsEmpty) {
      throw reader.malformed('the first symbol is not the empty one')
    }
  }

  #series(reader: WireReader, end: number): void {
    this.#intake.countSeries()
    const start = reader.at
    const hasSamples = this.#readRefs(reader, end)
    reader.at = start
    const known = this.#refCount <= this.#refs.length ? this.#find() : -1
    if (known >= 0) this.#values(reader, end, this.#known.value(known))
    else this.#unknownSeries(reader, end)
    if (!hasSamples) this.#intake.samples.reject('no_samples', () => describeLabels(this.#labels()))
  }

  /** A new series of which nothing is accepted leaves no trace. */
  #unknownSeries(reader: WireReader, end: number): void {
    const { samples } = this.#intake
    const { added } = this.#index
    const labels = this.#labels()
    const found = this.#resolve(labels)
    if (typeof found !== 'number') {
      this.#rejectAll(reader, end, found)
      return
    }
    const before = samples.accepted
    this.#values(reader, end, found)
    if (samples.accepted === before) this.#index.takeBack(added)
    else if (isSorted(labels)) this.#remember(found)
  }

  #resolve(labels: readonly Label[]): number | Refusal {
    const fault = this.#refFault()
    if (fault === undefined) return this.#intake.resolve(labels)
    return { reason: 'invalid_labels', first: `${describeLabels(labels)}: ${fault}` }
  }

  #refFault(): string | undefined {
    const { count } = this.#symbols
    const [room, refs] = [this.#refs.length, this.#refCount]
    if (refs % 2 !== 0) return `${refs} refs of labels, which stand in pairs`
    if (refs > room) return `more than ${room / 2} labels`
    const wild = this.#refs.subarray(0, refs).find((ref) => ref >= count)
    return wild === undefined ? undefined : `ref ${wild} with ${count} symbols`
  }

  /** Only with sorted labels: so that no series stands here more than once. */
  #remember(entry: number): void {
    for (let i = 0; i < this.#refCount; i++) {
      this.#entries[i] = this.#symbols.keep(this.#refs[i] ?? 0)
    }
    const key = this.#key.subarray(0, this.#refCount * 4)
    if (this.#known.find(key) >= 0) return
    const known = this.#known.add(key, entry)
    this.#known.setNext(this.#previous, known)
    this.#previous = known
  }

  /** The place among the known series of the one at hand, or -1. */
  #find(): number {
    if (this.#hasUnknownText) return -1
    const end = this.#refCount * 4
    const expected = this.#known.next(this.#previous)
    if (expected >= 0 && this.#known.equals(expected, this.#key, 0, end)) {
      this.#previous = expected
      return expected
    }
    const found = this.#known.find(this.#key, 0, end)
    if (found < 0) return -1
    this.#known.setNext(this.#previous, found)
    this.#previous = found
    return found
  }

  /** Reads the refs of the labels, wherever they stand; whether there are samples of any kind. */
  #readRefs(reader: WireReader, end: number): boolean {
    let hasSamples = false
    this.#refCount = 0
    this.#hasUnknownText = false
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === LABELS_REFS) {
        const to = reader.fieldEnd(end)
        this.#addRefs(reader, to)
        if (reader.at > to) throw reader.malformed('refs pass the end of their list')
      } else if (tag === LABEL_REF) this.#addRef(reader.unsigned())
      else {
        hasSamples ||= tag === SAMPLES || tag === HISTOGRAMS
        reader.skip(tag, end)
      }
    }
    return hasSamples
  }

  /** Most of the decoder's time goes here, so refs of up to two bytes are read in place. */
  #addRefs(reader: WireReader, to: number): void {
    const { bytes } = reader
    let at = reader.at
    while (at < to) {
      const first = bytes[at] ?? 0
      const second = bytes[at + 1] ?? 0
      if (first < 0x80) {
        at++
        this.#addRef(first)
      } else if (second < 0x80) {
        at += 2
        this.#addRef((first & 0x7f) | (second << 7))
      } else {
        reader.at = at
        this.#addRef(reader.unsigned())
        at = reader.at
      }
    }
    reader.at = at
  }

  /** Beyond what an Int32Array holds, a ref is as wild as the largest that it does. */
  #addRef(ref: number): void {
    const i = this.#refCount++
    if (i >= this.#refs.length) return
    const text = this.#symbols.entry(ref)
    this.#refs[i] = ref < 0x7fffffff ? ref : 0x7fffffff
    this.#entries[i] = text
    if (text < 0) this.#hasUnknownText = true
  }

  #labels(): Label[] {
    const labels: Label[] = []
    for (let i = 0; i < Math.min(this.#refCount, this.#refs.length); i += 2) {
      labels.push({ name: this.#text(i), value: this.#text(i + 1) })
    }
    return labels
  }

  #text(i: number): string {
    return i < this.#refCount ? this.#symbols.text(this.#refs[i] ?? 0) : ''
  }

  /** Reads all but the labels. */
  #values(reader: WireReader, end: number, entry: number): void {
    const before = this.#intake.samples.accepted
    let metadata = -1
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === SAMPLES) this.#intake.sample(reader, reader.fieldEnd(end), entry)
      else if (tag === HISTOGRAMS) this.#intake.histogram(reader, reader.fieldEnd(end), entry)
      else if (tag === EXEMPLARS) this.#exemplar(reader, reader.fieldEnd(end), entry)
      else {
        if (tag === METADATA) metadata = reader.at
        reader.skip(tag, end)
      }
    }
    if (metadata < 0 || this.#intake.samples.accepted === before) return
    reader.at = metadata
    this.#metadata.read(reader, reader.fieldEnd(end), entry)
    reader.at = end
  }

  #exemplar(reader: WireReader, end: number, entry: number): void {
    const refs: number[] = []
    const add = (ref: number) => {
      if (refs.length <= exemplarLabels * 2) refs.push(ref)
    }
    const exemplar = { entry, timeMs: 0, value: 0 }
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === LABELS_REFS) {
        const to = reader.fieldEnd(end)
        while (reader.at < to) add(reader.unsigned())
      } else if (tag === LABEL_REF) add(reader.unsigned())
      else if (tag === 0x11) exemplar.value = reader.double(end)
      else if (tag === 0x18) exemplar.timeMs = reader.signed()
      else reader.skip(tag, end)
    }
    this.#intake.exemplar({ ...exemplar, labels: this.#exemplarLabels(refs) })
  }

  /** Refs that point nowhere give empty names, and the exemplar is dropped. */
  #exemplarLabels(refs: readonly number[]): Label[] {
    const text = (i: number) => this.#symbols.text(refs[i] ?? 0)
    const pairs = Array.from({ length: Math.ceil(refs.length / 2) }, (_, i) => 2 * i)
    return pairs.map((i) => ({ name: text(i), value: text(i + 1) }))
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
}

function isSorted(labels: readonly Label[]): boolean {
  return labels.every(({ name }, i) => i === 0 || (labels[i - 1]?.name ?? '') < name)
}
