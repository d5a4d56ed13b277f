import type { Credential } from '../inventory/static.ts'
import { type Account, type Attempt, LoginRefused } from './account.ts'
import { textAt } from './parse.ts'
import { parseRefusal, refusalText } from './refusal.ts'
import type { Secrets } from './secrets.ts'

/** What an answer tells of a login. */
export interface LoginAnswer {
  status: number
  text: string
  retryAfter: string | null
  /** The token of a new session, and where it is. */
  sessionToken: string | null
  location: string | null
  /** Whether it has the header that all answers of Redfish have (DSP0266, "Response headers"). */
  isRedfish: boolean
}

/** A request that carries no login but these headers. */
export type LoginRequest = (request: {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  headers: Record<string, string>
  body?: unknown
  /** Told when all of it has left. */
  onSent?: (() => void) | undefined
}) => Promise<LoginAnswer>

/** What makes a request one of ours: a session, or the password itself by Basic. */
export type Pass = { headers: Record<string, string> } & (
  | { token: string }
  | { password: string; attempt: Attempt }
)

/** What a pass was for. */
export interface Asked {
  method: string
  path: string
}

export interface LoginOptions {
  xname: string
  credential: Credential
  /** Of all devices with this credential. */
  account: Account
  secrets: Secrets
  request: LoginRequest
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

/** DSP0266, "Session login": at this path on all the recorded devices. */
const sessionsPath = '/redfish/v1/SessionService/Sessions'

/** How long a device that gives no session gets Basic before it is asked again. */
const basicSeconds = 600

/**
 * Pause after a password that other devices accept was refused by this one so many times in a row:
 * two tries, since a single resource may be refused by mistake, then ever fewer. Accounts are
 * locked after 3 to 5, mostly within minutes.
 */
function refusalPauseSeconds(refusals: number): number {
  return refusals < 2 ? 0 : Math.min(300 * 2 ** (refusals - 2), 1800)
}

/** The login to one device: Basic, or a session that is opened once and used until it ends. */
export class Login {
  readonly #options: LoginOptions
  #session: { token: string; path: string } | undefined
  /** When it was last taken. */
  #heldAt = Number.NEGATIVE_INFINITY
  #opening: Promise<void> | undefined
  #closed = false
  #hasAnswered = false
  #basicUntil = Number.NEGATIVE_INFINITY
  #refused: { password: string; times: number; until: number; endsAt: Date } | undefined
  /** What it has last answered, logged in by Basic. */
  #answeredPath: string | undefined
  /** What it has refused since, and what it refuses while it answers others. */
  #refusedPath: string | undefined
  readonly #oddPaths = new Set<string>()
  /** Sessions opened so far; undefined when none are wanted. */
  sessions: number | undefined

  constructor(options: LoginOptions) {
    this.#options = options
    options.account.join(this)
    this.sessions = options.credential.login === 'session' ? 0 : undefined
  }

  get xname(): string {
    return this.#options.xname
  }

  /** Whether the password that was tried last was refused, here or by the others that have it. */
  get refused(): boolean {
    return this.#refused !== undefined || this.#options.account.isRefused
  }

  /** Until when that one is not sent again; undefined: it may be. */
  get pausedUntil(): Date | undefined {
    const { account, now } = this.#options
    const refused = this.#refused
    const own = refused !== undefined && refused.until > now() ? refused.endsAt : undefined
    const all = account.pausedUntil
    return own === undefined || (all !== undefined && all > own) ? all : own
  }

  /** @throws {LoginRefused} and what a request throws; another Error when there is no password. */
  async pass(): Promise<Pass> {
    const { credential, secrets, now } = this.#options
    if (credential.login === 'session' && now() >= this.#basicUntil) {
      if (this.#session === undefined) await this.#opened()
      if (this.#session !== undefined) return sessionPass(this.#session)
    }
    return await this.#basicPass(await secrets.recent(credential.password))
  }

  /**
   * What to try instead of a pass that was answered with 401 or 403; undefined: there is
   * nothing, and the answer is the outcome.
   */
  async renewed(pass: Pass, status: number, to: Asked): Promise<Pass | undefined> {
    if ('token' in pass) {
      if (status !== 401) return undefined
      if (this.#session?.token === pass.token) {
        this.#session = undefined
        this.#options.account.doubt(this.#heldAt)
      }
      return await this.pass()
    }
    const password = await this.#presentPassword(pass.password)
    if (password === pass.password) return undefined
    this.answered(pass, status, to)
    return await this.#basicPass(password)
  }

  /** Notes how a pass was answered, after `renewed` had no other. */
  answered(pass: Pass, status: number, to: Asked): void {
    if ('password' in pass) this.#judge(pass, status, to)
    else if (status !== 401) {
      this.#refused = undefined
      this.#heldAt = this.#options.now()
    }
    // A device that refuses a session that it has just given does better without.
    else this.#basicUntil = this.#options.now() + basicSeconds * 1000
  }

  /** There was no answer. */
  unanswered(pass: Pass): void {
    if ('password' in pass) pass.attempt.over()
  }

  /** Ends the session, so that the device has room for others'. */
  async close(): Promise<void> {
    this.#closed = true
    this.#options.account.leave(this)
    await this.#opening?.catch(() => {})
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    const headers = sessionPass(session).headers
    await this.#options.request({ method: 'DELETE', path: session.path, headers })
  }

  /** One session, however many requests wait for it. */
  async #opened(): Promise<void> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    await this.#opening
  }

  async #open(): Promise<void> {
    if (this.#closed) throw new LoginRefused('no new session at the end')
    const { credential, secrets, now } = this.#options
    let password = await secrets.recent(credential.password)
    this.#checkPause(password)
    let answer = await this.#logIn(password)
    if (isRefusal(answer)) {
      const fresh = await this.#presentPassword(password)
      if (fresh !== password) answer = await this.#logIn(fresh)
      password = fresh
    }
    if (isRefusal(answer)) {
      this.#noteRefusal(password)
      throw new LoginRefused(`no session: ${refusalText(parseRefusal(answer))}`)
    }
    const token = answer.sessionToken
    const path = sessionPath(answer)
    if (answer.status >= 300 || token === null || path === undefined) {
      this.#basicUntil = now() + basicSeconds * 1000
      return
    }
    this.#refused = undefined
    this.#session = { token, path }
    this.sessions = (this.sessions ?? 0) + 1
  }

  /** What the secret is now; one that cannot be read is as it was. */
  async #presentPassword(before: string): Promise<string> {
    const { credential, secrets } = this.#options
    return await secrets.fresh(credential.password).catch(() => before)
  }

