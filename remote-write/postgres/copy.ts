import type { ClientBase, Connection, Submittable } from 'pg'
import { EPOCH_MS } from './binary.ts'

/** Signature, flags and length of the header's extension: none (PostgreSQL manual, COPY). */
export const copyHeader = Buffer.concat([
  Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
  Buffer.alloc(8),
])

/** What ends a COPY in binary: a row of -1 columns. */
export const copyTrailer = Buffer.of(0xff, 0xff)

/**
 * Runs `copy (...) to stdout (format binary)` and calls `visit` for each row: a count of columns
 * in 16 bits, then each column with its length in 32 bits, -1 for null. The bytes are the
 * connection's own and change when `visit` returns. pg has no binary results of its own, and text
 * makes all NaN one. An error that `visit` throws comes when the server has sent all.
 */
export function copyOut(
  client: ClientBase,
  text: string,
  visit: (row: DataView) => void,
): Promise<void> {
  let isFirst = true
  return run(client, text, {
    take(bytes) {
      const at = isFirst ? copyHeader.length : 0
      isFirst = false
      const row = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at)
      if (row.byteLength > 2) visit(row)
    },
  })
}

/** Runs `copy ... from stdin (format binary)` with these bytes, header and trailer included. */
export function copyIn(client: ClientBase, text: string, bytes: Buffer): Promise<void> {
  return run(client, text, { give: bytes })
}

interface Copied {
  take?: (bytes: Buffer) => void
  give?: Buffer
}

/** The part of pg's connection that its types leave out. */
interface CopyConnection {
  sendCopyFromChunk(bytes: Buffer): void
  endCopyFrom(): void
}

function run(client: ClientBase, text: string, copied: Copied): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new Copy(text, copied, (error) => (error ? reject(error) : resolve())))
  })
}

/** What pg's client calls while the statement runs (its lib/client.js). */
class Copy implements Submittable {
  /** pg calls it too, when the statement took longer than the connection's query_timeout. */
  readonly callback: (error?: Error) => void
  readonly #text: string
  readonly #copied: Copied
  #error: Error | undefined

  constructor(text: string, copied: Copied, callback: (error?: Error) => void) {
    this.#text = text
    this.#copied = copied
    this.callback = callback
  }

  submit(connection: Connection): void {
    connection.query(this.#text)
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(this.#copied.give ?? Buffer.alloc(0))
    connection.endCopyFrom()
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    if (this.#error) return
    try {
      this.#copied.take?.(chunk)
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error))
    }
  }

  handleError(error: Error): void {
    this.callback(error)
  }

  handleReadyForQuery(): void {
    this.callback(this.#error)
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** Gathers rows in the binary form of COPY. Used again after each `take`. */
export class CopyRows {
  #bytes = Buffer.allocUnsafe(64 * 1024)
  #view = viewOf(this.#bytes)
  #at = copyHeader.length
  #count = 0

  constructor() {
    this.#bytes.set(copyHeader)
  }

  /** Rows since the last `take`. */
  get count(): number {
    return this.#count
  }

  /** Begins a row; `bytes` is at least what its columns take, with 4 for the length of each. */
  row(columns: number, bytes: number): void {
    this.#reserve(bytes + 2 + copyTrailer.length)
    this.#view.setInt16(this.#at, columns)
    this.#at += 2
    this.#count++
  }

  null(): void {
    this.#int32(-1)
  }

  bool(value: boolean): void {
    this.#int32(1)
    this.#bytes[this.#at++] = value ? 1 : 0
  }

  int2(value: number): void {
    this.#int32(2)
    this.#view.setInt16(this.#at, value)
    this.#at += 2
  }

  int4(value: number): void {
    this.#int32(4)
    this.#int32(value)
  }

  float8(value: number): void {
    this.#int32(8)
    this.#view.setFloat64(this.#at, value)
    this.#at += 8
  }

  time(timeMs: number): void {
    this.#int32(8)
    const micros = (timeMs - EPOCH_MS) * 1000
    const high = Math.floor(micros / 2 ** 32)
    this.#int32(high)
    this.#int32(micros - high * 2 ** 32)
  }

  bytes(value: Uint8Array): void {
    this.#int32(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** An array of one dimension from 1; `null` is called for its NULLs as well. */
  array(elementType: number, length: number, element: (index: number) => void): void {
    const start = this.#at
    this.#int32(0)
    this.#int32(1)
    this.#int32(1)
    this.#int32(elementType)
    this.#int32(length)
    this.#int32(1)
    for (let i = 0; i < length; i++) element(i)
    this.#view.setInt32(start, this.#at - start - 4)
  }

  /** All rows with header and trailer, a view that is good until the next row. */
  take(): Buffer {
    this.#bytes.set(copyTrailer, this.#at)
    const bytes = this.#bytes.subarray(0, this.#at + copyTrailer.length)
    this.#at = copyHeader.length
    this.#count = 0
    return bytes
  }

  #int32(value: number): void {
    this.#view.setInt32(this.#at, value)
    this.#at += 4
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
    this.#view = viewOf(larger)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
