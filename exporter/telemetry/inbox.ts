import { createHash } from 'node:crypto'
import { Counter, type Registry } from 'prom-client'
import type { PolledDevice } from '../polling/polled-device.ts'
import type { Logger } from '../service/log.ts'
import { type PushedBody, type PushedSample, parsePush } from './events.ts'
import type { TimedReading } from './merge.ts'
import type { RequestFault } from './receiver.ts'
import { contextOf, type SubscriptionNames } from './subscription.ts'

export interface InboxOptions {
  /** The devices of now. */
  devices: () => readonly PolledDevice[]
  names: SubscriptionNames
  silentAfterSeconds: number
  /** Takes every sample that was pushed, with its time. */
  forward: (readings: readonly TimedReading[]) => void
  registry: Registry
  log: Logger
}

/**
 * Bodies that are remembered per device: one that was answered too late comes again a minute later,
 * after some six a push.
 */
const remembered = 256
const indexMs = 1000
const mostChanged = 64

/** Takes what devices post, gives it to the devices it is of, and counts. */
export class Inbox {
  readonly #options: InboxOptions
  readonly #metrics: ReturnType<typeof pushMetrics>
  readonly #seen = new WeakMap<PolledDevice, Set<number>>()
  /** What is to be read again, of devices that are just being read. */
  readonly #changed = new WeakMap<PolledDevice, Set<string>>()
  #byXname = new Map<string, PolledDevice>()
  #indexedAt = Number.NEGATIVE_INFINITY

  constructor(options: InboxOptions) {
    this.#options = options
    this.#metrics = pushMetrics(options.registry)
  }

  refused(reason: RequestFault): void {
    this.#metrics.refusedRequests.inc({ reason })
  }

  take(xname: string, bytes: Buffer, receivedAt: Date): RequestFault | undefined {
    const device = this.#device(xname, receivedAt.getTime())
    if (device === undefined) return 'not_ours'
    const documents = parsedJson(bytes)
    if (documents === undefined) return 'malformed'
    const pushes = documents.map(parsePush)
    const context = contextOf(xname, this.#options.names)
    if (pushes.some((push) => push.context !== undefined && push.context !== context)) {
      return 'not_ours'
    }
    if (this.#isRepeated(device, bytes)) return 'repeated'
    for (const push of pushes) this.#hear(device, push, receivedAt)
    return undefined
  }

  #device(xname: string, now: number): PolledDevice | undefined {
    if (now - this.#indexedAt > indexMs || !this.#byXname.has(xname)) {
      this.#byXname = new Map(this.#options.devices().map((each) => [each.device.xname, each]))
      this.#indexedAt = now
    }
    return this.#byXname.get(xname)
  }

  #hear(device: PolledDevice, push: PushedBody, receivedAt: Date): void {
    const { events, samples, faults, changed } = push
    for (const [kind, count] of events) this.#metrics.events.inc({ kind }, count)
    for (const [reason, count] of faults) this.#metrics.refusedSamples.inc({ reason }, count)
    if (samples.length > 0) this.#hearSamples(device, samples, receivedAt)
    if (changed.length > 0 || events.has('power_state')) this.#readAgain(device, changed)
  }

  #hearSamples(device: PolledDevice, samples: readonly PushedSample[], receivedAt: Date): void {
    const { silentAfterSeconds, forward } = this.#options
    const merged = device.hear(samples, { receivedAt, silentAfterSeconds })
    for (const [reason, count] of merged.faults) {
      this.#metrics.refusedSamples.inc({ reason }, count)
    }
    this.#metrics.samples.inc(merged.readings.length)
    forward(merged.readings)
  }

  /** One round at a time; what changes meanwhile comes in the next. */
  #readAgain(device: PolledDevice, paths: readonly string[]): void {
    const waiting = this.#changed.get(device)
    if (waiting !== undefined) {
      for (const path of paths) if (waiting.size < mostChanged) waiting.add(path)
      return
    }
    this.#changed.set(device, new Set())
    const { log } = this.#options
    Promise.all([device.readAgain(paths), device.pollSoon()])
      .catch((error: unknown) => log.error({ xname: device.device.xname, error }, 'poll broke'))
      .finally(() => {
        const next = [...(this.#changed.get(device) ?? [])]
        this.#changed.delete(device)
        if (next.length > 0) this.#readAgain(device, next)
      })
  }

  #isRepeated(device: PolledDevice, bytes: Buffer): boolean {
    const seen = this.#seen.get(device) ?? new Set<number>()
    this.#seen.set(device, seen)
    const digest = createHash('sha1').update(bytes).digest().readUIntLE(0, 6)
    if (seen.has(digest)) return true
    seen.add(digest)
    for (const oldest of seen) {
      if (seen.size <= remembered) break
      seen.delete(oldest)
    }
    return false
  }
}

/** The one document of a body, or several that follow each other; undefined: it is no JSON. */
function parsedJson(bytes: Buffer): unknown[] | undefined {
  const text = bytes.toString('utf8')
  try {
    return [JSON.parse(text)]
  } catch {
    return parsedDocuments(text)
  }
}

/** Outside of a string, `}{` ends one document and begins the next. */
function parsedDocuments(text: string): unknown[] | undefined {
  try {
    const documents: unknown = JSON.parse(`[${text.replace(/\}\s*\{/g, '},{')}]`)
    return Array.isArray(documents) && documents.length > 1 ? documents : undefined
  } catch {
    return undefined
  }
}

function pushMetrics(registry: Registry) {
  const registers = [registry]
  return {
    events: new Counter({
      name: 'joulebridge_push_events_total',
      help: 'Events that devices pushed, by kind: telemetry, power_state, alert, resource, other.',
      labelNames: ['kind'],
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
        'Pushed samples that were not taken: unknown_sensor (not polled), duplicate, no_value, ' +
        'no_time, out_of_time, never_read, too_many.',
      labelNames: ['reason'],
      registers,
    }),
    refusedRequests: new Counter({
      name: 'joulebridge_push_refused_requests_total',
      help:
        'Requests to the listener for events that were not taken: not_ours (unknown device, ' +
        'wrong secret or context), repeated, malformed, encoding, too_large, busy, method.',
      labelNames: ['reason'],
      registers,
    }),
  }
}
