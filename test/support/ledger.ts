import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import { compressSync } from 'snappy'
import { createRandom, hash01, type Random } from '../../exporter/simulator/random.ts'
import { type WrittenSeries, writeRequest } from './remote-write.ts'
import { requestV2 } from './remote-write-v2.ts'

export interface LedgerOptions {
  /** Base URLs of the receivers; each attempt goes to one of them, drawn at random. */
  urls: readonly string[]
  seed: number
  inFlight?: number
  /** Times of samples go from `spanSeconds` before `now` to it. */
  now?: Date
  spanSeconds?: number
}

/** Series of a target, half of them in each of two requests: they share rows. */
const seriesPerTarget = 40
const targets = 8

/** Requests made, of which the next to send is drawn. */
const poolSize = 64

const headers = {
  '1.0': { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
  '2.0': {
    'content-type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
    'content-encoding': 'snappy',
  },
}

/** A request that is to be stored, or one that repeats another, perhaps with other values. */
interface Request {
  kind: 'first' | 'copy' | 'contradiction'
  number: number
  version: keyof typeof headers
  series: readonly WrittenSeries[]
}

/**
 * A sender that keeps account of what it was answered 2xx for. It sends half of its requests twice
 * and all of them shuffled, in both versions of remote write; each again and again until it is
 * answered 2xx, as Prometheus does after a 5xx or a lost connection. Once a request is answered,
 * some are contradicted: the same samples with other values, which must change nothing.
 */
export class LedgerSender {
  readonly #options: Required<LedgerOptions>
  readonly #random: Random
  readonly #pool: Request[] = []
  /** Count and sum of the values, by series. */
  readonly #ledger = new Map<string, { n: number; sum: number }>()
  readonly #abort = new AbortController()
  #requests = 0
  #answered = 0
  #retried = 0
  #stopping = false
  #workers: Promise<void>[] = []

  constructor(options: LedgerOptions) {
    this.#options = { inFlight: 8, now: new Date(), spanSeconds: 3 * 3600, ...options }
    this.#random = createRandom(options.seed)
  }

  /** Requests answered 2xx, repetitions included. */
  get answered(): number {
    return this.#answered
  }

  /** Attempts that came to nothing. */
  get retried(): number {
    return this.#retried
  }

  /** Samples answered 2xx, each once. */
  get samples(): number {
    return [...this.#ledger.values()].reduce((sum, { n }) => sum + n, 0)
  }

  /** The label that tells these series from those of other senders on the same database. */
  get #job(): string {
    return `ledger-${this.#options.seed}`
  }

  start(): void {
    this.#workers = Array.from({ length: this.#options.inFlight }, () => this.#work())
  }

  /**
   * Makes no more requests; resolves when all that were made are answered.
   * @throws {Error} when one was answered neither 2xx nor 5xx.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    try {
      await Promise.all(this.#workers)
    } finally {
      this.#abort.abort()
    }
  }

  /** Ours whose count or sum in SQL is not that of the ledger, or that are in one of them only. */
  async differences(db: Pool): Promise<string[]> {
    const { rows } = await db.query<{ series: string; n: number; sum: number }>(
      `select metric || ' ' || (labels ->> 'instance') as series,
         count(value)::int4 as n, sum(value) as sum
       from series left join sample on series.id = sample.series_id
       where labels ->> 'job' = $1
       group by series.id`,
      [this.#job],
    )
    const stored = new Map(rows.map(({ series, n, sum }) => [series, { n, sum }]))
    const twice = rows.length - stored.size
    const all = new Set([...stored.keys(), ...this.#ledger.keys()])
    const differing = [...all].flatMap((series) => {
      const [is, ought] = [stored.get(series), this.#ledger.get(series)]
      if (is && ought && is.n === ought.n && is.sum === ought.sum) return []
      return [`${series}: ${JSON.stringify(is)} stored, ${JSON.stringify(ought)} answered 2xx`]
    })
    return twice > 0 ? [...differing, `${twice} label sets stand twice`] : differing
  }

  async #work(): Promise<void> {
    while (!this.#stopping || this.#pool.length > 0) {
      while (!this.#stopping && this.#pool.length < poolSize) this.#make()
      const [request] = this.#pool.splice(Math.floor(this.#random.next() * this.#pool.length), 1)
      if (!request) return
      await this.#send(request)
      this.#answered++
      if (request.kind === 'first') this.#enter(request)
    }
  }

  #make(): void {
    const number = this.#requests++
    const version = this.#random.next() < 0.5 ? '1.0' : '2.0'
    const request: Request = { kind: 'first', number, version, series: this.#seriesOf(number) }
    this.#pool.push(request)
    if (number % 2 === 0) this.#pool.push({ ...request, kind: 'copy' })
  }

  /** Two requests make up a scrape; now and then there is a series that was not there before. */
  #seriesOf(number: number): WrittenSeries[] {
    const scrape = number >> 1
    const { seed, now, spanSeconds } = this.#options
    const instance = `target-${scrape % targets}:9100`
    const spread = Math.floor(hash01(seed, scrape) * spanSeconds) * 1000
    const timeMs = now.getTime() - spread + (scrape % 1000)
    const first = (number & 1) * (seriesPerTarget / 2)
    const names = Array.from({ length: seriesPerTarget / 2 }, (_, i) => `sensor_${first + i}`)
    if (number % 5 === 0) names.push(`short_lived_${number}`)
    return names.map((name, i) => ({
      labels: { __name__: name, instance, job: this.#job },
      samples: [[timeMs, Math.floor(hash01(seed, number, i) * 1e6)]],
    }))
  }

  #enter({ number, version, series }: Request): void {
    for (const { labels, samples } of series) {
      const key = `${labels['__name__']} ${labels['instance']}`
      const entry = this.#ledger.get(key) ?? { n: 0, sum: 0 }
      this.#ledger.set(key, entry)
      entry.n += samples.length
      for (const [, value] of samples) entry.sum += Number(value)
    }
    if (this.#stopping || number % 8 !== 0) return
    const lies = series.map(({ labels, samples }) => ({
      labels,
      samples: samples.map(([timeMs, value]) => [timeMs, -1 - Number(value)] as const),
    }))
    this.#pool.push({ kind: 'contradiction', number, version, series: lies })
  }

  async #send({ version, series, number }: Request): Promise<void> {
    const bytes = version === '1.0' ? writeRequest(series) : requestV2(series)
    const body = compressSync(bytes)
    for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 100)) {
      const status = await this.#attempt(body, version)
      if (status !== undefined && status < 300) return
      if (status !== undefined && status < 500) {
        throw new Error(`request ${number} was answered ${status}`)
      }
      this.#retried++
      await sleep(waitMs)
    }
  }

  /** The status; nothing when the connection was lost. */
  async #attempt(body: Buffer, version: keyof typeof headers): Promise<number | undefined> {
    const { urls } = this.#options
    const url = urls[Math.floor(this.#random.next() * urls.length)]
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(30_000)])
    try {
      const options = { method: 'POST', body, headers: headers[version], signal }
      const response = await fetch(`${url}/api/v1/write`, options)
      await response.arrayBuffer()
      return response.status
    } catch {
      if (this.#abort.signal.aborted) throw new Error('another request failed')
      return undefined
    }
  }
}
