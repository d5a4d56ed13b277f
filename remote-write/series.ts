import { ByteTable, enlarged } from './byte-table.ts'
import { varintBytes, WireReader, WireWriter } from './protocol/wire.ts'
import type { Label } from './validate.ts'

/**
 * The series that senders have, by the bytes of their labels as remote write 1.0 sends them (sorted
 * by name). A series is named by its entry; the database's id follows once it has given one. Those
 * that nobody sends any more are let go, and learnt anew should they come back.
 */
export class SeriesIndex extends ByteTable {
  /** Of the database, when the ids held; see functions/forget.sql. */
  epoch = 0
  /** By entry: whether samples came since the last `dropIdle`. */
  #used = new Uint8Array(1024)
  #drops: (() => void)[] = []

  /** The database's id, or -1 while it has given none. */
  id(entry: number): number {
    return this.value(entry)
  }

  setId(entry: number, id: number): void {
    this.setValue(entry, id)
  }

  labels(entry: number): Label[] {
    return parseLabels(this.bytes(entry))
  }

  use(entry: number): void {
    if (entry >= this.#used.length) this.#used = enlarged(this.#used, new Uint8Array(entry * 2))
    this.#used[entry] = 1
  }

  /** `listener` is called when entries came to mean nothing, or will mean another series. */
  onDrop(listener: () => void): void {
    this.#drops.push(listener)
  }

  /** Lets go the series without a sample since the last call, but for `kept`; how many. */
  dropIdle(kept: Iterable<number>): number {
    for (const entry of kept) this.use(entry)
    const idle: number[] = []
    for (let entry = 0; entry < this.bound; entry++) {
      if (this.has(entry) && this.#used[entry] !== 1) idle.push(entry)
    }
    this.#used.fill(0)
    this.removeAll(idle)
    if (idle.length > 0) for (const listener of this.#drops) listener()
    return idle.length
  }

  /** Takes away the ids that `isGone` says are another's or nobody's: entries by their old ids. */
  dropIds(isGone: (id: number) => boolean): Map<number, number> {
    const dropped = new Map<number, number>()
    for (let entry = 0; entry < this.bound; entry++) {
      const id = this.id(entry)
      if (id < 0 || !isGone(id)) continue
      dropped.set(id, entry)
      this.setId(entry, -1)
    }
    return dropped
  }
}

const LABEL = (1 << 3) | 2
const NAME = (1 << 3) | 2
const VALUE = (2 << 3) | 2

/** The first labels in `bytes`, which hold fields `labels` of a TimeSeries and nothing else. */
export function parseLabels(bytes: Buffer, most = Number.POSITIVE_INFINITY): Label[] {
  const reader = new WireReader(bytes)
  const labels: Label[] = []
  while (reader.at < bytes.length && labels.length < most) {
    reader.tag()
    labels.push(parseLabel(reader, reader.fieldEnd(bytes.length)))
  }
  return labels
}

/** A message `Label` of 1.0: name and value. */
export function parseLabel(reader: WireReader, end: number): Label {
  const label = { name: '', value: '' }
  while (reader.at < end) {
    const tag = reader.tag()
    if (tag === NAME) label.name = reader.text(reader.fieldEnd(end))
    else if (tag === VALUE) label.value = reader.text(reader.fieldEnd(end))
    else reader.skip(tag, end)
  }
  return label
}

/** The labels as fields of a TimeSeries, sorted by name: equal sets give equal bytes. */
export function encodeLabels(labels: readonly Label[]): Buffer {
  const writer = new WireWriter()
  for (const { name, value } of labels.toSorted(byName)) {
    writer.varint(LABEL)
    writer.varint(fieldBytes(name) + fieldBytes(value))
    writer.textField(NAME, name)
    writer.textField(VALUE, value)
  }
  return Buffer.from(writer.bytes())
}

/** Of a text field with a tag of one byte: tag, length, text. */
function fieldBytes(text: string): number {
  const length = Buffer.byteLength(text)
  return 1 + varintBytes(length) + length
}

/** Orders as the bytes of UTF-8 do, but for characters beyond the basic plane. */
function byName(a: Label, b: Label): number {
  return a.name < b.name ? -1 : 1
}
