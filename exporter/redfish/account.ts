/** The login was refused, or not even tried since it was refused before. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
}

/** The login to one device, as an account knows it. */
export interface AccountUser {
  readonly xname: string
}

/** One time that the password is sent; how it ends must be told: `accepted`, `refused`, `over`. */
export interface Attempt {
  /** Whether it is sent to find out if the password is right, while others wait. */
  readonly isTrial: boolean
  /** It has left for the device: now it counts there, whether it is answered or not. */
  sent(): void
  accepted(): void
  refused(): void
  /** It ended without a word on the password. */
  over(): void
}

/** What happens to the password of many devices, for the log. */
export interface AccountEvent {
  username: string
  /** `file /etc/bmc` or `environment variable X`. */
  passwordFrom: string
  /** Devices that refused it since it was last accepted. */
  refusedBy: readonly string[]
  /** So long no device gets it; absent: it is accepted again. */
  pauseSeconds?: number
}

export interface AccountOptions extends Pick<AccountEvent, 'username' | 'passwordFrom'> {
  /** Milliseconds of a clock that never goes back. */
  now: () => number
  onChange?: ((event: AccountEvent) => void) | undefined
}

type Outcome = 'accepted' | 'refused' | 'over'

class AccountAttempt implements Attempt {
  readonly #sending: Sending
  readonly #end: (outcome: Outcome) => void

  constructor(sending: Sending, end: (outcome: Outcome) => void) {
    this.#sending = sending
    this.#end = end
  }

  get isTrial(): boolean {
    return this.#sending.isTrial
  }

  sent(): void {
    this.#sending.isSent = true
  }

  accepted(): void {
    this.#end('accepted')
  }

  refused(): void {
    this.#end('refused')
  }

  over(): void {
    this.#end('over')
  }
}

/**
 * Pause after two devices have refused a password, and after each further one. Directories lock an
 * account after 3 to 10 failures and forget a failure after at most 30 minutes by default (AD,
 * pam_faillock, FreeIPA): within any such time there are two of ours.
 */
const accountPauseSeconds = 1800

interface Sending {
  user: AccountUser
  password: string
  isTrial: boolean
  isSent: boolean
  startedAt: number
  /** How many refusals were known when it was let go. */
  epoch: number
}

/**
 * A user's name and its password, as all devices have it that are given the same. It may be one
 * account of a central directory, which a wrong password tried by each device would lock; or each
 * device has an account of its own, and one that refuses says nothing of the others. So a password
 * that no device has accepted yet is tried by one device at a time, while the others wait; once one
 * has, all send it, and a device that has never accepted it is in error itself. When one that had
 * accepted it refuses it, another is asked before all go on. Two refusals in a row are the verdict.
 *
 * What is under way when the password is changed elsewhere cannot be called back: with Basic that
 * is as many as there are requests in flight, with sessions mostly none.
 */
export class Account {
  readonly #options: AccountOptions
  readonly #users = new Set<AccountUser>()
  #password: string | undefined
  #state: 'untried' | 'good' | 'doubted' | 'refused' = 'untried'
  /** Who has accepted the password. */
  #acceptedBy = new WeakSet<AccountUser>()
  /** Since it was accepted last. */
  readonly #refusedBy = new Set<AccountUser>()
  /** Where those are, and whether there are others elsewhere. */
  #cabinets: ReadonlySet<string> = new Set()
  #hasElsewhere = false
  #epoch = 0
  #acceptedAt = Number.NEGATIVE_INFINITY
  #lastRefusalAt = Number.NEGATIVE_INFINITY
  #pause = { until: Number.NEGATIVE_INFINITY, endsAt: new Date(0) }
  readonly #trials = new Set<Sending>()
  readonly #waiting = new Set<() => void>()

  constructor(options: AccountOptions) {
    this.#options = options
  }

  get passwordFrom(): string {
    return this.#options.passwordFrom
  }

  get username(): string {
    return this.#options.username
  }

  get isRefused(): boolean {
    return this.#state === 'refused'
  }

  /** Until when no device gets the refused password; undefined: one may. */
  get pausedUntil(): Date | undefined {
    return this.isRefused && this.#pauseMs > 0 ? this.#pause.endsAt : undefined
  }

  join(user: AccountUser): void {
    this.#users.add(user)
  }

  leave(user: AccountUser): void {
    this.#users.delete(user)
    this.#refusedBy.delete(user)
    this.#wake()
  }

  /** Whether others wait for what one that tries the password now is told. */
  get isCautious(): boolean {
    return this.#state !== 'good' && this.#users.size > 1 && this.pausedUntil === undefined
  }

  get isUnused(): boolean {
    return this.#users.size === 0
  }

