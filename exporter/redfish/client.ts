import type { Agent } from 'node:http'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Credential, Device } from '../inventory/static.ts'
import { Accounts, LoginRefused } from './account.ts'
import { RedfishError, type RedfishErrorKind } from './error.ts'
import { parseRefusal, type Refusal, refusalText } from './refusal.ts'
import { createSecrets, placeOf, type Secrets } from './secrets.ts'
import { Login, type LoginAnswer, type Pass } from './session.ts'
import { exchange, type Incoming, type Origin, parseOrigin, TransportError } from './transport.ts'
import { createAgent, createTrust, isCertificateFault, type Trust } from './trust.ts'

export interface ClientOptions {
  device: Pick<Device, 'xname' | 'url'>
  /** Absent: requests carry no login. */
  credential: Credential | undefined
  /** Where secrets may stand. */
  env: NodeJS.ProcessEnv
  /** Deadline of one request, from when it is sent to the end of its answer. */
  timeoutSeconds: number
  /** Shared by all devices: bounds the requests in flight in all, but for those that hang. */
  limit?: LimitFunction
  /** Shared by all devices too. */
  trust?: Trust
  secrets?: Secrets
  /** And the logins: a wrong one is not tried by each device. */
  accounts?: Accounts
  /** Milliseconds of a clock that never goes back, for pauses after refused logins. */
  now?: () => number
}

/** What is known of the way to a device besides its answers. */
export interface ConnectionState {
  /** End of the certificate that it showed last; undefined: none seen. */
  certificateExpiresAt: Date | undefined
  /** Whether the password that it got last was refused; undefined: it gets none. */
  loginRefused: boolean | undefined
  /** Until when the refused password is not sent again; undefined: it may be. */
  loginPausedUntil: Date | undefined
  /** Sessions opened so far; undefined when the settings ask for none. */
  sessions: number | undefined
}

/** Requests to one device, kept alive between them. Speaks JSON over HTTPS: Redfish and JAWS. */
export interface RedfishClient {
  /** @throws {RedfishError} */
  get(path: string, signal?: AbortSignal): Promise<unknown>
  /**
   * The answer's body, undefined when it is empty; `ifMatch`: only while the resource has this
   * ETag. @throws {RedfishError}
   */
  send(
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    ifMatch?: string,
  ): Promise<unknown>
  /** How many requests the device gets at once; 1 until told otherwise. */
  allow(requestsAtOnce: number): void
  state(): ConnectionState
  /** Ends what is in flight, then the session within seconds, and the connections. */
  close(): Promise<void>
}

export function createClient(options: ClientOptions): RedfishClient {
  const perDevice = pLimit(1)
  const overall = options.limit ?? pLimit(64)
  const connection = new Connection(options)
  const run = (request: Request) =>
    connection.unlessGivenUp(
      request,
      perDevice(() => patiently(overall, () => connection.exchange(request))),
    )
  return {
    get: (path, signal) => run({ method: 'GET', path, signal }),
    send: (method, path, body, signal, ifMatch) => run({ method, path, body, signal, ifMatch }),
    allow(requestsAtOnce) {
      perDevice.concurrency = requestsAtOnce
    },
    state: () => connection.state(),
    close: () => connection.close(),
  }
}

interface Request {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: string
  body?: unknown
  signal: AbortSignal | undefined
  ifMatch?: string | undefined
  onSent?: (() => void) | undefined
}

/**
 * Runs `work` in its turn. What is not answered soon leaves its turn to others: devices that hang,
 * be they hundreds, must not keep those waiting that answer.
 */
async function patiently<T>(limit: LimitFunction, work: () => Promise<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const turn = () =>
      new Promise<void>((end) => {
        const timer = setTimeout(end, patienceMs)
        const over = () => {
          clearTimeout(timer)
          end()
        }
        work().then(resolve, reject).finally(over)
      })
    limit(turn).catch(reject)
  })
}

/** Ten times what a controller takes for a resource at its fastest. */
const patienceMs = 1000

/** The largest captured resource is 60 kB. */
const largestBody = 16 * 1024 * 1024
/** A list with its members: what many of them take to make up and to parse is too much at once. */
const largestExpanded = 2 * 1024 * 1024

