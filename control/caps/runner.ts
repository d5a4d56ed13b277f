import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Logger } from '../../exporter/service/log.ts'
import type { ControlSettings } from '../settings.ts'
import {
  type ClaimedCap,
  claimCaps,
  deleteExpiredCaps,
  type EndedCap,
  finishCap,
  releaseCap,
  renewCaps,
} from './store.ts'
import { type CapWork, workOnCap } from './work.ts'

export interface CapRunnerOptions extends Omit<CapWork, 'lease' | 'settleSeconds' | 'hurry'> {
  log: Logger
  settings: Pick<
    ControlSettings,
    'capSettleSeconds' | 'confirmSeconds' | 'claimSeconds' | 'leaseSeconds' | 'openTasks'
  >
}

/** How long a command that is on its way may take when we close. */
const closeSeconds = 5
const purgeSeconds = 60

/**
 * Works on power limits that any process has accepted, as the runner of transitions does: claims
 * components, keeps its leases, and leaves what it cannot end to be claimed again.
 */
export class CapRunner {
  readonly #options: CapRunnerOptions
  readonly #work: CapWork
  readonly #hurry = new AbortController()
  /** The components at work, each with what gives it up. */
  readonly #open = new Map<string, AbortController>()
  readonly #running = new Set<Promise<void>>()
  readonly #perDevice = new Map<string, LimitFunction>()
  readonly #loop: Promise<void>
  #pause = new AbortController()
  #closing = false
  #renewAt = 0
  #purgeAt = 0
  #fault: string | undefined

  constructor(options: CapRunnerOptions) {
    const { leaseSeconds, capSettleSeconds: settleSeconds } = options.settings
    this.#options = options
    const lease = { owner: randomUUID(), seconds: leaseSeconds }
    // Every command on its way listens to it.
    setMaxListeners(0, this.#hurry.signal)
    this.#work = { ...options, lease, settleSeconds, hurry: this.#hurry.signal }
    this.#loop = this.#run()
  }

  /** There is new work: look at once. */
  wake(): void {
    this.#pause.abort()
  }

  /** Lets what is on its way to a device come back, and leaves the rest to be resumed. */
  async close(): Promise<void> {
    this.#closing = true
    this.wake()
    for (const each of this.#open.values()) each.abort()
    const hurry = setTimeout(() => this.#hurry.abort(), closeSeconds * 1000)
    await this.#loop
    await Promise.all(this.#running)
    clearTimeout(hurry)
  }

  async #run(): Promise<void> {
    while (!this.#closing) {
      this.#pause = new AbortController()
      await this.#round().then(
        () => this.#recovered(),
        (error: unknown) => this.#failed(error),
      )
      const { signal } = this.#pause
      await sleep(this.#options.settings.claimSeconds * 1000, undefined, { signal }).catch(() => {})
    }
  }

  async #round(): Promise<void> {
    const { pool, lease, now } = this.#work
    await this.#renew()
    if (performance.now() >= this.#purgeAt) {
      this.#purgeAt = performance.now() + purgeSeconds * 1000
      await deleteExpiredCaps(pool, now())
    }
    const free = this.#options.settings.openTasks - this.#open.size
    if (free === 0 || this.#closing) return
    for (const claimed of await claimCaps(pool, lease, free)) this.#assign(claimed)
  }

  async #renew(): Promise<void> {
    const { pool, lease } = this.#work
    if (performance.now() < this.#renewAt || this.#open.size === 0) return
    const before = [...this.#open]
    const ours = await renewCaps(pool, lease, [...this.#open.keys()])
    this.#renewAt = performance.now() + (lease.seconds * 1000) / 3
    for (const [componentId, giveUp] of before) if (!ours.has(componentId)) giveUp.abort()
  }

  #assign(claimed: ClaimedCap): void {
    const { componentId, device } = claimed
    // We stalled, and our own lease ran out: what we knew of the component may be old.
    const stale = this.#open.get(componentId)
    if (stale) {
      stale.abort()
      return
    }
    const giveUp = new AbortController()
    if (this.#closing) giveUp.abort()
    this.#open.set(componentId, giveUp)
    const running = this.#inTurn(device, () => this.#workOn(claimed, giveUp.signal)).finally(() => {
      this.#open.delete(componentId)
      this.#running.delete(running)
    })
    this.#running.add(running)
  }

  /** Requests for one device are worked on in the order in which they came. */
  async #inTurn(device: string, task: () => Promise<void>): Promise<void> {
    const limit = this.#perDevice.get(device) ?? pLimit(1)
    this.#perDevice.set(device, limit)
    await limit(task)
    if (limit.activeCount + limit.pendingCount === 0) this.#perDevice.delete(device)
  }

  /** One component that fails must not stop the others: it is left, and claimed again later. */
  async #workOn(claimed: ClaimedCap, signal: AbortSignal): Promise<void> {
    const { pool, lease, metrics, now } = this.#work
    const { componentId, xname, taskId: task_id, type } = claimed
    const startedAt = performance.now()
    metrics.inFlight.inc()
    try {
      const ended = await workOnCap(claimed, this.#work, signal)
      if (ended === undefined) return await releaseCap(pool, lease, componentId)
      if (!(await finishCap(pool, lease, { claimed, at: now(), ended }))) return
      metrics.duration.observe({ type }, (performance.now() - startedAt) / 1000)
      this.#ended(claimed, ended)
    } catch (error) {
      this.#options.log.warn({ error, xname, task_id }, 'power limit left for now')
    } finally {
      metrics.inFlight.dec()
    }
  }

  #ended({ type, xname, taskId }: ClaimedCap, { state: outcome, error }: EndedCap): void {
    this.#work.metrics.components.inc({ type, outcome })
    const level = outcome === 'succeeded' ? 'debug' : 'warn'
    this.#options.log[level]({ xname, task_id: taskId, type, outcome, error }, 'power limit ended')
  }

  /** The database is away: said once, and once when it is back. */
  #failed(error: unknown): void {
    const fault = String(error)
    if (fault !== this.#fault) this.#options.log.error({ error }, 'cannot claim power limits')
    this.#fault = fault
  }

  #recovered(): void {
    if (this.#fault !== undefined) this.#options.log.info({}, 'claiming power limits again')
    this.#fault = undefined
  }
}
