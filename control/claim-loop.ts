import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../exporter/service/log.ts'
import type { WorkMetrics } from './metrics.ts'
import type { ControlSettings } from './settings.ts'
import { hasEnded, type TaskState } from './task.ts'

export type LoopSettings = Pick<ControlSettings, 'claimSeconds' | 'leaseSeconds' | 'openTasks'>

export interface Lease {
  /** The process: a UUID of its own for each start. */
  owner: string
  seconds: number
}

interface Claimed {
  id: string
  xname: string
}

/** One kind of work that any process has accepted, and how a piece of it is claimed and done. */
export interface SharedWork<C extends Claimed> {
  /** A piece, in messages: `task`. */
  name: string
  metrics: Pick<WorkMetrics, 'ended' | 'inFlight' | 'duration'>
  /** What is to be done now and then; beside the claims, which wait for none of it. */
  chores: readonly Chore[]
  /** What is to be done before each round of claims. */
  beforeClaims?(): Promise<void>
  /** Takes up to `most` pieces that nobody works on. */
  claim(lease: Lease, most: number): Promise<readonly C[]>
  /** Keeps pieces; one that is not in the answer is another's by now, or has ended. */
  renew(lease: Lease, ids: readonly string[]): Promise<ReadonlySet<string>>
  /** Leaves a piece to whoever claims it next. */
  release(lease: Lease, id: string): Promise<void>
  /** Undefined when the piece is to be left; one that has not ended has been passed on. */
  workOn(claimed: C, hold: Hold): Promise<Outcome | undefined>
  /** What tells a piece in the log besides its xname. */
  fieldsOf(claimed: C): object
  /** What it is counted under. */
  kindOf(claimed: C): string
}

export interface Chore {
  /** What cannot be done when it fails, for messages: `claim tasks`. */
  name: string
  everySeconds: number
  run(): Promise<unknown>
}

/** What a piece is worked on with. */
export interface Hold {
  lease: Lease
  /** Ends pauses and reads: the piece is another's, its end was asked for, or we are closing. */
  interrupt: AbortSignal
  /** Gives up commands that are on their way; their outcome is then unknown. */
  hurry: AbortSignal
}

interface Outcome {
  state: TaskState
  error?: string | undefined
  description?: string
}

interface Held<C> {
  claimed: C
  interrupt: AbortController
  isLost: boolean
  /** Never rejects. */
  done: Promise<void>
}

/** How long a command that is on its way may take when we close. */
const closeSeconds = 5

/**
 * Works on what any process has accepted: claims it, keeps its leases, and leaves what it cannot
 * end to be claimed again. All it knows is in the database; to die is to be slow.
 */
export class ClaimLoop<C extends Claimed> {
  readonly #work: SharedWork<C>
  readonly #settings: LoopSettings
  readonly #log: Logger
  readonly #lease: Lease
  readonly #hurry = new AbortController()
  readonly #held = new Map<string, Held<C>>()
  /** By name of a chore, why it failed last. */
  readonly #faults = new Map<string, string>()
  readonly #closing = new AbortController()
  readonly #loops: Promise<unknown>
  #pause = new AbortController()
  #renewAt = 0

  constructor(work: SharedWork<C>, { settings, log }: { settings: LoopSettings; log: Logger }) {
    this.#work = work
    this.#settings = settings
    this.#log = log
    this.#lease = { owner: randomUUID(), seconds: settings.leaseSeconds }
    // Every command on its way listens to it.
    setMaxListeners(0, this.#hurry.signal)
    const claims: Chore = {
      name: `claim ${work.name}s`,
      everySeconds: settings.claimSeconds,
      run: () => this.#round(),
    }
    const untilWoken = () => {
      this.#pause = new AbortController()
      return this.#pause.signal
    }
    this.#loops = Promise.all([
      this.#repeat(claims, untilWoken),
      ...work.chores.map((chore) => this.#repeat(chore, () => this.#closing.signal)),
    ])
  }

  /** There is new work, or the end of some was asked for: look at once. */
  wake(): void {
    this.#pause.abort()
  }

