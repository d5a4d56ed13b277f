import {
  type Agent,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestOptions,
} from 'node:http'
import { request as httpsRequest } from 'node:https'
import { urlToHttpOptions } from 'node:url'
import { promisify } from 'node:util'
import { unzip } from 'node:zlib'

/** A server, as its URL says. */
export interface Origin {
  secure: boolean
  /** Where to connect to. */
  options: RequestOptions
  /** Before every path; mostly empty. */
  prefix: string
}

export function parseOrigin(url: string): Origin {
  const parsed = new URL(url)
  const { hostname, port } = urlToHttpOptions(parsed)
  return {
    secure: parsed.protocol === 'https:',
    options: { hostname, ...(port !== undefined && { port }) },
    prefix: parsed.pathname.replace(/\/+$/, ''),
  }
}

export interface Outgoing {
  method: string
  path: string
  headers: OutgoingHttpHeaders
  body?: string | undefined
  /** Told when all of it has left. */
  onSent?: (() => void) | undefined
}

export interface Incoming {
  status: number
  headers: IncomingMessage['headers']
  text: string
}

/**
 * timeout: no whole answer in time; given-up: ended by who asked; too-large, cut-short: of the
 * answer; stale: a kept socket that the server had closed meanwhile, so that nothing was asked;
 * no-connection: all else.
 */
export type TransportFault =
  | 'timeout'
  | 'given-up'
  | 'too-large'
  | 'cut-short'
  | 'stale'
  | 'no-connection'

export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly fault: TransportFault

  constructor(fault: TransportFault, options?: ErrorOptions) {
    super(fault.replace('-', ' '), options)
    this.fault = fault
  }
}

export interface ExchangeOptions {
  agent: Agent
  timeoutMs: number
  mostBytes: number
  /** Exchanges that are under way: calling one gives it up. */
  running: Set<() => void>
  /** Gives it up too. */
  signal: AbortSignal | undefined
}

/**
 * One request and its whole answer. Built on Node's own client and a timer, without an AbortSignal
 * for each request: thousands a second are sent. Redirects are not followed.
 * @throws {TransportError}
 */
export function exchange(
  origin: Origin,
  { method, path, headers, body, onSent }: Outgoing,
  { agent, timeoutMs, mostBytes, running, signal }: ExchangeOptions,
): Promise<Incoming> {
  return new Promise((resolve, reject) => {
    const send = origin.secure ? httpsRequest : httpRequest
    const place = { ...origin.options, path: origin.prefix + escaped(path) }
    const outgoing = send({ ...place, method, headers, agent })
    const end = (fault: TransportFault, cause?: unknown) => {
      over()
      outgoing.destroy()
      reject(new TransportError(fault, { cause }))
    }
    const giveUp = () => end('given-up')
    const timer = setTimeout(() => end('timeout'), timeoutMs)
    const over = () => {
      clearTimeout(timer)
      running.delete(giveUp)
      signal?.removeEventListener('abort', giveUp)
    }
    running.add(giveUp)
    signal?.addEventListener('abort', giveUp)
    outgoing.on('error', (error) =>
      end(isStale(outgoing, error) ? 'stale' : 'no-connection', error),
    )
    outgoing.on('response', (response) => {
      readBody(response, mostBytes).then(
        (text) => {
          over()
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
        },
        (error) => end(error instanceof TransportError ? error.fault : 'cut-short', error),
      )
    })
    if (onSent) outgoing.once('finish', onSent)
    outgoing.end(body)
  })
}

/** Text in UTF-8, without a byte order mark, and unpacked should it come packed unasked. */
async function readBody(response: IncomingMessage, mostBytes: number): Promise<string> {
  const bytes = await readBytes(response, mostBytes)
  const packed = /^(?:x-)?gzip$|^deflate$/i.test(response.headers['content-encoding'] ?? '')
  const text = (packed ? await unpacked(bytes, mostBytes) : bytes).toString()
  return text.startsWith('\uFEFF') ? text.slice(1) : text
}

function readBytes(response: IncomingMessage, mostBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    response.on('data', (part: Buffer) => {
      length += part.length
      if (length > mostBytes) reject(new TransportError('too-large'))
      else parts.push(part)
    })
    response.on('end', () =>
      resolve(parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts)),
    )
    response.on('error', reject)
  })
}

const unzipped = promisify(unzip)

async function unpacked(bytes: Buffer, mostBytes: number): Promise<Buffer> {
  try {
    return await unzipped(bytes, { maxOutputLength: mostBytes })
  } catch (cause) {
    const large = cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE'
    throw new TransportError(large ? 'too-large' : 'cut-short', { cause })
  }
}

/** Most paths need no care; Node refuses to send blanks, and a fragment is not for the server. */
function escaped(path: string): string {
  if (/^[\w./()%:@,;=&?+*!~'$-]*$/.test(path)) return path
  const { pathname, search } = new URL(path, 'http://localhost')
  return pathname + search
}

function isStale(outgoing: { reusedSocket: boolean }, error: Error): boolean {
  const code = 'code' in error ? error.code : undefined
  return outgoing.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')
}
