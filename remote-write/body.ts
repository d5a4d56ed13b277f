import type { IncomingMessage } from 'node:http'
import { RequestError, UnavailableError } from '../exporter/service/request-error.ts'

/** Reads bodies whole. Those being read may together take `limit` bytes `atOnce` times. */
export class BodyReader {
  readonly #limit: number
  readonly #atOnce: number
  #held = 0

  constructor(limit: number, atOnce = 16) {
    this.#limit = limit
    this.#atOnce = atOnce
  }

  /**
   * @throws {RequestError} 413 above the limit, 400 when the client leaves; {UnavailableError}
   * when too much is being read already.
   */
  async read(request: IncomingMessage): Promise<Buffer> {
    if (Number(request.headers['content-length']) > this.#limit) throw tooLarge(this.#limit)
    const chunks: Buffer[] = []
    let length = 0
    try {
      await forEachChunk(request, (chunk) => {
        length += chunk.length
        this.#held += chunk.length
        chunks.push(chunk)
        if (length > this.#limit) throw tooLarge(this.#limit)
        if (this.#held > this.#limit * this.#atOnce) throw tooMany()
      })
    } finally {
      this.#held -= length
    }
    const [first = Buffer.alloc(0)] = chunks
    return chunks.length === 1 ? first : Buffer.concat(chunks, length)
  }
}

/** Unlike `for await`, leaves the connection open when `visit` throws: an answer is to follow. */
function forEachChunk(request: IncomingMessage, visit: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      try {
        visit(chunk)
      } catch (error) {
        request.off('data', onData)
        request.resume()
        reject(error)
      }
    }
    request.on('data', onData)
    request.on('end', resolve)
    request.on('close', () => reject(new RequestError(400, 'cut_off', 'the body was cut off')))
  })
}

function tooLarge(limit: number): RequestError {
  return new RequestError(413, 'body_too_large', `the body has more than ${limit} bytes`)
}

function tooMany(): UnavailableError {
  const message = 'too many requests are being read'
  return new UnavailableError('overloaded', message, { retryAfterSeconds: 1 })
}
