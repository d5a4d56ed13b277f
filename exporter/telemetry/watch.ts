import pLimit from 'p-limit'
import type { PolledDevice } from '../polling/polled-device.ts'
import type { Logger } from '../service/log.ts'
import { type SubscriptionNames, subscribe } from './subscription.ts'

/**
 * waiting: not looked at yet; silent: there, but no events come; failed: the device could not be
 * asked; unsupported: it has no telemetry to push.
 */
export const subscriptionStates = [
  'waiting',
  'speaking',
  'silent',
  'failed',
  'unsupported',
] as const
export type SubscriptionState = (typeof subscriptionStates)[number]

export interface WatchOptions {
  /** The devices of now. */
  devices: () => readonly PolledDevice[]
  names: SubscriptionNames
  /** From one look at the subscription of a silent device to the next, at first. */
  checkSeconds: number
  log: Logger
}

interface Watched {
  state: Exclude<SubscriptionState, 'speaking'>
  dueAt: number
  /** Looks since it last spoke that found or made a subscription. */
  looks: number
  spoke: boolean
}

const longestPauseSeconds = 3600
const devicesAtOnce = 16
const tickMs = 1000

/**
 * Looks after the subscriptions of the devices that push telemetry. One that speaks has its
 * subscription, and is asked once an hour; one that falls silent is asked at once, as it may have
 * restarted and forgotten, and then again and again, ever more seldom.
 */
export class SubscriptionWatch {
  readonly #options: WatchOptions
  readonly #watched = new WeakMap<PolledDevice, Watched>()
  readonly #limit = pLimit(devicesAtOnce)
  readonly #running = new Map<PolledDevice, Promise<void>>()
  readonly #timer: NodeJS.Timeout

  constructor(options: WatchOptions) {
    this.#options = options
    const pace = Math.min(tickMs, (options.checkSeconds * 1000) / 2)
    this.#timer = setInterval(() => this.#tick(Date.now()), pace)
  }

  counts(): Map<SubscriptionState, number> {
    const counts = new Map<SubscriptionState, number>(subscriptionStates.map((s) => [s, 0]))
    for (const device of this.#devices()) {
      const state = device.speaks ? 'speaking' : (this.#watched.get(device)?.state ?? 'waiting')
      counts.set(state, (counts.get(state) ?? 0) + 1)
    }
    return counts
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#limit.clearQueue()
  }

  #devices(): PolledDevice[] {
    return this.#options.devices().filter(({ kind }) => kind === 'cray-controller')
  }

  #tick(now: number): void {
    for (const device of this.#devices()) {
      if (this.#running.has(device) || !this.#isDue(device, now)) continue
      const look = this.#limit(() => this.#look(device)).finally(() => {
        this.#running.delete(device)
      })
      this.#running.set(device, look)
    }
  }

  #isDue(device: PolledDevice, now: number): boolean {
    const watched = this.#watched.get(device) ?? {
      state: 'waiting',
      dueAt: now,
      looks: 0,
      spoke: false,
    }
    this.#watched.set(device, watched)
    const { speaks } = device
    if (speaks && !watched.spoke) watched.dueAt = now + longestPauseSeconds * 1000
    if (!speaks && watched.spoke) watched.dueAt = now
    if (speaks) watched.looks = 0
    watched.spoke = speaks
    // The polls find out when a device answers again, and whether a login is refused.
    return device.polled && device.failures.inARow === 0 && now >= watched.dueAt
  }

  async #look(device: PolledDevice): Promise<void> {
    const { names, checkSeconds, log } = this.#options
    const watched = this.#watched.get(device)
    if (watched === undefined) return
    const { xname } = device.device
    const before = watched.state
    let pause = checkSeconds
    try {
      const renew = watched.looks > 0 && !device.speaks
      const made = await subscribe(xname, device.requests, { names, renew })
      watched.state = made ? 'silent' : 'unsupported'
      pause = made ? checkSeconds * 2 ** watched.looks++ : longestPauseSeconds
    } catch (error) {
      watched.state = 'failed'
      if (before !== 'failed') log.warn({ xname, error }, 'subscription failed')
    }
    watched.dueAt = Date.now() + Math.min(pause, longestPauseSeconds) * 1000
  }
}
