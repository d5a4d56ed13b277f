import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import fetch, { FetchError, type Response } from 'node-fetch'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Credential, Device } from '../inventory/static.ts'
import { DeadlinePassed, withDeadline } from '../service/deadline.ts'
import { readSecret } from '../service/settings.ts'
import { RedfishError, type RedfishErrorKind } from './error.ts'
import { parseRefusal, type Refusal, refusalText } from './refusal.ts'
import { createTrust, type Trust } from './trust.ts'

export interface ClientOptions {
  device: Pick<Device, 'xname' | 'url'>
  /** Absent: requests carry no login. */
  credential: Credential | undefined
  /** Where secrets may stand. */
  env: NodeJS.ProcessEnv
  /** Deadline of one request, from when it is sent to the end of its answer. */
  timeoutSeconds: number
  /** Shared by all devices: bounds the requests in flight in all. */
  limit?: LimitFunction
  /** Shared by all devices too. */
  trust?: Trust
}

/** Requests to one device, kept alive between them. Speaks JSON over HTTPS: Redfish and JAWS. */
export interface RedfishClient {
  /** @throws {RedfishError} */
  get(path: string, signal?: AbortSignal): Promise<unknown>
  /** The answer's body, undefined when it is empty. @throws {RedfishError} */
  send(
    method: 'POST' | 'PATCH',
    path: string,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<unknown>
  /** How many requests the device gets at once; 1 until told otherwise. */
  allow(requestsAtOnce: number): void
  /** Ends what is in flight, and the connections. */
  close(): void
}

export function createClient(options: ClientOptions): RedfishClient {
  const perDevice = pLimit(1)
  const overall = options.limit ?? pLimit(64)
  const connection = new Connection(options)
  const run = (request: Request) =>
    perDevice(() => overall(async () => await connection.exchange(request)))
  return {
    get: (path, signal) => run({ method: 'GET', path, signal }),
    send: (method, path, body, signal) => run({ method, path, body, signal }),
    allow(requestsAtOnce) {
      perDevice.concurrency = requestsAtOnce
    },
    close: () => connection.close(),
  }
}

interface Request {
  method: 'GET' | 'POST' | 'PATCH'
  path: string
  body?: unknown
  signal: AbortSignal | undefined
}

/** The largest captured resource is 60 kB. */
const largestBody = 16 * 1024 * 1024

/** One device's login and sockets. */
class Connection {
  readonly #options: ClientOptions
  readonly #closing = new AbortController()
  #agent: Promise<HttpAgent> | undefined
  #password: string | undefined

  constructor(options: ClientOptions) {
    this.#options = options
  }

  close(): void {
    this.#closing.abort()
    this.#agent?.then((agent) => agent.destroy()).catch(() => {})
  }

  /** Sends, and sends again when the secret has changed since, as HPE's collector does. */
  async exchange(request: Request): Promise<unknown> {
    const { credential } = this.#options
    const first = await this.#send(request)
    const refused = first.status === 401 || first.status === 403
    if (!refused || credential === undefined) return this.#parse(request, first)
    const before = this.#password
    this.#password = undefined
    if ((await this.#login(request, credential)) === before) return this.#parse(request, first)
    return this.#parse(request, await this.#send(request))
  }

  /** A socket that the device has closed meanwhile shows only at the next GET: try that again. */
  async #send(request: Request): Promise<Answer> {
    try {
      return await this.#sendOnce(request)
    } catch (error) {
      if (request.method !== 'GET' || !isClosedSocket(error)) throw error
      return await this.#sendOnce(request)
    }
  }

  async #sendOnce(request: Request): Promise<Answer> {
    const { path, signal } = request
    if (!path.startsWith('/')) throw this.#error('malformed', request, 'expected a path')
    const authorization = await this.#authorization(request)
    const agent = await this.#connect(request)
    const milliseconds = this.#options.timeoutSeconds * 1000
    return await withDeadline(milliseconds, [this.#closing.signal, signal], async (deadline) => {
      try {
        return await this.#fetch(request, { authorization, agent, signal: deadline })
      } catch (cause) {
        throw this.#failure(request, cause, deadline)
      }
    })
  }

