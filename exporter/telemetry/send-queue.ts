import { Counter, Gauge, type Registry } from 'prom-client'
import { compress } from 'snappy'
import type { Logger } from '../service/log.ts'
import { encodeWriteRequest, ForwardError, type Series, sendBody } from './forward.ts'

export interface SendQueueOptions {
  /** The receiver's whole path, `.../api/v1/write`. */
  url: string
  /** Compressed requests that wait while the receiver is away; then the oldest are dropped. */
  mostWaitingBytes: number
  registry: Registry
  log: Logger
}

/** A request that is encoded and compressed. */
export interface Waiting {
  body: Buffer
  samples: number
}

export async function encode(series: readonly Series[]): Promise<Waiting> {
  const samples = series.reduce((sum, { samples }) => sum + samples.length, 0)
  return { body: await compress(encodeWriteRequest(series)), samples }
}

/** What waits at the end is sent for so long. */
const lastSendMs = 2000

type Outcome = 'sent' | 'refused' | 'dropped' | 'overtaken'

/** Requests in the order in which they came, one on its way at a time. */
export class SendQueue {
  readonly #options: SendQueueOptions
  /** The first is on its way. */
  #waiting: Waiting[] = []
  readonly #closing = new AbortController()
  readonly #samples: Counter<'outcome'>
  #bytes = 0
  #sending: Promise<void> | undefined
  #failing = false

  constructor(options: SendQueueOptions) {
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
    if (this.#bytes > this.#options.mostWaitingBytes) this.#dropOldest()
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  count(outcome: Outcome, samples: number): void {
    if (samples > 0) this.#samples.inc({ outcome }, samples)
  }

  /** What is not taken in time counts as dropped. */
  async close(): Promise<void> {
    const deadline = setTimeout(() => this.#closing.abort(), lastSendMs)
    await this.#sending
    clearTimeout(deadline)
    const samples = this.#waiting.reduce((sum, each) => sum + each.samples, 0)
    if (samples === 0) return
    this.count('dropped', samples)
    this.#options.log.warn({ url: this.#options.url, samples }, 'samples were not sent')
  }

  /** Not the first, which the receiver may have taken already, nor the newest. */
  #dropOldest(): void {
    const [first, ...rest] = this.#waiting
    let count = 0
    for (const { body, samples } of rest.slice(0, -1)) {
      if (this.#bytes <= this.#options.mostWaitingBytes) break
      this.#bytes -= body.length
      this.count('dropped', samples)
      count++
    }
    if (first !== undefined) this.#waiting = [first, ...rest.slice(count)]
  }

  /** A request stays first until it is taken or refused. */
  async #sendAll(): Promise<void> {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const error = await this.#send(next.body)
      if (error !== undefined && this.#closing.signal.aborted) return
      this.#report(error)
      if (error?.later) continue
      this.#waiting.shift()
      this.#bytes -= next.body.length
      this.count(error === undefined ? 'sent' : 'refused', next.samples)
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

  #report(error: ForwardError | undefined): void {
    const { log, url } = this.#options
    if (error !== undefined && !this.#failing) log.warn({ url, error }, 'receiver takes no samples')
    if (error === undefined && this.#failing) log.info({ url }, 'receiver takes samples again')
    this.#failing = error !== undefined
  }
}
