/** Types by their numbers in PostgreSQL's pg_type.dat. */
export const types = { int4: 23, float8: 701, float8Array: 1022, timestamptz: 1184 } as const

/** Dimensions (always 1), null flag, element type, length, lower bound (array_send). */
export const ARRAY_HEADER_BYTES = 20

/** PostgreSQL counts time from 2000-01-01. */
export const EPOCH_MS = 946_684_800_000

/** Writes PostgreSQL's binary formats, which are big-endian. */
export class BinaryWriter {
  readonly bytes: Buffer
  readonly #view: DataView
  #at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  int32(value: number): void {
    this.#view.setInt32(this.#at, value)
    this.#at += 4
  }

  /** A timestamptz: microseconds since 2000 in 64 bits. */
  time(timeMs: number): void {
    const value = (timeMs - EPOCH_MS) * 1000
    const high = Math.floor(value / 2 ** 32)
    this.int32(high)
    this.int32(value - high * 2 ** 32)
  }

  column(type: number, length: number): void {
    this.int32(type)
    this.int32(length)
  }

  arrayHeader(elementType: number, length: number, hasNull: boolean): void {
    this.int32(1)
    this.int32(hasNull ? 1 : 0)
    this.int32(elementType)
    this.int32(length)
    this.int32(1)
  }
}
