import type { Response } from 'node-fetch'
import { messageFields } from './remote-read.ts'

/** A chunk as it came: `samples` of a chunk of numbers, else `data`. */
export interface StreamedChunk {
  fromMs: number
  toMs: number
  type: number
  data: Buffer
  samples: [timeMs: number, bits: string][]
}

/** A frame of a streamed answer. */
export interface StreamedFrame {
  queryIndex: number
  /** With its length and checksum. */
  bytes: number
  labels: Record<string, string>
  chunks: StreamedChunk[]
}

/** Reads a whole answer of the type STREAMED_XOR_CHUNKS, apart from the product's own code. */
export async function readStreamed(response: Response): Promise<StreamedFrame[]> {
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  return parseFrames(Buffer.from(await response.arrayBuffer()))
}

export function parseFrames(answer: Buffer): StreamedFrame[] {
  const frames: StreamedFrame[] = []
  for (let at = 0; at < answer.length; ) {
    const start = at
    let length = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = answer.readUInt8(at++)
      length += (byte % 128) * scale
      if (byte < 128) break
    }
    const checksum = answer.readUInt32BE(at)
    const message = answer.subarray(at + 4, at + 4 + length)
    at += 4 + length
    if (at > answer.length) throw new Error('the answer ends within a frame')
    if (slowCrc32c(message) !== checksum) throw new Error(`frame ${frames.length}: wrong checksum`)
    frames.push({ ...parseResponse(message), bytes: at - start })
  }
  return frames
}

function parseResponse(message: Buffer): Omit<StreamedFrame, 'bytes'> {
  const fields = messageFields(message)
  const series = fields.filter(({ number }) => number === 1)
  if (series.length !== 1) throw new Error(`${series.length} series in a frame`)
  const parts = messageFields(series[0]?.bytes)
  const labels = parts.filter(({ number }) => number === 1)
  const pairs = labels.map(({ bytes }) => messageFields(bytes).map((text) => String(text.bytes)))
  return {
    queryIndex: Number(fields.find(({ number }) => number === 2)?.value ?? 0n),
    labels: Object.fromEntries(pairs),
    chunks: parts.filter(({ number }) => number === 2).map(({ bytes }) => parseChunk(bytes)),
  }
}

function parseChunk(message: Buffer = Buffer.alloc(0)): StreamedChunk {
  const found = new Map(messageFields(message).map((field) => [field.number, field]))
  const time = (number: number) => Number(BigInt.asIntN(64, found.get(number)?.value ?? 0n))
  const data = found.get(4)?.bytes ?? Buffer.alloc(0)
  const type = Number(found.get(3)?.value ?? 0n)
  const samples = type === 1 ? slowXor(data) : []
  return { fromMs: time(1), toMs: time(2), type, data, samples }
}

/** The polynomial division itself, bit by bit (RFC 3720, section 12.1). */
function slowCrc32c(bytes: Buffer): number {
  let rest = 0xffffffff
  for (const byte of bytes) {
    rest ^= byte
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1
  }
  return ~rest >>> 0
}

/** A chunk read as a text of zeros and ones, after Prometheus' tsdb/docs/format/chunks.md. */
export function slowXor(data: Buffer): [timeMs: number, bits: string][] {
  let left = [...data].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const take = (count: number): bigint => {
    if (left.length < count) throw new Error('an XOR chunk that ends early')
    const bits = left.slice(0, count)
    left = left.slice(count)
    return bits === '' ? 0n : BigInt(`0b${bits}`)
  }
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = take(8)
      value |= (byte & 127n) << shift
      if (byte < 128n) return value
    }
  }
  const signed = (bits: number): bigint => {
    const value = take(bits)
    return value > 1n << BigInt(bits - 1) ? value - (1n << BigInt(bits)) : value
  }
  const count = Number(take(16))
  const zigzag = varint()
  let time = zigzag & 1n ? -(zigzag >> 1n) - 1n : zigzag >> 1n
  let value = take(64)
  let step = 0n
  let [leading, significant] = [0, 0]
  const samples: [number, string][] = []
  for (let i = 0; i < count; i++) {
    if (i === 1) step = BigInt.asIntN(64, varint())
    else if (i > 1) {
      const width = [0, 14, 17, 20, 64][ones(4)] ?? 0
      step += width === 64 ? BigInt.asIntN(64, take(64)) : width === 0 ? 0n : signed(width)
    }
    time += step
    if (i > 0 && take(1) === 1n) {
      if (take(1) === 1n) {
        leading = Number(take(5))
        significant = Number(take(6)) || 64
      }
      value ^= take(significant) << BigInt(64 - leading - significant)
    }
    samples.push([Number(time), value.toString(16).padStart(16, '0')])
  }
  if (/1/.test(left) || left.length > 7)
    throw new Error(`an XOR chunk with ${left.length} bits more`)
  return samples

  /** How many ones stand before a zero, at most so many. */
  function ones(most: number): number {
    for (let i = 0; i < most; i++) if (take(1) === 0n) return i
    return most
  }
}