  /**
   * A session has ended that still held at `heldAt`, as all do when the password is changed: the
   * next to open one does so alone, unless the password was accepted since.
   */
  doubt(heldAt: number): void {
    if (this.#state !== 'good' || this.#acceptedAt > heldAt) return
    this.#epoch++
    this.#state = 'doubted'
  }

  /** Lets `user` send the password, in its turn. @throws {LoginRefused} */
  async attempt(user: AccountUser, password: string): Promise<Attempt> {
    if (password !== this.#password) this.#begin(password)
    const giveUpAt = performance.now() + longestWaitMs
    while (password === this.#password && this.#state !== 'good' && !this.#mayTry(user)) {
      if (!this.#users.has(user)) throw new LoginRefused('no login at the end')
      if (this.isRefused && this.#pauseMs > 0) throw new LoginRefused(this.#refusal())
      if (performance.now() > giveUpAt) {
        throw new LoginRefused('no other device has told yet whether the password is right')
      }
      await this.#change()
    }
    return this.#attemptOf(user, password)
  }

  #attemptOf(user: AccountUser, password: string): Attempt {
    const isTrial = password === this.#password && this.#state !== 'good'
    const startedAt = this.#options.now()
    const sending = { user, password, isTrial, isSent: false, startedAt, epoch: this.#epoch }
    if (isTrial) this.#trials.add(sending)
    return new AccountAttempt(sending, (outcome) => this.#end(sending, outcome))
  }

  get #pauseMs(): number {
    return this.#pause.until - this.#options.now()
  }

  /**
   * One device at a time; one that keeps silent for a second lets another try, but a third only
   * when it has for so long that it must be taken for hanging.
   */
  #mayTry(user: AccountUser): boolean {
    const now = this.#options.now()
    if (this.isRefused && this.#pauseMs > 0) return false
    const isRecent = now - this.#lastRefusalAt < othersFirstMs
    if (isRecent && !this.#mayJudge(user)) return false
    const trials = [...this.#trials]
    const isOpen = ({ isSent, startedAt }: Sending) => isSent && now - startedAt < silentMs
    const open = trials.filter(isOpen).length
    const mostOpen = this.#refusedBy.size > 0 ? 0 : 1
    return open <= mostOpen && trials.every(({ startedAt }) => now - startedAt > patienceMs)
  }

  /** Not who has just refused it; best one of another cabinet: that one may be starting up. */
  #mayJudge(user: AccountUser): boolean {
    if (this.#hasElsewhere) return !this.#cabinets.has(cabinetOf(user))
    return !this.#refusedBy.has(user) || this.#refusedBy.size >= this.#users.size
  }

  #begin(password: string): void {
    this.#password = password
    this.#state = 'untried'
    this.#acceptedBy = new WeakSet()
    this.#refusedBy.clear()
    this.#trials.clear()
    this.#wake()
  }

  #end(sending: Sending, outcome: Outcome): void {
    const wasTrial = this.#trials.delete(sending)
    if (sending.password === this.#password && outcome === 'accepted') this.#accepted(sending)
    if (sending.password === this.#password && outcome === 'refused') this.#refused(sending)
    if (wasTrial || outcome === 'refused') this.#wake()
  }

  /** What was let go before the last refusal may have been answered before it. */
  #accepted({ user, epoch }: Sending): void {
    this.#acceptedBy.add(user)
    if (epoch !== this.#epoch) return
    const wasRefused = this.isRefused
    this.#state = 'good'
    this.#acceptedAt = this.#options.now()
    this.#refusedBy.clear()
    if (wasRefused) this.#options.onChange?.(this.#event())
  }

  #refused({ user, isTrial }: Sending): void {
    if (this.#state === 'good' && !this.#acceptedBy.has(user)) return
    const isVerdict = isTrial && this.#refusedBy.size > 0
    this.#epoch++
    this.#lastRefusalAt = this.#options.now()
    this.#refusedBy.add(user)
    this.#cabinets = new Set([...this.#refusedBy].map(cabinetOf))
    this.#hasElsewhere = [...this.#users].some((each) => !this.#cabinets.has(cabinetOf(each)))
    if (!isVerdict) {
      if (!this.isRefused) this.#state = 'doubted'
      return
    }
    this.#state = 'refused'
    const pauseMs = accountPauseSeconds * 1000
    this.#pause = { until: this.#lastRefusalAt + pauseMs, endsAt: new Date(Date.now() + pauseMs) }
    this.#options.onChange?.({ ...this.#event(), pauseSeconds: accountPauseSeconds })
  }

  #event(): AccountEvent {
    const { username, passwordFrom } = this.#options
    return { username, passwordFrom, refusedBy: [...this.#refusedBy].map(({ xname }) => xname) }
  }

  #refusal(): string {
    const { refusedBy, passwordFrom } = this.#event()
    const who = refusedBy.slice(0, 3).join(', ')
    const seconds = Math.ceil(this.#pauseMs / 1000)
    const until = `is not sent again for ${seconds} s`
    return `login refused by ${who}: the password (${passwordFrom}) ${until}`
  }

  /** Resolves when an attempt has ended, and after a while all the same. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, patienceMs)
      this.#waiting.add(wake)
    })
  }

  #wake(): void {
    if (this.#waiting.size === 0) return
    for (const wake of [...this.#waiting]) wake()
  }
}

function cabinetOf({ xname }: AccountUser): string {
  return /^x\d+/.exec(xname)?.[0] ?? xname
}

/** Ten times what a controller takes for a resource at its fastest. */
const patienceMs = 1000
/** Controllers take 0.5 s for a resource on average. */
const silentMs = 5000
/** One that has refused leaves the next try to others for so long. */
const othersFirstMs = 5000
/** A request that waits longer for what others find out has failed. */
const longestWaitMs = 10_000

/** The accounts of all devices: those whose settings name the same user and secret share one. */
export class Accounts {
  readonly #known = new Map<string, Account>()
  readonly #options: Pick<AccountOptions, 'now' | 'onChange'>

  constructor({
    now = () => performance.now(),
    onChange,
  }: Partial<Pick<AccountOptions, 'now' | 'onChange'>> = {}) {
    this.#options = { now, onChange }
  }

  /** Those in use. */
  all(): Account[] {
    for (const [key, account] of this.#known) if (account.isUnused) this.#known.delete(key)
    return [...this.#known.values()]
  }

  of(username: string, passwordFrom: string): Account {
    const key = JSON.stringify([username, passwordFrom])
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const account = new Account({ ...this.#options, username, passwordFrom })
    this.#known.set(key, account)
    return account
  }
}
