const SLAB_BYTES = 4 * 1024 * 1024
const NONE = -1

/**
 * Byte strings, each kept once and named by its entry, a small number; some 40 bytes an entry
 * beside the bytes themselves. An entry has a value, a number that is the owner's to use. The
 * numbers of entries that were removed are given out again.
 *
 * Senders keep their order, so `next` remembers which entry came after which: comparing bytes with
 * the expected entry's is ten times faster than hashing them.
 */
export class ByteTable {
  #size = 0
  #bound = 0
  /** Removed entries, and those that were added since `begin`, in order. */
  #free: number[] = []
  #added: number[] = []
  /** Those of which all entries were removed are gone; how many bytes of the others are in use. */
  #slabs: (Slab | undefined)[] = []
  /** The bytes that were looked at last: mostly those of one request again and again. */
  #bytes: Buffer = Buffer.alloc(0)
  #view = viewOf(this.#bytes)
  /** Where the next bytes go, counted through all slabs; and where each entry's are. */
  #end = 0
  #offsets = new Float64Array(1024)
  #lengths = new Uint32Array(1024)
  #hashes = new Int32Array(1024)
  #values = new Int32Array(1024)
  #next = new Int32Array(1024)
  /** Entry + 1 by hash, 0 for none; open addressing, at most half full. */
  #table = new Int32Array(4096)

  /** How many entries there are. */
  get size(): number {
    return this.#size
  }

  /** All entries are below this number. */
  get bound(): number {
    return this.#bound
  }

  /** Entries added since `begin`. */
  get added(): number {
    return this.#added.length
  }

