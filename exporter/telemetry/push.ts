import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Counter, Gauge, type Registry } from 'prom-client'
import { z } from 'zod'
import type { PolledDevice } from '../polling/polled-device.ts'
import type { Service } from '../service/http.ts'
import type { Logger } from '../service/log.ts'
import { listenAddress, readSecret, seconds, secret } from '../service/settings.ts'
import { type PushedBody, parsePush } from './events.ts'
import type { TimedReading } from './merge.ts'
import { type RequestFault, startReceiver } from './receiver.ts'
import { addresseeOf, contextOf, type SubscriptionNames } from './subscription.ts'
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
    /**
     * What the subscriptions' secrets are made from; absent: another at each start. With it, a
     * later start knows its subscriptions again even if the URL has changed. Not to be shared by
     * exporters that have the same devices: each would delete the other's.
     */
    secret: secret.optional(),
    /** PEM; absent: plain HTTP. */
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

/** After so long without events a device is polled as before. */
export function silentAfterSeconds({ intervalSeconds }: PushSettings): number {
  return 2 * intervalSeconds
}

/**
 * Subscribes to the telemetry of the devices that have such, and takes what they push.
 * @throws {Error} when the secret or a certificate cannot be read, or the address is in use.
 */
export async function startPush(options: PushOptions): Promise<Service> {
  const { settings, devices, env, log } = options
  const { advertisedUrl, checkSeconds } = settings
  const key = settings.secret === undefined ? undefined : await readSecret(settings.secret, env)
  const names = { advertisedUrl, key: key === undefined ? randomBytes(32) : Buffer.from(key) }
  const metrics = pushMetrics(options.registry)
  const inbox = new Inbox(options, names, metrics)
  const receiver = await startReceiver({
    listenAddress: settings.listenAddress,
    tls: await readPems(settings.tls),
    addressee: (path) => addresseeOf(path, names),
    take: (xname, body) => inbox.take(xname, body, new Date()),
    refused: (reason) => metrics.refusedRequests.inc({ reason }),
    log,
  })
  const watch = new SubscriptionWatch({ devices, names, checkSeconds, log })
  registerStates(options.registry, watch)
  log.info({ url: receiver.url, advertised_url: advertisedUrl }, 'listening for events')
  return {
    url: receiver.url,
    async close() {
      await watch.close()
      await receiver.close()
    },
  }
}

async function readPems(tls: PushSettings['tls']) {
  if (tls === undefined) return undefined
  const [cert, key] = await Promise.all([readPem(tls.certFile), readPem(tls.keyFile)])
  return { cert, key }
}

async function readPem(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`certificate file ${file} cannot be read`, { cause })
  })
}

/** Bodies that are remembered per device: one that was answered too late comes again. */
const remembered = 32

class Inbox {
  readonly #options: PushOptions
  readonly #names: SubscriptionNames
  readonly #metrics: ReturnType<typeof pushMetrics>
  readonly #seen = new WeakMap<PolledDevice, Set<string>>()

  constructor(
    options: PushOptions,
    names: SubscriptionNames,
    metrics: ReturnType<typeof pushMetrics>,
  ) {
    this.#options = options
    this.#names = names
    this.#metrics = metrics
  }

  take(xname: string, bytes: Buffer, receivedAt: Date): RequestFault | undefined {
    const device = this.#options.devices().find(({ device }) => device.xname === xname)
    if (device === undefined) return 'not_ours'
    const body = parsedJson(bytes)
    if (body === undefined) return 'malformed'
    const push = parsePush(body)
    if (push.context !== undefined && push.context !== contextOf(xname, this.#names)) {
      return 'not_ours'
    }
    if (this.#isRepeated(device, bytes)) return 'repeated'
    this.#hear(device, push, receivedAt)
    return undefined
  }

  #hear(device: PolledDevice, { samples, events, faults }: PushedBody, receivedAt: Date): void {
    const { settings, forward } = this.#options
    const { refusedSamples } = this.#metrics
    const silentAfter = silentAfterSeconds(settings)
    const merged = device.hear(samples, { receivedAt, silentAfterSeconds: silentAfter })
    this.#metrics.events.inc(events)
    this.#metrics.samples.inc(merged?.readings.length ?? 0)
    const unknown = new Map([['unknown_sensor', samples.length]])
    for (const [reason, count] of [...faults, ...(merged?.faults ?? unknown)]) {
      refusedSamples.inc({ reason }, count)
    }
    if (merged) forward(merged.readings)
  }

  #isRepeated(device: PolledDevice, bytes: Buffer): boolean {
    const seen = this.#seen.get(device) ?? new Set<string>()
    this.#seen.set(device, seen)
    const digest = createHash('sha1').update(bytes).digest('base64')
    if (seen.has(digest)) return true
    seen.add(digest)
    for (const oldest of seen) {
      if (seen.size <= remembered) break
      seen.delete(oldest)
    }
    return false
  }
}

function parsedJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

function pushMetrics(registry: Registry) {
  const registers = [registry]
  return {
    events: new Counter({
      name: 'joulebridge_push_events_total',
      help: 'Events that devices pushed, of any registry.',
      registers,
    }),
    samples: new Counter({
      name: 'joulebridge_push_samples_total',
      help: 'Samples of sensors that devices pushed and we took.',
      registers,
    }),
    refusedSamples: new Counter({
      name: 'joulebridge_push_refused_samples_total',
      help:
        'Pushed samples that were not taken: unknown_sensor (not or not yet polled), duplicate, ' +
        'no_value, no_time, out_of_time, never_read, too_many; events that are not_telemetry.',
      labelNames: ['reason'],
      registers,
    }),
    refusedRequests: new Counter({
      name: 'joulebridge_push_refused_requests_total',
      help:
        'Requests to the listener for events that were not taken: not_ours (unknown device, ' +
        'wrong secret or context), repeated, malformed, too_large, busy, method.',
      labelNames: ['reason'],
      registers,
    }),
  }
}

function registerStates(registry: Registry, watch: SubscriptionWatch): void {
  new Gauge({
    name: 'joulebridge_push_subscriptions',
    help:
      'Devices that may push telemetry, by state: waiting (not asked yet), speaking, silent (no ' +
      'events of late), failed (could not be asked), unsupported.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const counts = watch.counts()
      for (const state of subscriptionStates) this.set({ state }, counts.get(state) ?? 0)
    },
  })
}