  /**
   * A device that hangs must not get the password while others wait for its word: the service's
   * root is answered without a login (DSP0266, "Protected resources"), by iPDUs with a refusal.
   * @throws what a request throws.
   */
  async #findAlive(): Promise<void> {
    const { account, request } = this.#options
    if (this.#hasAnswered || !account.isCautious) return
    await request({ method: 'GET', path: '/redfish/v1', headers: {} })
    this.#hasAnswered = true
  }

  async #logIn(password: string): Promise<LoginAnswer> {
    const { account, request, credential } = this.#options
    await this.#findAlive()
    const attempt = await account.attempt(this, password)
    const body = { UserName: credential.username, Password: password }
    const login = { method: 'POST', path: sessionsPath, headers: {}, body } as const
    const answer = await concluded(attempt, request({ ...login, onSent: () => attempt.sent() }))
    if (isRefusal(answer)) attempt.refused()
    else if (answer.status < 300 && answer.sessionToken !== null) attempt.accepted()
    else attempt.over()
    return answer
  }

  /**
   * When the password is in doubt, what the device has answered before is asked first: any other
   * resource might be refused by itself.
   * @throws {LoginRefused} and what a request throws.
   */
  async #basicPass(password: string): Promise<Pass> {
    const { account, request, credential } = this.#options
    const login = Buffer.from(`${credential.username}:${password}`).toString('base64')
    const headers = { authorization: `Basic ${login}` }
    for (;;) {
      this.#checkPause(password)
      await this.#findAlive()
      const attempt = await account.attempt(this, password)
      const path = this.#answeredPath
      const pass = { headers, password, attempt }
      if (!attempt.isTrial || path === undefined) return pass
      const asked = request({ method: 'GET', path, headers, onSent: () => attempt.sent() })
      const { status } = await concluded(attempt, asked)
      this.#judge(pass, status, { method: 'GET', path })
    }
  }

  #judge(
    { password, attempt }: { password: string; attempt: Attempt },
    status: number,
    { method, path }: Asked,
  ): void {
    if (status !== 401) {
      attempt.accepted()
      this.#refused = undefined
      if (method === 'GET') this.#answeredPath = path
      this.#oddPaths.delete(path)
      if (this.#refusedPath !== undefined && this.#refusedPath !== path) this.#noteOdd()
      return
    }
    if (this.#oddPaths.has(path)) {
      attempt.over()
      return
    }
    this.#refusedPath = path
    this.#noteRefusal(password)
    attempt.refused()
  }

  /** What it refuses while it answers others says nothing of the password. */
  #noteOdd(): void {
    const path = this.#refusedPath
    this.#refusedPath = undefined
    if (path === this.#answeredPath) this.#answeredPath = undefined
    if (path !== undefined && this.#oddPaths.size < mostOdd) this.#oddPaths.add(path)
  }

  #noteRefusal(password: string): void {
    const times = this.#refused?.password === password ? this.#refused.times + 1 : 1
    const pauseMs = refusalPauseSeconds(times) * 1000
    const until = this.#options.now() + pauseMs
    this.#refused = { password, times, until, endsAt: new Date(Date.now() + pauseMs) }
  }

  #checkPause(password: string): void {
    if (this.#refused?.password !== password) return
    const seconds = Math.ceil((this.#refused.until - this.#options.now()) / 1000)
    if (seconds <= 0) return
    const refused = `login refused ${this.#refused.times} times`
    throw new LoginRefused(`${refused}, the password is not sent again for ${seconds} s`)
  }
}

/** Of so many resources no device has refused but a part. */
const mostOdd = 100

/** The answer, or if there is none the end of the attempt. */
async function concluded<T>(attempt: Attempt, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    attempt.over()
    throw error
  }
}

function sessionPass({ token }: { token: string }): Pass {
  return { headers: { 'x-auth-token': token }, token }
}

/** What knows no sessions, an iPDU for one, may ask for Basic authentication there as anywhere. */
function isRefusal({ status, isRedfish }: LoginAnswer): boolean {
  return isRedfish && (status === 401 || status === 403)
}

/** Where to delete the session: Location, which may be a whole URL, or what the body says. */
function sessionPath({ location, text }: LoginAnswer): string | undefined {
  const place = location ?? textAt(parsed(text), '@odata.id')
  if (place === undefined) return undefined
  const path = place.replace(/^https?:\/\/[^/]*/, '')
  return path.startsWith('/') ? path : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
