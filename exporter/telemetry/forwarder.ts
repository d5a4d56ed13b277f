import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Gauge, type Registry } from 'prom-client'
import { compress } from 'snappy'
import type { Logger } from '../service/log.ts'
import { encodeWriteRequest, ForwardError, type Series, sendBody } from './forward.ts'
import { packInstants, seriesOf } from './instants.ts'
import type { TimedReading } from './merge.ts'
import { type SnapshotOptions, Snapshots } from './snapshots.ts'

export interface ForwarderOptions extends SnapshotOptions {
  /** The receiver's whole path, `.../api/v1/write`. */
  url: string
  intervalSeconds: number
  registry: Registry
  log: Logger
}

export interface Forwarder {
  /** Sends readings with their own times, within seconds. */
  add(readings: readonly TimedReading[]): void
  /** Sends what waits, for up to 2 s. */
  close(): Promise<void>
}

/** As many samples go into one request as Prometheus puts there by default. */
const samplesPerRequest = 2000
/** Compressed requests that wait while the receiver is away; then the oldest are dropped. */
const mostWaitingBytes = 64 * 1024 * 1024

interface Waiting {
  body: Buffer
  samples: number
}

/**
 * Sends all readings at each interval, at one timestamp, as Prometheus would with a scrape: a
 * series that is gone is ended with a stale marker. Readings that are added go besides.
 */
export function startForwarder(options: ForwarderOptions): Forwarder {
  const queue = new Queue(options)
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
  queue: Queue,
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
  readonly #queue: Queue
  readonly #log: Logger
  readonly #gathered = new Map<string, Gathered>()
  readonly #timer: NodeJS.Timeout
  #count = 0
  #sending: Promise<void> = Promise.resolve()

  constructor(snapshots: Snapshots, queue: Queue, log: Logger) {
    this.#snapshots = snapshots
    this.#queue = queue
    this.#log = log
    this.#timer = setInterval(() => this.#sendReady(Date.now()), lastBodyMs)
  }

  add(readings: readonly TimedReading[]): void {
    const now = Date.now()
    const taken = this.#snapshots.push(readings, now)
    this.#queue.count('overtaken', readings.length - taken.length)
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

async function encode(series: readonly Series[]): Promise<Waiting> {
  const samples = series.reduce((sum, { samples }) => sum + samples.length, 0)
  return { body: await compress(encodeWriteRequest(series)), samples }
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  const parts: T[][] = []
  for (let from = 0; from < list.length; from += size) parts.push(list.slice(from, from + size))
  return parts
}

/** Requests in order of time, one on its way at a time. */
class Queue {
  readonly #options: ForwarderOptions
  readonly #waiting: Waiting[] = []
  readonly #closing = new AbortController()
  readonly #samples: Counter<'outcome'>
  #bytes = 0
  #sending: Promise<void> | undefined
  #failing = false

  constructor(options: ForwarderOptions) {
    this.#options = options
    this.#samples = new Counter({
      name: 'joulebridge_forward_samples_total',
      help:
        'Samples for the remote write receiver: sent, refused by it, dropped unsent, or pushed ' +
        'with a time before one that was sent already (overtaken).',
      labelNames: ['outcome'],
      registers: [options.registry],
    })
    const waiting = () => this.#bytes
    new Gauge({
      name: 'joulebridge_forward_waiting_bytes',
      help: 'Compressed requests that wait for the remote write receiver.',
      registers: [options.registry],
      collect() {
        this.set(waiting())
      },
    })
  }

  add(request: Waiting): void {
    this.#waiting.push(request)
    this.#bytes += request.body.length
    for (const oldest of this.#waiting.slice(0, -1)) {
      if (this.#bytes <= mostWaitingBytes) break
      this.#finish(oldest, 'dropped')
    }
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  count(outcome: 'overtaken', samples: number): void {
    if (samples > 0) this.#samples.inc({ outcome }, samples)
  }

  async close(): Promise<void> {
    const deadline = setTimeout(() => this.#closing.abort(), 2000)
    await this.#sending
    clearTimeout(deadline)
  }

  /** A request stays first in the queue until it is taken, refused or dropped. */
  async #sendAll(): Promise<void> {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const error = await this.#send(next.body)
      if (this.#closing.signal.aborted) return
      this.#report(error)
      if (error === undefined) this.#finish(next, 'sent')
      else if (!error.later) this.#finish(next, 'refused')
    }
  }

  async #send(body: Buffer): Promise<ForwardError | undefined> {
    try {
      await sendBody(this.#options.url, body, { signal: this.#closing.signal })
      return undefined
    } catch (cause) {
      return cause instanceof ForwardError
        ? cause
        : new ForwardError(false, 'sending broke', { cause })
    }
  }

  #finish(request: Waiting, outcome: 'sent' | 'refused' | 'dropped'): void {
    const position = this.#waiting.indexOf(request)
    if (position === -1) return
    this.#waiting.splice(position, 1)
    this.#bytes -= request.body.length
    this.#samples.inc({ outcome }, request.samples)
  }

  #report(error: ForwardError | undefined): void {
    const { log, url } = this.#options
    if (error !== undefined && !this.#failing) log.warn({ url, error }, 'receiver takes no samples')
    if (error === undefined && this.#failing) log.info({ url }, 'receiver takes samples again')
    this.#failing = error !== undefined
  }
}