  async #fetch({ method, path, body }: Request, transport: Transport): Promise<Answer> {
    const { authorization, agent, signal } = transport
    // node-fetch 3 ends the process when a request with a body is given up before it is sent.
    signal.throwIfAborted()
    const headers: Record<string, string> = { accept: 'application/json' }
    if (authorization !== undefined) headers['authorization'] = authorization
    if (body !== undefined) headers['content-type'] = 'application/json'
    const response = await fetch(`${this.#options.device.url}${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      agent,
      redirect: 'manual',
      size: largestBody,
      signal,
    })
    return await answerOf(response)
  }

  #failure(request: Request, cause: unknown, signal: AbortSignal): RedfishError {
    if (signal.reason instanceof DeadlinePassed) {
      const message = `no answer within ${this.#options.timeoutSeconds} s`
      return this.#error('timeout', request, message)
    }
    if (signal.aborted) return this.#error('timeout', request, 'given up')
    const tooLarge = cause instanceof FetchError && cause.type === 'max-size'
    if (tooLarge) return this.#error('malformed', request, `more than ${largestBody} bytes`)
    return this.#error('unreachable', request, 'no connection', { cause })
  }

  #parse(request: Request, answer: Answer): unknown {
    const { status, text } = answer
    const kind = kindOfStatus(status)
    if (kind !== undefined) {
      const refusal = parseRefusal(answer)
      throw this.#error(kind, request, refusalText(refusal), { refusal })
    }
    if (text.trim() === '' && request.method !== 'GET') return undefined
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw this.#error('malformed', request, 'expected JSON', { cause })
    }
  }

  async #authorization(request: Request): Promise<string | undefined> {
    const { credential } = this.#options
    if (credential === undefined) return undefined
    const login = `${credential.username}:${await this.#login(request, credential)}`
    return `Basic ${Buffer.from(login).toString('base64')}`
  }

  async #login(request: Request, { password }: Credential): Promise<string> {
    try {
      this.#password ??= await readSecret(password, this.#options.env)
      return this.#password
    } catch (cause) {
      throw this.#error('unauthorized', request, 'no password', { cause })
    }
  }

  async #connect(request: Request): Promise<HttpAgent> {
    this.#agent ??= this.#createAgent()
    try {
      return await this.#agent
    } catch (cause) {
      this.#agent = undefined
      throw this.#error('unreachable', request, 'no trusted certificates', { cause })
    }
  }

  async #createAgent(): Promise<HttpAgent> {
    const { device, credential, trust = createTrust() } = this.#options
    if (!device.url.startsWith('https:')) return new HttpAgent({ keepAlive: true })
    const { caFile, insecureSkipVerify = false } = credential ?? {}
    const secureContext = caFile === undefined ? undefined : await trust(caFile)
    return new HttpsAgent({
      keepAlive: true,
      rejectUnauthorized: !insecureSkipVerify,
      ...(secureContext && { secureContext }),
    })
  }

  #error(
    kind: RedfishErrorKind,
    { path }: Request,
    message: string,
    options?: ErrorOptions & { refusal?: Refusal },
  ) {
    return new RedfishError(kind, { xname: this.#options.device.xname, path }, message, options)
  }
}

interface Transport {
  authorization: string | undefined
  agent: HttpAgent
  signal: AbortSignal
}

interface Answer {
  status: number
  text: string
  retryAfter: string | null
}

async function answerOf(response: Response): Promise<Answer> {
  const { status, headers } = response
  return { status, text: await response.text(), retryAfter: headers.get('retry-after') }
}

/** A redirect is not followed: it could take the login elsewhere. */
function kindOfStatus(status: number): RedfishErrorKind | undefined {
  if (status >= 200 && status < 300) return undefined
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 404 || status === 405 || status === 410 || status === 501) return 'unsupported'
  if (status === 429 || status === 502 || status === 503 || status === 504) return 'unreachable'
  return 'malformed'
}

function isClosedSocket(error: unknown): boolean {
  const cause = error instanceof RedfishError ? error.cause : undefined
  return cause instanceof FetchError && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE')
}
