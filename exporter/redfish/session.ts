import type { Credential } from '../inventory/static.ts'
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
  method: 'POST' | 'DELETE'
  path: string
  headers: Record<string, string>
  body?: unknown
}) => Promise<LoginAnswer>

/** What makes a request one of ours: a session, or the password itself by Basic. */
export type Pass = { headers: Record<string, string> } & ({ token: string } | { password: string })

export interface LoginOptions {
  credential: Credential
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
 * Pause after a password was refused so many times in a row: two tries, since a single resource may
 * be refused by mistake, then ever fewer. Accounts are locked after 3 to 5, mostly within minutes.
 */
export function refusalPauseSeconds(refusals: number): number {
  return refusals < 2 ? 0 : Math.min(300 * 2 ** (refusals - 2), 1800)
}

/** The login was refused, or not even tried since it was refused before. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
}

/** The login to one device: Basic, or a session that is opened once and used until it ends. */
export class Login {
  readonly #options: LoginOptions
  #session: { token: string; path: string } | undefined
  #opening: Promise<void> | undefined
  #closed = false
  #basicUntil = Number.NEGATIVE_INFINITY
  #refused: { password: string; times: number; until: number; endsAt: Date } | undefined
  /** Sessions opened so far; undefined when none are wanted. */
  sessions: number | undefined

  constructor(options: LoginOptions) {
    this.#options = options
    this.sessions = options.credential.login === 'session' ? 0 : undefined
  }

  /** Whether the password that was tried last was refused. */
  get refused(): boolean {
    return this.#refused !== undefined
  }

  /** Until when that one is not sent again; undefined: it may be. */
  get pausedUntil(): Date | undefined {
    const refused = this.#refused
    if (refused === undefined || refused.until <= this.#options.now()) return undefined
    return refused.endsAt
  }

  /** @throws {LoginRefused} and what a request throws; another Error when there is no password. */
  async pass(): Promise<Pass> {
    const { credential, secrets, now } = this.#options
    if (credential.login === 'session' && now() >= this.#basicUntil) {
      if (this.#session === undefined) await this.#opened()
      if (this.#session !== undefined) return sessionPass(this.#session)
    }
    const password = await secrets.recent(credential.password)
    this.#checkPause(password)
    return this.#basicPass(password)
  }

  /** What to try instead of a pass that was answered 401 or 403; undefined: there is nothing. */
  async renewed(pass: Pass, status: number): Promise<Pass | undefined> {
    if ('token' in pass) {
      if (status !== 401) return undefined
      if (this.#session?.token === pass.token) this.#session = undefined
      return await this.pass()
    }
    const password = await this.#presentPassword(pass.password)
    return password === pass.password ? undefined : this.#basicPass(password)
  }

  /** Notes how the device answered a pass, after `renewed` had no other. */
  answered(pass: Pass, status: number): void {
    if (status !== 401) this.#refused = undefined
    else if ('password' in pass) this.#noteRefusal(pass.password)
    // A device that refuses a session that it has just given does better without.
    else this.#basicUntil = this.#options.now() + basicSeconds * 1000
  }

  /** Ends the session, so that the device has room for others'. */
  async close(): Promise<void> {
    this.#closed = true
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

  async #logIn(password: string): Promise<LoginAnswer> {
    const body = { UserName: this.#options.credential.username, Password: password }
    return await this.#options.request({ method: 'POST', path: sessionsPath, headers: {}, body })
  }

  #basicPass(password: string): Pass {
    const login = `${this.#options.credential.username}:${password}`
    const authorization = `Basic ${Buffer.from(login).toString('base64')}`
    return { headers: { authorization }, password }
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
