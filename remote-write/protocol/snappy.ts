import { compress, uncompressSync } from 'snappy'
import { RequestError } from '../../exporter/service/request-error.ts'

/**
 * The bytes within a snappy block (not the framed format). The length it declares is judged before
 * anything is allocated: against `limit`, and against what a body so long can hold at all.
 * @throws {RequestError} 413 above `limit` bytes; 400 when it isn't a snappy block.
 */
export function uncompressBlock(body: Buffer, limit: number): Buffer {
  const declared = declaredLength(body)
  if (declared > limit) {
    throw new RequestError(
      413,
      'decoded_too_large',
      `the body holds ${declared} bytes uncompressed, the limit is ${limit}`,
    )
  }
  if (declared > body.length * densest) throw malformed(`${declared} bytes declared`)
  return uncompress(body)
}

function uncompress(body: Buffer): Buffer {
  try {
    // Without the copy the output is external memory, which made this ten times slower.
    const bytes = uncompressSync(body, { asBuffer: true, copyOutputData: true })
    if (typeof bytes !== 'string') return bytes
  } catch (cause) {
    throw malformed('it cannot be uncompressed', cause)
  }
  throw new TypeError('snappy gave text for bytes')
}

export function compressBlock(bytes: Buffer): Promise<Buffer> {
  return compress(bytes)
}

/** A copy of 64 bytes takes 3 (google/snappy, format_description.txt): no block is denser. */
const densest = 22

/** A block begins with its uncompressed length, a varint of up to 32 bits. */
function declaredLength(body: Buffer): number {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = body[i]
    if (byte === undefined) break
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return length
  }
  throw malformed('it has no length')
}

function malformed(what: string, cause?: unknown): RequestError {
  const message = `the body is not a snappy block: ${what}`
  return new RequestError(400, 'malformed_snappy', message, { cause })
}