  has(entry: number): boolean {
    return (this.#lengths[entry] ?? 0) > 0
  }

  value(entry: number): number {
    return this.#values[entry] ?? NONE
  }

  setValue(entry: number, value: number): void {
    this.#values[entry] = value
  }

  /** The entry that followed `entry` last time, or -1. */
  next(entry: number): number {
    const next = this.#next[entry] ?? NONE
    return next < this.#bound ? next : NONE
  }

  setNext(entry: number, next: number): void {
    this.#next[entry] = next
  }

  /** The length of the entry's bytes, if they stand in `bytes` at `start`; else 0. */
  match(entry: number, bytes: Buffer, start: number, end: number): number {
    const length = this.#lengths[entry] ?? 0
    const to = start + length
    if (to > end) return 0
    const offset = this.#offsets[entry] ?? 0
    const from = offset % SLAB_BYTES
    const slab = this.#slabs[Math.floor(offset / SLAB_BYTES)]
    if (slab === undefined) return 0
    // A call out of JavaScript takes as long as comparing some hundred bytes here.
    if (length > 128) return slab.bytes.compare(bytes, start, to, from, from + length) ? 0 : length
    if (bytes !== this.#bytes) this.#look(bytes)
    return sameBytes(slab.view, from, this.#view, start, length) ? length : 0
  }

  /** Whether the entry's bytes are those from `start` to `end`, at least one. */
  equals(entry: number, bytes: Buffer, start: number, end: number): boolean {
    return this.#lengths[entry] === end - start && this.match(entry, bytes, start, end) > 0
  }

  /** The entry with the bytes from `start` to `end`, or -1. */
  find(bytes: Buffer, start = 0, end = bytes.length): number {
    const hash = hashOf(bytes, start, end)
    for (let slot = this.#slot(hash); ; slot = this.#slot(slot + 1)) {
      const entry = (this.#table[slot] ?? 0) - 1
      if (entry === NONE) return NONE
      if (this.#hashes[entry] === hash && this.equals(entry, bytes, start, end)) return entry
    }
  }

  /** Adds bytes that `find` does not know: one to 4 MiB of them. */
  add(bytes: Buffer, value: number): number {
    const entry = this.#free.pop() ?? this.#bound++
    if (entry === this.#values.length) this.#grow()
    if ((this.#size + 1) * 2 > this.#table.length) this.#rehash()
    this.#offsets[entry] = this.#store(bytes)
    this.#lengths[entry] = bytes.length
    this.#hashes[entry] = hashOf(bytes, 0, bytes.length)
    this.#values[entry] = value
    this.#next[entry] = NONE
    this.#size++
    this.#enter(entry)
    this.#added.push(entry)
    return entry
  }

  /** What is added from here on can be taken back. */
  begin(): void {
    this.#added = []
  }

  /** Forgets what was added since `begin`, but for the first `kept`, as if it had never been. */
  takeBack(kept: number): void {
    for (const entry of this.#added.splice(kept).reverse()) {
      this.#remove(entry)
      this.#end = this.#offsets[entry] ?? 0
    }
    this.#slabs.length = Math.ceil(this.#end / SLAB_BYTES)
  }

  /** Removes entries, and the bytes of the others to where they take no room in vain. */
  removeAll(entries: Iterable<number>): void {
    this.begin()
    for (const entry of entries) this.#remove(entry)
    const last = this.#slabs.length - 1
    const sparse = new Set<number>()
    this.#slabs.forEach((slab, i) => {
      if (i < last && slab && slab.used * 2 < SLAB_BYTES) sparse.add(i)
    })
    for (let entry = 0; entry < this.#bound && sparse.size > 0; entry++) {
      if (this.has(entry) && sparse.has(this.#slabOf(entry))) this.#move(entry)
    }
  }

  #remove(entry: number): void {
    this.#leave(entry)
    this.#release(entry)
    this.#lengths[entry] = 0
    this.#values[entry] = NONE
    this.#free.push(entry)
    this.#size--
  }

  #move(entry: number): void {
    const bytes = this.bytes(entry)
    this.#release(entry)
    this.#offsets[entry] = this.#store(bytes)
  }

  #slabOf(entry: number): number {
    return Math.floor((this.#offsets[entry] ?? 0) / SLAB_BYTES)
  }

  #release(entry: number): void {
    const number = this.#slabOf(entry)
    const slab = this.#slabs[number]
    if (!slab) return
    slab.used -= this.#lengths[entry] ?? 0
    if (slab.used === 0 && number < this.#slabs.length - 1) this.#slabs[number] = undefined
  }

  /** The entry's bytes; valid until entries are removed. */
  bytes(entry: number): Buffer {
    const offset = this.#offsets[entry] ?? 0
    const from = offset % SLAB_BYTES
    const slab = this.#slabs[Math.floor(offset / SLAB_BYTES)]?.bytes ?? Buffer.alloc(0)
    return slab.subarray(from, from + (this.#lengths[entry] ?? 0))
  }

  #look(bytes: Buffer): void {
    this.#bytes = bytes
    this.#view = viewOf(bytes)
  }

  #slot(hash: number): number {
    return hash & (this.#table.length - 1)
  }

  #enter(entry: number): void {
    let slot = this.#slot(this.#hashes[entry] ?? 0)
    while (this.#table[slot] !== 0) slot = this.#slot(slot + 1)
    this.#table[slot] = entry + 1
  }

  /** Those behind the emptied slot that are to be found by way of it move up. */
  #leave(entry: number): void {
    let hole = this.#slot(this.#hashes[entry] ?? 0)
    while (this.#table[hole] !== entry + 1) hole = this.#slot(hole + 1)
    for (let slot = this.#slot(hole + 1); this.#table[slot] !== 0; slot = this.#slot(slot + 1)) {
      const home = this.#slot(this.#hashes[(this.#table[slot] ?? 0) - 1] ?? 0)
      if (this.#slot(slot - home) < this.#slot(slot - hole)) continue
      this.#table[hole] = this.#table[slot] ?? 0
      hole = slot
    }
    this.#table[hole] = 0
  }

  /** Before an entry is stored, so that it is not entered twice. */
  #rehash(): void {
    this.#table = new Int32Array(this.#table.length * 2)
    for (let entry = 0; entry < this.#bound; entry++) if (this.has(entry)) this.#enter(entry)
  }

  /** No entry straddles two slabs. */
  #store(bytes: Buffer): number {
    const full = this.#end >= this.#slabs.length * SLAB_BYTES
    if (full || !this.#slabs.at(-1) || (this.#end % SLAB_BYTES) + bytes.length > SLAB_BYTES) {
      this.#end = this.#slabs.length * SLAB_BYTES
      const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#slabs.push({ bytes: slab, view: viewOf(slab), used: 0 })
    }
    const offset = this.#end
    const slab = this.#slabs.at(-1)
    if (slab) {
      slab.bytes.set(bytes, offset % SLAB_BYTES)
      slab.used += bytes.length
    }
    this.#end += bytes.length
    return offset
  }

  #grow(): void {
    const length = this.#values.length * 2
    this.#offsets = enlarged(this.#offsets, new Float64Array(length))
    this.#lengths = enlarged(this.#lengths, new Uint32Array(length))
    this.#hashes = enlarged(this.#hashes, new Int32Array(length))
    this.#values = enlarged(this.#values, new Int32Array(length))
    this.#next = enlarged(this.#next, new Int32Array(length))
  }
}

interface Slab {
  bytes: Buffer
  view: DataView
  /** Bytes of entries that were not removed. */
  used: number
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

function sameBytes(a: DataView, aFrom: number, b: DataView, bFrom: number, length: number) {
  let i = 0
  for (; i + 4 <= length; i += 4) {
    if (a.getInt32(aFrom + i, true) !== b.getInt32(bFrom + i, true)) return false
  }
  for (; i < length; i++) if (a.getUint8(aFrom + i) !== b.getUint8(bFrom + i)) return false
  return true
}

/** Copies a typed array into a larger one of its kind. */
export function enlarged<A extends Float64Array | Uint32Array | Int32Array | Uint8Array>(
  from: A,
  to: A,
): A {
  to.set(from)
  return to
}

/** FNV-1a over words of four bytes, mixed at the end because slots take the low bits. */
export function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = (end - start) | 0
  const words = end - 3
  let i = start
  for (; i < words; i += 4) hash = Math.imul(hash ^ bytes.readInt32LE(i), 0x01000193)
  for (; i < end; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}