  /** Lets a command that is on its way come back, and leaves the rest to be resumed. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.wake()
    for (const { interrupt } of this.#held.values()) interrupt.abort()
    const hurry = setTimeout(() => this.#hurry.abort(), closeSeconds * 1000)
    await this.#loops
    await Promise.all([...this.#held.values()].map(({ done }) => done))
    clearTimeout(hurry)
  }

  /** Interrupts the pieces for which `choose` is true, once it is known which are still ours. */
  async interrupt(choose: (claimed: C) => boolean): Promise<void> {
    await this.#renew()
    for (const { claimed, interrupt, isLost } of this.#held.values()) {
      if (!isLost && choose(claimed)) interrupt.abort()
    }
  }

  /** `rest` makes what can end the pause after a run. */
  async #repeat({ name, everySeconds, run }: Chore, rest: () => AbortSignal): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const signal = rest()
      await run().then(
        () => this.#recovered(name),
        (error: unknown) => this.#failed(name, error),
      )
      await sleep(everySeconds * 1000, undefined, { signal }).catch(() => {})
    }
  }

  async #round(): Promise<void> {
    if (performance.now() >= this.#renewAt) await this.#renew()
    await this.#work.beforeClaims?.()
    const free = this.#settings.openTasks - this.#held.size
    if (free <= 0 || this.#closing.signal.aborted) return
    for (const claimed of await this.#work.claim(this.#lease, free)) this.#hold(claimed)
  }

  async #renew(): Promise<void> {
    if (this.#held.size === 0) return
    const before = [...this.#held]
    const ours = await this.#work.renew(this.#lease, [...this.#held.keys()])
    this.#renewAt = performance.now() + (this.#lease.seconds * 1000) / 3
    for (const [id, held] of before) {
      if (ours.has(id)) continue
      held.isLost = true
      held.interrupt.abort()
    }
  }

  #hold(claimed: C): void {
    const { id } = claimed
    // We stalled and our own lease ran out, or it was passed on this moment: one after the other.
    const before = this.#held.get(id)
    before?.interrupt.abort()
    const interrupt = new AbortController()
    if (this.#closing.signal.aborted) interrupt.abort()
    const held: Held<C> = { claimed, interrupt, isLost: false, done: Promise.resolve() }
    held.done = (before?.done ?? held.done).then(() => this.#workOn(held))
    this.#held.set(id, held)
  }

  /** One piece that fails must not stop the others: it is left, and claimed when its lease ends. */
  async #workOn(held: Held<C>): Promise<void> {
    const { claimed, interrupt } = held
    const { name, metrics, fieldsOf } = this.#work
    const hold = { lease: this.#lease, interrupt: interrupt.signal, hurry: this.#hurry.signal }
    const startedAt = performance.now()
    metrics.inFlight.inc()
    try {
      const outcome = await this.#work.workOn(claimed, hold)
      const seconds = (performance.now() - startedAt) / 1000
      if (outcome && hasEnded(outcome.state)) this.#ended(claimed, outcome, seconds)
      if (outcome === undefined && !held.isLost) await this.#work.release(this.#lease, claimed.id)
    } catch (error) {
      const fields = { xname: claimed.xname, ...fieldsOf(claimed) }
      this.#log.warn({ error, ...fields }, `${name} left for now`)
    } finally {
      metrics.inFlight.dec()
      if (this.#held.get(claimed.id) === held) this.#held.delete(claimed.id)
    }
  }

  #ended(claimed: C, { state: outcome, description, error }: Outcome, seconds: number): void {
    const { name, metrics, kindOf, fieldsOf } = this.#work
    metrics.ended.labels(kindOf(claimed), outcome).inc()
    metrics.duration.labels(kindOf(claimed)).observe(seconds)
    const fields = { xname: claimed.xname, ...fieldsOf(claimed), outcome, description, error }
    const level = outcome === 'succeeded' ? 'debug' : 'warn'
    this.#log[level]({ ...fields, duration_seconds: seconds }, `${name} ended`)
  }

  /** The database is away: said once, and once when it is back. */
  #failed(name: string, error: unknown): void {
    const fault = String(error)
    if (fault !== this.#faults.get(name)) this.#log.error({ error }, `cannot ${name}`)
    this.#faults.set(name, fault)
  }

  #recovered(name: string): void {
    if (this.#faults.delete(name)) this.#log.info({}, `can ${name} again`)
  }
}
