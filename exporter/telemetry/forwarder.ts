import { setTimeout as delay } from 'node:timers/promises'
import { packInstants, seriesOf } from './instants.ts'
import type { TimedReading } from './merge.ts'
import { encode, SendQueue, type SendQueueOptions } from './send-queue.ts'
import { type SnapshotOptions, Snapshots } from './snapshots.ts'

export interface ForwarderOptions extends SnapshotOptions, SendQueueOptions {
  intervalSeconds: number
}

export interface Forwarder {
  /** Sends readings with their own times, within seconds. */
  add(readings: readonly TimedReading[]): void
  /** Sends what waits, for up to 2 s. */
  close(): Promise<void>
}

/** As many samples go into one request as Prometheus puts there by default. */
const samplesPerRequest = 2000

/**
 * Sends all readings at each interval, at one timestamp, as Prometheus would with a scrape: a
 * series that is gone is ended with a stale marker. Readings that are added go besides.
 */
export function startForwarder(options: ForwarderOptions): Forwarder {
  const queue = new SendQueue(options)
  const snapshots = new Snapshots(options)
  const pushes = new Pushes(snapshots, queue, options.log)
  const closing = new AbortController()
  const loop = keepTaking(queue, snapshots, options, closing.signal)
  return {
    add: (readings) => pushes.add(readings),
    async close() {
      closing.abort()
      await loop
      await pushes.close()
      await queue.close()
    },
  }
}

async function keepTaking(
  queue: SendQueue,
  snapshots: Snapshots,
  { intervalSeconds, log }: ForwarderOptions,
  signal: AbortSignal,
): Promise<void> {
  const intervalMs = intervalSeconds * 1000
  while (!signal.aborted) {
    const now = Date.now()
    try {
      const parts = chunks(snapshots.take(now), samplesPerRequest)
      for (const request of await Promise.all(parts.map(encode))) queue.add(request)
    } catch (error) {
      log.error({ error }, 'forwarding broke')
    }
    const next = Math.floor(now / intervalMs + 1) * intervalMs
    await delay(Math.max(0, next - Date.now()), undefined, { signal }).catch(() => {})
  }
}

/** A device posts a body for each kind of sensor, one soon after the other: they go together. */
const lastBodyMs = 250
const longestGatheringMs = 2000
/** Of all devices; then all go at once. */
const mostGathered = 100_000

interface Gathered {
  readings: TimedReading[]
  firstAt: number
  lastAt: number
}

/** Pushed readings, gathered until their device has said all that it has to say for now. */
class Pushes {
  readonly #snapshots: Snapshots
  readonly #queue: SendQueue
  readonly #log: ForwarderOptions['log']
  readonly #gathered = new Map<string, Gathered>()
  readonly #timer: NodeJS.Timeout
  #count = 0
  #sending: Promise<void> = Promise.resolve()

  constructor(snapshots: Snapshots, queue: SendQueue, log: ForwarderOptions['log']) {
    this.#snapshots = snapshots
    this.#queue = queue
    this.#log = log
    this.#timer = setInterval(() => this.#sendReady(Date.now()), lastBodyMs)
  }

  add(readings: readonly TimedReading[]): void {
    const now = Date.now()
    const { taken, overtaken } = this.#snapshots.push(readings, now)
    this.#queue.count('overtaken', overtaken)
    for (const reading of taken) {
      const device = reading.labels['bmc'] ?? ''
      const gathered = this.#gathered.get(device) ?? { readings: [], firstAt: now, lastAt: now }
      this.#gathered.set(device, gathered)
      gathered.lastAt = now
      gathered.readings.push(reading)
    }
    this.#count += taken.length
    if (this.#count > mostGathered) this.#sendReady(Number.POSITIVE_INFINITY)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#sendReady(Number.POSITIVE_INFINITY)
    await this.#sending
  }

  #sendReady(now: number): void {
    const ready: TimedReading[] = []
    for (const [device, { readings, firstAt, lastAt }] of this.#gathered) {
      if (now - lastAt < lastBodyMs && now - firstAt < longestGatheringMs) continue
      this.#gathered.delete(device)
      for (const reading of readings) ready.push(reading)
    }
    this.#count -= ready.length
    if (ready.length > 0) this.#send(ready)
  }

  #send(readings: readonly TimedReading[]): void {
    const labelsOf = (reading: TimedReading) => this.#snapshots.labelsOf(reading)
    const encoded = packInstants(readings, samplesPerRequest).map((request) =>
      encode(seriesOf(request, labelsOf)),
    )
    this.#sending = Promise.all([this.#sending, ...encoded]).then(
      ([, ...requests]) => {
        for (const request of requests) this.#queue.add(request)
      },
      (error: unknown) => this.#log.error({ error }, 'forwarding broke'),
    )
  }
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  const parts: T[][] = []
  for (let from = 0; from < list.length; from += size) parts.push(list.slice(from, from + size))
  return parts
}
