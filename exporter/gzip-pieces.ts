import { constants, crc32, deflateRawSync, inflateRawSync } from 'node:zlib'

/** Bytes packed by themselves, ready to stand in any gzip member beside others. */
export interface Packed {
  /** Whole deflate blocks, none of them the last, up to a full byte (RFC 1951). */
  blocks: Buffer
  /** Of the bytes that were packed. */
  length: number
  crc: number
  /** What moves another checksum past these bytes. */
  shift: number
}

/**
 * Level 1 packs text of metrics to a fifteenth at a gigabyte a second; more would cost more. So
 * does the buffer for the result that zlib makes when it is not told a smaller one.
 */
const options = { level: 1, memLevel: 7, chunkSize: 8192, finishFlush: constants.Z_SYNC_FLUSH }

export function pack(bytes: Uint8Array): Packed {
  const blocks = deflateRawSync(bytes, options)
  const { length } = bytes
  return { blocks, length, crc: crc32(bytes), shift: powerOfX(length) }
}

/** What was packed. */
export function unpack({ blocks }: Packed): Buffer {
  return inflateRawSync(blocks, { finishFlush: constants.Z_SYNC_FLUSH })
}

/**
 * One gzip member (RFC 1952) of all the pieces, as if they had been packed together. Several
 * members, one a piece, would do too, but browsers and curl read the first alone.
 */
export function gzipOf(pieces: readonly Packed[]): Buffer {
  let [crc, length] = [0, 0]
  for (const piece of pieces) {
    crc = multiplied(piece.shift, crc) ^ piece.crc
    length += piece.length
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc >>> 0, 0)
  trailer.writeUInt32LE(length % 2 ** 32, 4)
  return Buffer.concat([header, ...pieces.map(({ blocks }) => blocks), lastBlock, trailer])
}

/** Deflate, no name, no time, fastest, of Unix. */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3])
/** An empty block with fixed codes that is the last. */
const lastBlock = Buffer.from([3, 0])

/**
 * The checksum of A followed by B is that of A times x^(8 |B|), plus that of B, over polynomials
 * modulo that of CRC-32 with the bits reversed (Mark Adler's crc32_combine shows how).
 */
const polynomial = 0xedb88320
const one = 0x80000000

function multiplied(a: number, b: number): number {
  let [product, left] = [0, b]
  for (let bit = one; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= left
    left = left & 1 ? (left >>> 1) ^ polynomial : left >>> 1
  }
  return product >>> 0
}

/** x^(2^n) for n from 0 to 31; then they repeat. */
const powers = (() => {
  const found: number[] = [one >>> 1]
  for (let last = one >>> 1; found.length < 32; found.push(last)) last = multiplied(last, last)
  return found
})()

/** x^(8 bytes). */
function powerOfX(bytes: number): number {
  let product = one
  for (let [left, n] = [bytes, 3]; left > 0; left = Math.floor(left / 2), n++) {
    if (left % 2 === 1) product = multiplied(powers[n % 32] ?? one, product)
  }
  return product
}
