import { randomBytes } from 'node:crypto'
import { Gauge, type Registry } from 'prom-client'
import { z } from 'zod'
import type { PolledDevice } from '../polling/polled-device.ts'
import type { Service } from '../service/http.ts'
import type { Logger } from '../service/log.ts'
import { listenAddress, readSecret, seconds, secret } from '../service/settings.ts'
import { Inbox } from './inbox.ts'
import type { TimedReading } from './merge.ts'
import { startReceiver } from './receiver.ts'
import { addresseeOf } from './subscription.ts'
import { SubscriptionWatch, subscriptionStates } from './watch.ts'

/** What devices push to us; off unless the devices are told where. */
export const pushSettings = z
  .strictObject({
    listenAddress: listenAddress.default(':28012'),
    /** Where devices reach that listener: `http://10.1.0.2:28012`. */
    advertisedUrl: z
      .url({ protocol: /^https?$/, error: 'expected a URL such as http://10.1.0.2:28012' })
      .transform((url) => url.replace(/\/+$/, '')),
    /** How often devices push; after two of these without events one is polled as before. */
    intervalSeconds: seconds.default(5),
    /** How soon the subscription of a silent device is looked at again. */
    checkSeconds: seconds.default(100),
    /** A second subscription, for changes of power states and alarms: they are read at once. */
    stateChanges: z.boolean().default(true),
    /** Leave the subscriptions with the devices at the end, for a later start. */
    keepSubscriptions: z.boolean().default(false),
    /**
     * What the subscriptions' secrets are made from; absent: another at each start. With it, a
     * later start knows its subscriptions again even if the URL has changed. Not to be shared by
     * exporters that have the same devices: each would delete the other's.
     */
    secret: secret.optional(),
    /** PEM, read again when the files change; absent: plain HTTP. */
    tls: z.strictObject({ certFile: z.string(), keyFile: z.string() }).optional(),
  })
  .optional()
export type PushSettings = NonNullable<z.output<typeof pushSettings>>

export interface PushOptions {
  settings: PushSettings
  /** The devices of now. */
  devices: () => readonly PolledDevice[]
  /** Takes every sample that was pushed, with its time. */
  forward: (readings: readonly TimedReading[]) => void
  env: NodeJS.ProcessEnv
  registry: Registry
  log: Logger
}

export interface Push extends Service {
  /** When the sensors of devices that push, or may soon, took their present readings, by series. */
  times(now: number): ReadonlyMap<string, number>
}

/** After so long without events a device is polled as before. */
export function silentAfterSeconds({ intervalSeconds }: PushSettings): number {
  return 2 * intervalSeconds
}

/**
 * Subscribes to the telemetry of the devices that have such, and takes what they push.
 * @throws {Error} when the secret or a certificate cannot be read, or the address is in use.
 */
export async function startPush(options: PushOptions): Promise<Push> {
  const { settings, devices, forward, env, registry, log } = options
  const { advertisedUrl, checkSeconds, stateChanges, keepSubscriptions } = settings
  const key = settings.secret === undefined ? undefined : await readSecret(settings.secret, env)
  const names = { advertisedUrl, key: key === undefined ? randomBytes(32) : Buffer.from(key) }
  const silentAfter = silentAfterSeconds(settings)
  const inbox = new Inbox({
    devices,
    names,
    silentAfterSeconds: silentAfter,
    forward,
    registry,
    log,
  })
  const receiver = await startReceiver({
    listenAddress: settings.listenAddress,
    tls: settings.tls,
    addressee: (path) => addresseeOf(path, names),
    take: (xname, body) => inbox.take(xname, body, new Date()),
    refused: (reason) => inbox.refused(reason),
    log,
  })
  const watch = new SubscriptionWatch({
    devices,
    names,
    changes: stateChanges,
    checkSeconds,
    keep: keepSubscriptions,
    log,
  })
  registerStates(registry, watch)
  log.info({ url: receiver.url, advertised_url: advertisedUrl }, 'listening for events')
  return {
    url: receiver.url,
    times(now) {
      const found = new Map<string, number>()
      for (const device of watch.expected()) {
        for (const [key, timeMs] of device.sampleTimes(now)) found.set(key, timeMs)
      }
      return found
    },
    async close() {
      await watch.close()
      await receiver.close()
    },
  }
}

function registerStates(registry: Registry, watch: SubscriptionWatch): void {
  new Gauge({
    name: 'joulebridge_push_subscriptions',
    help:
      'Devices that may push telemetry, by state: waiting (not asked yet), speaking, silent (no ' +
      'events of late), failed (could not be asked), full (no room for a subscription), ' +
      'unsupported.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const counts = watch.counts()
      for (const state of subscriptionStates) this.set({ state }, counts.get(state) ?? 0)
    },
  })
}
