import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Gauge, type Registry } from 'prom-client'
import { compress } from 'snappy'
import { seriesText } from '../exposition.ts'
import type { Reading } from '../metrics.ts'
import type { Logger } from '../service/log.ts'
import { encodeWriteRequest, ForwardError, type Series, sendBody } from './forward.ts'

export interface ForwarderOptions {
  /** The receiver's whole path, `.../api/v1/write`. */
  url: string
  intervalSeconds: number
  /** The target labels that Prometheus would add: `job`, `instance`. */
  targetLabels: Record<string, string>
  /** Everything known at present. */
  readings: () => readonly Reading[]
  registry: Registry
  log: Logger
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
 * series that is gone is ended with a stale marker. `close` sends what waits, for up to 2 s.
 */
export function startForwarder(options: ForwarderOptions): { close(): Promise<void> } {
  const queue = new Queue(options)
  const snapshots = new Snapshots(options)
  const closing = new AbortController()
  const loop = keepTaking(queue, snapshots, options, closing.signal)
  return {
    async close() {
      closing.abort()
      await loop
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
      for (const request of await snapshots.take(now)) queue.add(request)
    } catch (error) {
      log.error({ error }, 'forwarding broke')
    }
    const next = Math.floor(now / intervalMs + 1) * intervalMs
    await delay(Math.max(0, next - Date.now()), undefined, { signal }).catch(() => {})
  }
}

/** Present readings as requests, and the ends of those that were there the time before. */
class Snapshots {
  readonly #options: ForwarderOptions
  #last = new Map<string, Series['labels']>()

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  async take(timeMs: number): Promise<Waiting[]> {
    const present = new Map<string, Series['labels']>()
    const series: Series[] = []
    for (const reading of this.#options.readings()) {
      const key = seriesText(reading)
      if (present.has(key)) continue
      const labels = this.#last.get(key) ?? this.#labels(reading)
      present.set(key, labels)
      series.push({ labels, samples: [{ timeMs, value: reading.value }] })
    }
    for (const [key, labels] of this.#last) {
      if (present.has(key)) continue
      series.push({ labels, samples: [{ timeMs, value: Number.NaN }] })
    }
    this.#last = present
    return await Promise.all(chunks(series, samplesPerRequest).map(encode))
  }

  #labels({ metric, labels }: Reading): Series['labels'] {
    return { ...labels, ...this.#options.targetLabels, __name__: metric }
  }
}

async function encode(series: readonly Series[]): Promise<Waiting> {
  return { body: await compress(encodeWriteRequest(series)), samples: series.length }
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
      help: 'Samples for the remote write receiver: sent, refused by it, or dropped unsent.',
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