function mostBytesOf(path: string): number {
  return path.includes('?$expand=') ? largestExpanded : largestBody
}

/** A session is not worth more time at the end; the device ends it itself some time. */
const farewellSeconds = 2

/** One device's login and sockets. */
class Connection {
  readonly #options: ClientOptions
  readonly #login: Login | undefined
  readonly #trust: Trust
  readonly #origin: Origin
  /** What is under way, and of that the logins, which may outlive `close` by some seconds. */
  readonly #running = new Set<() => void>()
  readonly #loginsRunning = new Set<() => void>()
  #closed = false
  #agent: Promise<Agent> | undefined
  #certificateExpiresAt: Date | undefined

  constructor(options: ClientOptions) {
    const { credential, env, trust = createTrust() } = options
    const now = options.now ?? (() => performance.now())
    const secrets = options.secrets ?? createSecrets(env, now)
    const accounts = options.accounts ?? new Accounts({ now })
    this.#options = options
    this.#origin = parseOrigin(options.device.url)
    this.#trust = trust
    this.#login =
      credential &&
      new Login({
        xname: options.device.xname,
        credential,
        account: accounts.of(credential.username, placeOf(credential.password)),
        secrets,
        now,
        request: ({ headers, ...request }) =>
          this.#within({ ...request, signal: undefined }, headers, this.#loginsRunning),
      })
  }

  state(): ConnectionState {
    return {
      certificateExpiresAt: this.#certificateExpiresAt,
      loginRefused: this.#login?.refused,
      loginPausedUntil: this.#login?.pausedUntil,
      sessions: this.#login?.sessions,
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const giveUp of [...this.#running]) giveUp()
    const timer = setTimeout(() => {
      for (const giveUp of [...this.#loginsRunning]) giveUp()
    }, farewellSeconds * 1000)
    await this.#login?.close().catch(() => {})
    clearTimeout(timer)
    const agent = await this.#agent?.catch(() => undefined)
    agent?.destroy()
  }

  /** The answer, unless the request is given up before: also while it waits for its turn. */
  async unlessGivenUp(request: Request, answer: Promise<unknown>): Promise<unknown> {
    const { signal } = request
    if (signal === undefined) return await answer
    return await new Promise((resolve, reject) => {
      const giveUp = () => reject(this.#givenUp(request))
      if (signal.aborted) giveUp()
      signal.addEventListener('abort', giveUp, { once: true })
      answer.finally(() => signal.removeEventListener('abort', giveUp)).then(resolve, reject)
    })
  }

  /** Sends, and sends again when the secret has changed or the session has ended since. */
  async exchange(request: Request): Promise<unknown> {
    const login = this.#login
    if (request.signal?.aborted) throw this.#givenUp(request)
    if (login === undefined) return this.#parse(request, await this.#send(request, {}))
    const pass = await this.#passOf(request, () => login.pass())
    const first = await this.#sendBy(login, request, pass)
    const refused = first.status === 401 || first.status === 403
    const next = refused
      ? await this.#passOf(request, () => login.renewed(pass, first.status, request))
      : undefined
    if (next === undefined) {
      login.answered(pass, first.status, request)
      return this.#parse(request, first)
    }
    const second = await this.#sendBy(login, request, next)
    login.answered(next, second.status, request)
    return this.#parse(request, second)
  }

  async #sendBy(login: Login, request: Request, pass: Pass): Promise<Answer> {
    const trial = 'attempt' in pass && pass.attempt.isTrial ? pass.attempt : undefined
    const onSent = trial && (() => trial.sent())
    try {
      if (request.signal?.aborted) throw this.#givenUp(request)
      return await this.#send(onSent ? { ...request, onSent } : request, pass.headers)
    } catch (error) {
      login.unanswered(pass)
      throw error
    }
  }

  async #passOf<P extends Pass | undefined>(request: Request, find: () => Promise<P>): Promise<P> {
    try {
      return await find()
    } catch (cause) {
      if (cause instanceof RedfishError) throw cause
      const message = cause instanceof LoginRefused ? cause.message : 'no password'
      throw this.#error('unauthorized', request, message, { cause })
    }
  }

  /** A socket that the device has closed meanwhile shows only at the next GET: try that again. */
  async #send(request: Request, headers: Headers): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#within(request, headers, this.#running)
      } catch (error) {
        const again = request.method === 'GET' && isStale(error) && tries < mostStale
        if (!again) throw error
      }
    }
  }

