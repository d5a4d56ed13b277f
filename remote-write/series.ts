import { ByteTable } from './byte-table.ts'
import { varintBytes, WireReader, WireWriter } from './protocol/wire.ts'
import type { Label } from './validate.ts'

/**
 * All series that we know, by the bytes of their labels as remote write 1.0 sends them (sorted by
 * name). A series is named by its entry; the database's id follows once it has given one.
 */
export class SeriesIndex extends ByteTable {
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
