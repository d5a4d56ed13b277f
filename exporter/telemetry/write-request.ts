/** A series and its samples, as remote write 1.0 carries them. */
export interface Series {
  /** With `__name__`; they do not change any more, and the same object is encoded only once. */
  labels: Record<string, string>
  /** Oldest first. A value of NaN is sent as Prometheus's stale marker: readings are finite. */
  samples: readonly { timeMs: number; value: number }[]
}

/**
 * Encodes a `prometheus.WriteRequest` (remote write 1.0, prompb/remote.proto), labels sorted by
 * name as the specification demands; not yet compressed.
 */
export function encodeWriteRequest(series: readonly Series[]): Buffer {
  const writer = new Writer()
  for (const { labels, samples } of series) {
    const head = encodedLabels(labels)
    const size = samples.reduce((sum, { timeMs }) => sum + 2 + sampleSize(timeMs), head.length)
    writer.field(timeseriesField, size)
    writer.bytes(head)
    for (const sample of samples) writeSample(writer, sample)
  }
  return writer.finish()
}

/** Tags: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length and bytes). */
const timeseriesField = (1 << 3) | 2
const labelsField = (1 << 3) | 2
const samplesField = (2 << 3) | 2
const nameField = (1 << 3) | 2
const labelValueField = (2 << 3) | 2
const valueField = (1 << 3) | 1
const timestampField = (2 << 3) | 0

/** Prometheus's value/value.go: this NaN means that the series ended. */
const staleMarker = Buffer.from('020000000000f07f', 'hex')

const known = new WeakMap<Series['labels'], Buffer>()

function encodedLabels(labels: Series['labels']): Buffer {
  const found = known.get(labels) ?? Buffer.from(encodeLabels(labels))
  known.set(labels, found)
  return found
}

function encodeLabels(labels: Record<string, string>): Buffer {
  const writer = new Writer()
  for (const name of Object.keys(labels).sort()) {
    const pair = encodeLabel(name, labels[name] ?? '')
    writer.field(labelsField, pair.length)
    writer.bytes(pair)
  }
  return writer.finish()
}

function encodeLabel(name: string, value: string): Buffer {
  const writer = new Writer()
  for (const [tag, text] of [
    [nameField, name],
    [labelValueField, value],
  ] as const) {
    const bytes = Buffer.from(text)
    writer.field(tag, bytes.length)
    writer.bytes(bytes)
  }
  return writer.finish()
}

function writeSample(writer: Writer, { timeMs, value }: Series['samples'][number]): void {
  writer.field(samplesField, sampleSize(timeMs))
  writer.varint(valueField)
  writer.double(value)
  writer.varint(timestampField)
  writer.varint(timeMs)
}

/** Bytes of a Sample: a tag and a double, a tag and the time. */
function sampleSize(timeMs: number): number {
  return 1 + 8 + 1 + varintSize(timeMs)
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** A growing buffer of protobuf's wire format. */
class Writer {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0

  /** A tag and the length of the bytes that follow. */
  field(tag: number, length: number): void {
    this.varint(tag)
    this.varint(length)
  }

  /** A whole number from 0 to 2^53; times before 1970 are none of ours. */
  varint(value: number): void {
    this.#reserve(10)
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#length++] = rest
  }

  double(value: number): void {
    this.#reserve(8)
    if (Number.isNaN(value)) this.bytes(staleMarker)
    else this.#length = this.#buffer.writeDoubleLE(value, this.#length)
  }

  bytes(bytes: Buffer): void {
    this.#reserve(bytes.length)
    this.#length += bytes.copy(this.#buffer, this.#length)
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#length + count))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
