/** Writes bits, the highest of each number first, into memory of its own that is used again. */
export class BitWriter {
  #bytes = new Uint8Array(4096)
  #view = new DataView(this.#bytes.buffer)
  /** Where the next word goes; its bits so far, from the top; how many of it are free. */
  #at = 0
  #word = 0
  #free = 32

  /** Begins anew with room for so many bytes: to write more is the caller's mistake. */
  begin(bytes: number): void {
    if (bytes + 8 > this.#bytes.length) {
      this.#bytes = new Uint8Array(2 * bytes + 8)
      this.#view = new DataView(this.#bytes.buffer)
    }
    this.#at = 0
    this.#word = 0
    this.#free = 32
  }

  /** How many bits there are. */
  get length(): number {
    return 8 * this.#at + 32 - this.#free
  }

  /** The low `count` bits, 0 to 32, of a value that has no others set. */
  write(value: number, count: number): void {
    const left = this.#free - count
    if (left > 0) {
      this.#word |= value << left
      this.#free = left
    } else {
      this.#view.setUint32(this.#at, this.#word | (value >>> -left))
      this.#at += 4
      this.#word = left === 0 ? 0 : value << (32 + left)
      this.#free = 32 + left
    }
  }

  /** A whole number from 0, seven bits a byte, the lowest first; the top bit says more follow. */
  writeVarint(value: number | bigint): void {
    let rest = value
    if (typeof rest === 'bigint') {
      for (; rest > Number.MAX_SAFE_INTEGER; rest >>= 7n) this.write(Number(rest & 127n) | 128, 8)
      rest = Number(rest)
    }
    for (; rest > 127; rest = Math.floor(rest / 128)) this.write((rest % 128) | 128, 8)
    this.write(rest, 8)
  }

  /** A safe integer: 0, -1, 1, -2, ... as the varints 0, 1, 2, 3, ... */
  writeSignedVarint(value: number): void {
    const twice = Math.abs(value) < 2 ** 52 ? 2 * value : 2n * BigInt(value)
    this.writeVarint(value < 0 ? (typeof twice === 'bigint' ? -twice - 1n : -twice - 1) : twice)
  }

  append(other: BitWriter): void {
    for (let at = 0; at < other.#at; at += 4) this.write(other.#view.getUint32(at), 32)
    const rest = 32 - other.#free
    if (rest > 0) this.write(other.#word >>> other.#free, rest)
  }

  /** A copy of all bytes, the last filled up with zeros. */
  finish(): Buffer {
    this.#view.setUint32(this.#at, this.#word)
    return Buffer.from(this.#bytes.subarray(0, Math.ceil(this.length / 8)))
  }
}

/** Reads what BitWriter wrote. Behind the end it reads anything: `left` is negative then. */
export class BitReader {
  #bytes = new Uint8Array(4096)
  #view = new DataView(this.#bytes.buffer)
  /** In bits. */
  #at = 0
  #end = 0

  /** Begins with a copy of these bytes, with room for reading on behind their end. */
  begin(bytes: Uint8Array): void {
    if (bytes.length + 16 > this.#bytes.length) {
      this.#bytes = new Uint8Array(2 * bytes.length + 16)
      this.#view = new DataView(this.#bytes.buffer)
    }
    this.#bytes.set(bytes)
    this.#at = 0
    this.#end = 8 * bytes.length
  }

  /** How many bits are left; negative when more was read than there is. */
  get left(): number {
    return this.#end - this.#at
  }

  /** The next 32 bits, as a signed number, without moving on. */
  peek(): number {
    // Behind the end it stands still, until its caller looks at `left`.
    const at = Math.min(this.#at, this.#end)
    const shift = at & 7
    const word = this.#view.getInt32(at >>> 3)
    if (shift === 0) return word
    return (word << shift) | ((this.#bytes[(at >>> 3) + 4] ?? 0) >>> (8 - shift))
  }

  skip(bits: number): void {
    this.#at += bits
  }

  /** A number of `count` bits, 0 to 32. */
  read(count: number): number {
    const word = this.peek()
    this.#at += count
    return count === 0 ? 0 : word >>> (32 - count)
  }

  /** At most 64 bits; a bigint above 2^49. */
  readVarint(): number | bigint {
    let value = 0
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.read(8)
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    let large = BigInt(value)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.read(8)
      large += BigInt(byte & 127) << shift
      if (byte < 128) return BigInt.asUintN(64, large)
    }
    throw new Error('chunk: a varint of more than 10 bytes')
  }

  readSignedVarint(): number {
    const value = this.readVarint()
    if (typeof value === 'number') return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    return Number(value & 1n ? -(value >> 1n) - 1n : value >> 1n)
  }
}