  async #within(request: Request, given: Headers, running: Set<() => void>): Promise<Answer> {
    const { method, path, body, signal, ifMatch, onSent } = request
    if (!path.startsWith('/')) throw this.#error('malformed', request, 'expected a path')
    const agent = await this.#connect(request)
    if (running === this.#running && this.#closed) throw this.#givenUp(request)
    const headers: Headers = { accept: 'application/json', ...given }
    if (ifMatch !== undefined) headers['if-match'] = ifMatch
    const text = body === undefined ? undefined : JSON.stringify(body)
    if (text !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = String(Buffer.byteLength(text))
    }
    const timeoutMs = this.#options.timeoutSeconds * 1000
    const options = { agent, timeoutMs, mostBytes: mostBytesOf(path), running, signal }
    try {
      const outgoing = { method, path, headers, body: text, onSent }
      return answerOf(await exchange(this.#origin, outgoing, options))
    } catch (cause) {
      throw this.#failure(request, cause)
    }
  }

  #failure(request: Request, cause: unknown): RedfishError {
    if (!(cause instanceof TransportError)) {
      return this.#error('malformed', request, 'expected a path', { cause })
    }
    switch (cause.fault) {
      case 'timeout': {
        const message = `no answer within ${this.#options.timeoutSeconds} s`
        return this.#error('timeout', request, message)
      }
      case 'given-up':
        return this.#givenUp(request)
      case 'too-large':
        return this.#error('malformed', request, `more than ${mostBytesOf(request.path)} bytes`)
      case 'cut-short':
        return this.#error('malformed', request, 'answer cut short', { cause: cause.cause })
      case 'stale':
        return this.#error('unreachable', request, 'no connection', { cause })
      case 'no-connection':
        if (isCertificateFault(codeOf(cause.cause))) this.#agent = undefined
        return this.#error('unreachable', request, 'no connection', { cause: cause.cause })
    }
  }

  #givenUp(request: Request): RedfishError {
    return this.#error('timeout', request, 'given up')
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

  async #connect(request: Request): Promise<Agent> {
    const { device, credential } = this.#options
    this.#agent ??= createAgent({
      url: device.url,
      caFile: credential?.caFile,
      insecureSkipVerify: credential?.insecureSkipVerify ?? false,
      trust: this.#trust,
      onCertificate: (validTo) => {
        this.#certificateExpiresAt = validTo
      },
    })
    try {
      return await this.#agent
    } catch (cause) {
      this.#agent = undefined
      throw this.#error('unreachable', request, 'no trusted certificates', { cause })
    }
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

type Headers = Record<string, string>

type Answer = LoginAnswer

function answerOf({ status, headers, text }: Incoming): Answer {
  return {
    status,
    text,
    retryAfter: headers['retry-after'] ?? null,
    sessionToken: first(headers['x-auth-token']),
    location: headers.location ?? null,
    isRedfish: headers['odata-version'] !== undefined,
  }
}

function first(header: string | string[] | undefined): string | null {
  return (Array.isArray(header) ? header[0] : header) ?? null
}

/** A redirect is not followed: it could take the login elsewhere. */
function kindOfStatus(status: number): RedfishErrorKind | undefined {
  if (status >= 200 && status < 300) return undefined
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 404 || status === 405 || status === 410 || status === 501) return 'unsupported'
  if (status === 429 || status === 502 || status === 503 || status === 504) return 'unreachable'
  return 'malformed'
}

/** More kept sockets than this no device has. */
const mostStale = 8

function isStale(error: unknown): boolean {
  const cause = error instanceof RedfishError ? error.cause : undefined
  return cause instanceof TransportError && cause.fault === 'stale'
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
