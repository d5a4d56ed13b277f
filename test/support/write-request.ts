import { uncompress } from 'snappy'

/** A series as a receiver reads it. */
export interface ReceivedSeries {
  labels: [name: string, value: string][]
  samples: { value: number; bits: string; timestamp: number }[]
}

/** Decodes a remote write 1.0 body by prompb/types.proto, apart from the product's own code. */
export async function decodeBody(body: Buffer): Promise<ReceivedSeries[]> {
  return decodeWriteRequest((await uncompress(body)) as Buffer)
}

export function decodeWriteRequest(bytes: Buffer): ReceivedSeries[] {
  return fields(bytes).map(({ number, data }) => {
    if (number !== 1) throw new Error(`WriteRequest: field ${number}`)
    const parts = fields(data)
    return {
      labels: parts.filter((part) => part.number === 1).map((part) => decodeLabel(part.data)),
      samples: parts.filter((part) => part.number === 2).map((part) => decodeSample(part.data)),
    }
  })
}

function decodeLabel(bytes: Buffer): [string, string] {
  const found = new Map(fields(bytes).map(({ number, data }) => [number, data.toString('utf8')]))
  return [found.get(1) ?? '', found.get(2) ?? '']
}

function decodeSample(bytes: Buffer) {
  const found = new Map(fields(bytes).map(({ number, data }) => [number, data]))
  const value = found.get(1) ?? Buffer.alloc(8)
  const bits = value.readBigUInt64LE().toString(16)
  return { value: value.readDoubleLE(), bits, timestamp: Number(varint(found.get(2), 0).value) }
}

interface Field {
  number: number
  /** The bytes of a varint, a double or a message. */
  data: Buffer
}

function fields(bytes: Buffer): Field[] {
  const found: Field[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = varint(bytes, at)
    const number = Number(tag.value >> 3n)
    const wireType = Number(tag.value & 7n)
    const length = wireType === 2 ? varint(bytes, tag.end) : undefined
    const start = length?.end ?? tag.end
    const sizes = { 0: () => varint(bytes, start).end - start, 1: () => 8, 2: () => length?.value }
    const size = Number(sizes[wireType as 0 | 1 | 2]())
    found.push({ number, data: bytes.subarray(start, start + size) })
    at = start + size
  }
  return found
}

function varint(bytes: Buffer | undefined, start: number): { value: bigint; end: number } {
  let value = 0n
  let end = start
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes?.[end++]
    if (byte === undefined) throw new Error(`varint at ${start} has no end`)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return { value, end }
  }
}
