import { WireReader, WireWriter } from './protocol/wire.ts'
import type { Label } from './validate.ts'

const SLAB_BYTES = 4 * 1024 * 1024
const NONE = -1

/**
 * All series that we know, by the bytes of their labels as remote write 1.0 sends them (sorted by
 * name): some 40 bytes a series beside the label bytes themselves. A series is named by its entry,
 * a small number; the database's id follows once it has given one.
 *
 * Senders keep their order, so `next` remembers which entry came after which: comparing bytes with
 * the expected entry's is ten times faster than hashing them.
 */
export class SeriesIndex {
  #size = 0
  #slabs: Buffer[] = []
  /** Where the next label bytes go, counted through all slabs; and where each entry's are. */
  #end = 0
  #offsets = new Float64Array(1024)
  #lengths = new Uint32Array(1024)
  #hashes = new Int32Array(1024)
  #ids = new Int32Array(1024)
  #next = new Int32Array(1024)
  /** Entry + 1 by hash, 0 for none; open addressing, at most half full. */
  #table = new Int32Array(4096)

  get size(): number {
    return this.#size
  }

  /** The database's id, or -1 while it has given none. */
  id(entry: number): number {
    return this.#ids[entry] ?? NONE
  }

  setId(entry: number, id: number): void {
    this.#ids[entry] = id
  }

  /** The entry that followed `entry` last time, or -1. */
  next(entry: number): number {
    const next = this.#next[entry] ?? NONE
    return next < this.#size ? next : NONE
  }

  setNext(entry: number, next: number): void {
    this.#next[entry] = next
  }

  /** The length of the entry's label bytes, if they stand in `bytes` at `start`; else 0. */
  match(entry: number, bytes: Buffer, start: number, end: number): number {
    const length = this.#lengths[entry] ?? 0
    const to = start + length
    if (to > end) return 0
    const offset = this.#offsets[entry] ?? 0
    const slab = this.#slabs[Math.floor(offset / SLAB_BYTES)]
    const from = offset % SLAB_BYTES
    return slab?.compare(bytes, start, to, from, from + length) === 0 ? length : 0
  }

  /** The entry with these label bytes, or -1. */
  find(bytes: Buffer): number {
    const hash = hashOf(bytes)
    for (let slot = this.#slot(hash); ; slot = this.#slot(slot + 1)) {
      const entry = (this.#table[slot] ?? 0) - 1
      if (entry === NONE) return NONE
      if (this.#hashes[entry] === hash && this.#lengths[entry] === bytes.length) {
        if (this.match(entry, bytes, 0, bytes.length) > 0) return entry
      }
    }
  }

  /** Adds a series that `find` does not know, by bytes that `encodeLabels` made. */
  add(bytes: Buffer, id: number): number {
    const entry = this.#size
    if (entry === this.#ids.length) this.#grow()
    if ((entry + 1) * 2 > this.#table.length) this.#rehash()
    this.#offsets[entry] = this.#store(bytes)
    this.#lengths[entry] = bytes.length
    this.#hashes[entry] = hashOf(bytes)
    this.#ids[entry] = id
    this.#next[entry] = NONE
    this.#size++
    this.#enter(entry)
    return entry
  }

  /** Forgets all entries from `size` on, as if they had never been added. */
  truncate(size: number): void {
    while (this.#size > size) {
      const entry = this.#size - 1
      let slot = this.#slot(this.#hashes[entry] ?? 0)
      while (this.#table[slot] !== entry + 1) slot = this.#slot(slot + 1)
      this.#table[slot] = 0
      this.#end = this.#offsets[entry] ?? 0
      this.#size--
    }
    this.#slabs.length = Math.ceil(this.#end / SLAB_BYTES)
  }

  labels(entry: number): Label[] {
    const offset = this.#offsets[entry] ?? 0
    const from = offset % SLAB_BYTES
    const slab = this.#slabs[Math.floor(offset / SLAB_BYTES)] ?? Buffer.alloc(0)
    return parseLabels(slab.subarray(from, from + (this.#lengths[entry] ?? 0)))
  }

  #slot(hash: number): number {
    return hash & (this.#table.length - 1)
  }

  #enter(entry: number): void {
    let slot = this.#slot(this.#hashes[entry] ?? 0)
    while (this.#table[slot] !== 0) slot = this.#slot(slot + 1)
    this.#table[slot] = entry + 1
  }

  /** In order of entry, so that `truncate` may empty slots from the last entry back. */
  #rehash(): void {
    this.#table = new Int32Array(this.#table.length * 2)
    for (let entry = 0; entry < this.#size; entry++) this.#enter(entry)
  }

  /** No entry straddles two slabs. */
  #store(bytes: Buffer): number {
    const full = this.#end >= this.#slabs.length * SLAB_BYTES
    if (full || (this.#end % SLAB_BYTES) + bytes.length > SLAB_BYTES) {
      this.#end = this.#slabs.length * SLAB_BYTES
      this.#slabs.push(Buffer.allocUnsafeSlow(SLAB_BYTES))
    }
    const offset = this.#end
    this.#slabs.at(-1)?.set(bytes, offset % SLAB_BYTES)
    this.#end += bytes.length
    return offset
  }

  #grow(): void {
    const length = this.#ids.length * 2
    this.#offsets = enlarged(this.#offsets, new Float64Array(length))
    this.#lengths = enlarged(this.#lengths, new Uint32Array(length))
    this.#hashes = enlarged(this.#hashes, new Int32Array(length))
    this.#ids = enlarged(this.#ids, new Int32Array(length))
    this.#next = enlarged(this.#next, new Int32Array(length))
  }
}

/** Copies a typed array into a larger one of its kind. */
export function enlarged<A extends Float64Array | Uint32Array | Int32Array>(from: A, to: A): A {
  to.set(from)
  return to
}

/** FNV-1a over words of four bytes, mixed at the end because slots take the low bits. */
function hashOf(bytes: Buffer): number {
  let hash = bytes.length | 0
  const words = bytes.length - 3
  let i = 0
  for (; i < words; i += 4) hash = Math.imul(hash ^ bytes.readInt32LE(i), 0x01000193)
  for (; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

const LABEL = (1 << 3) | 2
const NAME = (1 << 3) | 2
const VALUE = (2 << 3) | 2

/** The labels in `bytes`, which hold fields `labels` of a TimeSeries and nothing else. */
export function parseLabels(bytes: Buffer): Label[] {
  const reader = new WireReader(bytes)
  const labels: Label[] = []
  while (reader.at < bytes.length) {
    reader.tag()
    labels.push(parseLabel(reader, reader.fieldEnd(bytes.length)))
  }
  return labels
}

function parseLabel(reader: WireReader, end: number): Label {
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
    const label = new WireWriter()
    label.textField(NAME, name)
    label.textField(VALUE, value)
    writer.field(LABEL, label.bytes())
  }
  return Buffer.from(writer.bytes())
}

/** Orders as the bytes of UTF-8 do, but for characters beyond the basic plane. */
function byName(a: Label, b: Label): number {
  return a.name < b.name ? -1 : 1
}
