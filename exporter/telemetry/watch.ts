import pLimit from 'p-limit'
import type { PolledDevice } from '../polling/polled-device.ts'
import { withDeadline } from '../service/deadline.ts'
import type { Logger } from '../service/log.ts'
import { type SubscriptionNames, subscribe, unsubscribe } from './subscription.ts'

/**
 * waiting: not looked at yet; silent: subscribed, but no events come; failed: the device could not
 * be asked; full: it has no room for a subscription; unsupported: it has no telemetry to push.
 */
export const subscriptionStates = [
  'waiting',
  'speaking',
  'silent',
  'failed',
  'full',
  'unsupported',
] as const
export type SubscriptionState = (typeof subscriptionStates)[number]

export interface WatchOptions {
  /** The devices of now. */
  devices: () => readonly PolledDevice[]
  names: SubscriptionNames
  /** Whether changes of power states are wanted besides telemetry. */
  changes: boolean
  /** From one look at the subscription of a silent device to the next, at first. */
  checkSeconds: number
  /** Leave the subscriptions for a later start. */
  keep: boolean
  log: Logger
}

interface Watched {
  state: Exclude<SubscriptionState, 'speaking'>
  dueAt: number
  /** Looks since it last spoke, whatever came of them: ever more time is between two of them. */
  looks: number
  /** Whether it may have a subscription of ours. */
  subscribed: boolean
  /** Whether it spoke when we looked last; and ever. */
  spoke: boolean
  everSpoke: boolean
}

const longestPauseSeconds = 3600
const devicesAtOnce = 16
const farewellsAtOnce = 64
const farewellSeconds = 5
const tickMs = 250
/** A device that has said nothing after so many subscriptions will not do so soon. */
const looksInHope = 3

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
  readonly #closing = new AbortController()

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

  /** The devices that push, or may be about to: once it has ever spoken, or was just subscribed. */
  expected(): PolledDevice[] {
    return this.#devices().filter((device) => {
      const watched = this.#watched.get(device)
      if (device.speaks || watched === undefined || watched.everSpoke) return true
      const hopeless = watched.state === 'unsupported' || watched.state === 'full'
      return !hopeless && watched.looks <= looksInHope
    })
  }

  /** Deletes what was made, for at most 5 s, unless it is to be kept. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#timer)
    for (const device of this.#devices()) device.farewell = undefined
    if (this.#options.keep) return
    const subscribed = this.#devices().filter((device) => this.#watched.get(device)?.subscribed)
    if (subscribed.length === 0) return
    const limit = pLimit(farewellsAtOnce)
    const left = new Set(subscribed)
    await withDeadline(farewellSeconds * 1000, [], async (signal) => {
      const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      const all = subscribed.map((device) =>
        limit(async () => {
          if (!signal.aborted && (await this.#leave(device))) left.delete(device)
        }),
      )
      await Promise.race([Promise.all(all), over])
    })
    if (left.size === 0) return
    const xnames = [...left].slice(0, 10).map(({ device }) => device.xname)
    this.#options.log.warn({ devices: left.size, xnames }, 'subscriptions left behind')
  }

  /** Whether it has no subscription of ours any more. */
  async #leave(device: PolledDevice): Promise<boolean> {
    const { names, log } = this.#options
    try {
      await this.#running.get(device)
      await unsubscribe(device.requests, names)
      return true
    } catch (error) {
      log.debug({ xname: device.device.xname, error }, 'subscription not removed')
      return false
    }
  }

  #devices(): PolledDevice[] {
    return this.#options.devices().filter(({ kind }) => kind === 'cray-controller')
  }

  #tick(now: number): void {
    for (const device of this.#devices()) {
      if (this.#running.has(device) || device.heldUntil !== undefined) continue
      if (!this.#isDue(device, now)) continue
      const look = this.#limit(() => this.#look(device)).finally(() => {
        this.#running.delete(device)
      })
      this.#running.set(device, look)
    }
  }

  #isDue(device: PolledDevice, now: number): boolean {
    const watched = this.#watched.get(device) ?? newWatched(now)
    this.#watched.set(device, watched)
    const { speaks } = device
    if (speaks && !watched.spoke) watched.dueAt = now + longestPauseSeconds * 1000
    if (!speaks && watched.spoke) {
      watched.dueAt = now
      this.#pollNow(device)
    }
    if (speaks) {
      watched.looks = 0
      watched.everSpoke = true
    }
    watched.spoke = speaks
    // The polls find out when a device answers again, and whether a login is refused.
    return device.polled && device.failures.inARow === 0 && now >= watched.dueAt
  }

  /** Its requests, each of which waits while the device is held. */
  #unlessHeld(device: PolledDevice): PolledDevice['requests'] {
    const { get, send } = device.requests
    const released = () => device.released(this.#closing.signal)
    return {
      get: async (...request) => {
        await released()
        return await get(...request)
      },
      send: async (...request) => {
        await released()
        return await send(...request)
      },
    }
  }

  /** What it does not say any more is asked for before the next poll is due. */
  #pollNow(device: PolledDevice): void {
    const { log } = this.#options
    device.pollSoon().catch((error: unknown) => {
      log.error({ xname: device.device.xname, error }, 'poll broke')
    })
  }

  async #look(device: PolledDevice): Promise<void> {
    const { names, changes, log } = this.#options
    const watched = this.#watched.get(device)
    if (watched === undefined || this.#closing.signal.aborted) return
    if (device.heldUntil !== undefined) return
    const { xname } = device.device
    const before = watched.state
    try {
      const renew = watched.looks > 0 && !device.speaks
      watched.subscribed = true
      device.farewell = () => this.#leave(device)
      const requests = this.#unlessHeld(device)
      const outcome = await subscribe(xname, requests, { names, renew, changes })
      watched.state = outcome === 'subscribed' ? 'silent' : outcome
      watched.subscribed = outcome === 'subscribed'
      if (outcome === 'full' && before !== 'full') log.warn({ xname }, 'no room for a subscription')
    } catch (error) {
      watched.state = 'failed'
      if (before !== 'failed') log.warn({ xname, error }, 'subscription failed')
    }
    const rare = device.speaks || watched.state === 'unsupported'
    const pause = rare ? longestPauseSeconds : this.#options.checkSeconds * 2 ** watched.looks++
    watched.dueAt = Date.now() + Math.min(pause, longestPauseSeconds) * 1000
  }
}

function newWatched(now: number): Watched {
  return {
    state: 'waiting',
    dueAt: now,
    looks: 0,
    subscribed: false,
    spoke: false,
    everSpoke: false,
  }
}
