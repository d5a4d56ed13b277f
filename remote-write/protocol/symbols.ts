import { type ByteTable, enlarged, hashOf } from '../byte-table.ts'
import { tooMany } from './intake.ts'
import { WireReader } from './wire.ts'

/** Symbol without an entry among the known ones. */
const UNKNOWN = -1

/**
 * The symbols of one request of remote write 2.0, by their place in it. Those that name known
 * series stand in `known`, mostly in the order of the request before. Used again for each request.
 */
export class Symbols {
  readonly #known: ByteTable
  readonly #limit: number
  #reader = new WireReader(Buffer.alloc(0))
  #count = 0
  #starts = new Uint32Array(1024)
  #ends = new Uint32Array(1024)
  #entries = new Int32Array(1024)
  /** 0 where it has not been asked for. */
  #hashes = new Int32Array(1024)
  /** The known symbol before the one at hand. */
  #previous = -1

  constructor(known: ByteTable, limit: number) {
    this.#known = known
    this.#limit = limit
  }

  get count(): number {
    return this.#count
  }

  /** Whether the first symbol is the empty one, as the specification has it. */
  get startsEmpty(): boolean {
    return this.#count > 0 && this.#ends[0] === this.#starts[0]
  }

  /** Forgets the request before; the symbols to come stand in `body`. */
  begin(body: Buffer): void {
    this.#reader = new WireReader(body)
    this.#count = 0
  }

  /** @throws {RequestError} 413 when there are too many. */
  add(start: number, end: number): void {
    const i = this.#count++
    if (i === this.#limit) throw tooMany('symbols', this.#limit)
    if (i === this.#starts.length) this.#grow()
    this.#starts[i] = start
    this.#ends[i] = end
    this.#entries[i] = this.#find(start, end)
    this.#hashes[i] = 0
  }

  /** The symbol's entry among the known ones, or -1. Beyond the last stand those of old ones. */
  entry(ref: number): number {
    return ref < this.#count ? (this.#entries[ref] ?? UNKNOWN) : UNKNOWN
  }

  /** The symbol's entry among the known ones, which it joins if it has to. */
  keep(ref: number): number {
    const known = this.entry(ref)
    if (known !== UNKNOWN) return known
    const bytes = this.#bytes(ref)
    const found = this.#known.find(bytes)
    const entry = found >= 0 ? found : this.#known.add(bytes, 0)
    this.#entries[ref] = entry
    return entry
  }

  /** Empty for a ref beyond the last symbol. */
  text(ref: number): string {
    if (ref >= this.#count) return ''
    this.#reader.at = this.#starts[ref] ?? 0
    return this.#reader.text(this.#ends[ref] ?? 0)
  }

  hash(ref: number): number {
    const known = this.#hashes[ref] ?? 0
    if (known !== 0) return known
    const hash = hashOf(this.#reader.bytes, this.#starts[ref] ?? 0, this.#ends[ref] ?? 0)
    this.#hashes[ref] = hash
    return hash
  }

  #bytes(ref: number): Buffer {
    return this.#reader.bytes.subarray(this.#starts[ref] ?? 0, this.#ends[ref] ?? 0)
  }

  #find(start: number, end: number): number {
    const { bytes } = this.#reader
    if (start === end) return UNKNOWN
    const expected = this.#known.next(this.#previous)
    if (expected >= 0 && this.#known.equals(expected, bytes, start, end)) {
      this.#previous = expected
      return expected
    }
    const found = this.#known.find(bytes, start, end)
    if (found < 0) return UNKNOWN
    this.#known.setNext(this.#previous, found)
    this.#previous = found
    return found
  }

  #grow(): void {
    const length = this.#starts.length * 2
    this.#starts = enlarged(this.#starts, new Uint32Array(length))
    this.#ends = enlarged(this.#ends, new Uint32Array(length))
    this.#entries = enlarged(this.#entries, new Int32Array(length))
    this.#hashes = enlarged(this.#hashes, new Int32Array(length))
  }
}
