import { isUtf8 } from 'node:buffer'
import { RequestError } from '../../exporter/service/request-error.ts'

/** Wire types of protocol buffers (protobuf.dev, "Encoding"); groups (3, 4) are long gone. */
const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

/**
 * A cursor over protocol-buffer bytes. Every read is checked against the end of the bytes.
 * @throws {RequestError} 400 `malformed_protobuf` with the offset, from all of its methods.
 */
export class WireReader {
  readonly bytes: Buffer
  readonly view: DataView
  at: number

  constructor(bytes: Buffer) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.at = 0
  }

  /** A field's number and wire type as they stand: `number << 3 | type`. */
  tag(): number {
    const tag = this.unsigned()
    if (tag < 8 || tag > 0xffffffff) throw this.malformed('bad field number')
    return tag
  }

  /** Reads a length and returns where the field so long ends; it may not pass `end`. */
  fieldEnd(end: number): number {
    const length = this.unsigned()
    const fieldEnd = this.at + length
    if (fieldEnd > end) throw this.malformed(`a field of ${length} bytes passes its message's end`)
    return fieldEnd
  }

  /** An unsigned varint; above 2^53 the value is rounded. */
  unsigned(): number {
    const first = this.bytes[this.at]
    if (first !== undefined && first < 0x80) {
      this.at++
      return first
    }
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw this.malformed('it ends within a number')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw this.malformed('a number of more than 10 bytes')
  }

  /** An int64; beyond 2^53 the value is rounded. */
  signed(): number {
    const start = this.at
    const value = this.unsigned()
    return value < 2 ** 53 ? value : this.#bigSigned(start)
  }

  #bigSigned(start: number): number {
    let value = 0n
    for (let i = start; i < this.at; i++) {
      value |= BigInt((this.bytes[i] ?? 0) & 0x7f) << BigInt(7 * (i - start))
    }
    return Number(BigInt.asIntN(64, value))
  }

  double(end: number): number {
    if (this.at + 8 > end) throw this.malformed("a double passes its message's end")
    this.at += 8
    return this.view.getFloat64(this.at - 8, true)
  }

  /** The text up to `end`; a zero character, which no valid text has, when it is not UTF-8. */
  text(end: number): string {
    const bytes = this.bytes.subarray(this.at, end)
    this.at = end
    return isUtf8(bytes) ? bytes.toString('utf8') : '\0'
  }

  /** Passes over the field of this tag. */
  skip(tag: number, end: number): void {
    const type = tag & 7
    if (type === VARINT) this.unsigned()
    else if (type === FIXED64) this.at += 8
    else if (type === FIXED32) this.at += 4
    else if (type === LENGTH) this.at = this.fieldEnd(end)
    else throw this.malformed(`unknown wire type ${type}`)
    if (this.at > end) throw this.malformed("a field passes its message's end")
  }

  /** The bytes of the value of the field of this tag, without their length. */
  value(tag: number, end: number): Buffer {
    const to = (tag & 7) === LENGTH ? this.fieldEnd(end) : undefined
    const from = this.at
    if (to === undefined) this.skip(tag, end)
    else this.at = to
    return this.bytes.subarray(from, this.at)
  }

  malformed(what: string): RequestError {
    const place = `byte ${this.at} of ${this.bytes.length}`
    return new RequestError(400, 'malformed_protobuf', `malformed protobuf at ${place}: ${what}`)
  }
}

/** Bytes of a varint from 0 to 2^53. */
export function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest /= 128) bytes++
  return bytes
}

/** Protocol-buffer bytes in the making, in a buffer that doubles as it fills. */
export class WireWriter {
  #bytes: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.#length
  }

  /** The bytes so far; valid until the next write. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** An int64 or uint64 of at most 2^53 in size; below 0 it takes 10 bytes. */
  varint(value: number): void {
    this.#reserve(10)
    if (value < 0) this.#negative(value)
    else this.#positive(value)
  }

  #positive(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#length++] = rest
  }

  #negative(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest >= 0x80n; rest >>= 7n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80
    }
    this.#bytes[this.#length++] = Number(rest)
  }

  /** A double by the halves of its bits, so that no NaN is changed. */
  fixed64(low: number, high: number): void {
    this.#reserve(8)
    this.#bytes.writeUInt32LE(low, this.#length)
    this.#bytes.writeUInt32LE(high, this.#length + 4)
    this.#length += 8
  }

  field(tag: number, bytes: Uint8Array): void {
    this.varint(tag)
    this.varint(bytes.length)
    this.#append(bytes)
  }

  /** A field whose value has no length: a varint or a double, as it is to stand there. */
  value(tag: number, bytes: Uint8Array): void {
    this.varint(tag)
    this.#append(bytes)
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  textField(tag: number, text: string): void {
    const length = Buffer.byteLength(text)
    this.varint(tag)
    this.varint(length)
    this.#reserve(length)
    this.#length += this.#bytes.write(text, this.#length, length)
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + length))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
