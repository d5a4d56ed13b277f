import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import type { Logger } from '../../exporter/service/log.ts'
import { databaseError } from '../postgres/sqlstate.ts'
import type { Samples } from '../samples.ts'
import type { SeriesIndex } from '../series.ts'
import { type JobFact, parseJobFact } from './label.ts'
import {
  type JobLabelSettings,
  keepLabels,
  labelWork,
  type Stretch,
  settleLabels,
} from './label-store.ts'
import type { JobMetrics } from './metrics.ts'

export interface JobLabelOptions {
  pool: Pool
  index: SeriesIndex
  metrics: JobMetrics
  log: Logger
  settings: JobLabelSettings
  now: () => Date
}

/** What a series may be: not looked at yet, without a job, or else a number from 0. */
const unseen = -2
const jobless = -1

/** Facts in memory, some 800 bytes each; with more of them all are learnt anew. */
const mostFacts = 100_000
/** How soon the jobs learn of something new, and how often it is looked for what has ended. */
const newsMs = 250
const sweepMs = 2000
/** How often it is written down what goes on, as a part of the silence that ends a stretch. */
const growPart = 0.1

/** When samples told of a job on a node in a step, as far as we know. */
interface Known {
  fact: JobFact
  /** The latest stretch that is written down, but for its end; first > last: none is. */
  first: number
  last: number
  /** The latest stale marker. */
  stale: number
  /** Stretches that are to be written down before their requests are answered. */
  told: { first: number; last: number }[]
}

/**
 * Takes jobs from the labels of samples. Nothing that starts a stretch of job_label, or joins two,
 * is answered before it is on disk. That a stretch goes on now is written down twice a minute; the
 * end of one whose receiver died meanwhile is looked up in the samples themselves.
 */
export class JobLabels {
  readonly #options: JobLabelOptions
  readonly #silenceMs: number
  readonly #names: readonly Buffer[]
  /** By entry of the index: which of `#known` it is, or one of the two words above. */
  #kinds = new Int32Array(0)
  #known: Known[] = []
  #byFact = new Map<string, number>()
  /** Stretches of which we saw a sample. */
  #sampled = new Set<string>()
  #urgent = new Set<Known>()
  #grown = new Set<Known>()
  #storing: Promise<void> | undefined
  #next: Promise<void> | undefined
  readonly #stopping = new AbortController()
  #sweeping: Promise<void> | undefined
  #grownAt = 0
  #recentMs = 0
  /** Whether new stretches were written down, and whether one has ended or goes on after that. */
  #news = true
  #turned = false

  constructor(options: JobLabelOptions) {
    this.#options = options
    this.#silenceMs = options.settings.silenceSeconds * 1000
    this.#names = options.settings.jobId.map((name) => Buffer.from(name))
  }

  /** Begins to bring the jobs up to date every few seconds. */
  start(): void {
    this.#sweeping = this.#sweepOften()
  }

  async close(): Promise<void> {
    this.#stopping.abort()
    await this.#sweeping
    await this.#storing?.catch(() => {})
    await this.#writeGrown().catch((error: unknown) => {
      this.#options.log.warn({ error }, 'ends of jobs not written down')
    })
  }

  /**
   * Learns from samples that were accepted; they are read before it returns. The promise, if there
   * is one, resolves when what must not be lost of it is on disk.
   * @throws {UnavailableError} (the promise) when it is not.
   */
  observe({ count, entries, times, low, high }: Samples): Promise<void> | undefined {
    if (this.#names.length === 0) return undefined
    this.#makeRoom()
    this.#recentMs = this.#options.now().getTime() - this.#silenceMs / 2
    let urgent = false
    for (let i = 0; i < count; i++) {
      const entry = entries[i] ?? 0
      let kind = this.#kinds[entry] ?? jobless
      if (kind === jobless) continue
      if (kind === unseen) kind = this.#learn(entry)
      const known = this.#known[kind]
      if (known && this.#see(known, times[i] ?? 0, low[i] ?? 0, high[i] ?? 0)) urgent = true
    }
    return urgent ? this.#store() : undefined
  }

  /** To be called when entries of the index came to mean other series. */
  forgetEntries(): void {
    this.#kinds.fill(unseen)
  }

  #makeRoom(): void {
    const { bound } = this.#options.index
    if (bound <= this.#kinds.length) return
    const kinds = new Int32Array(Math.max(bound, 1024) * 2).fill(unseen)
    kinds.set(this.#kinds)
    this.#kinds = kinds
  }

  /** Most series have no job: a look at the bytes of their labels tells. */
  #learn(entry: number): number {
    const { index, settings, metrics } = this.#options
    const bytes = index.bytes(entry)
    const named = this.#names.some((name) => bytes.includes(name))
    const ignored = (reason: string) => metrics.ignoredLabels.inc({ reason })
    const fact = named ? parseJobFact(index.labels(entry), settings, ignored) : undefined
    const kind = fact ? this.#kindOf(fact) : jobless
    this.#kinds[entry] = kind
    return kind
  }

  #kindOf(fact: JobFact): number {
    const { labels, ...facts } = fact
    const key = JSON.stringify(facts)
    const known = this.#byFact.get(key)
    if (known !== undefined) return known
    if (this.#known.length >= mostFacts) this.#forget()
    const kind = this.#known.length
    const [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    this.#known.push({ fact, first, last, stale: last, told: [] })
    this.#byFact.set(key, kind)
    return kind
  }

  /** What is yet to be written down is not lost. */
  #forget(): void {
    this.#kinds.fill(unseen)
    this.#known = []
    this.#byFact.clear()
    this.#sampled.clear()
  }

  /** Returns whether it must be written down at once. */
  #see(known: Known, time: number, low: number, high: number): boolean {
    if ((high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) | low) !== 0) {
      if (isStaleMarker(low, high) && time > known.stale) {
        known.stale = time
        this.#grown.add(known)
        this.#turned = true
      }
      return false
    }
    if (time >= known.first && time <= known.last) return false
    if (time > this.#recentMs && time > known.last && time - known.last <= this.#silenceMs) {
      if (known.stale > known.last) this.#turned = true
      known.last = time
      this.#grown.add(known)
      return false
    }
    const told = known.told.at(-1)
    if (told && time >= told.first && time - told.last <= this.#silenceMs) {
      told.last = Math.max(told.last, time)
    } else {
      known.told.push({ first: time, last: time })
    }
    this.#urgent.add(known)
    this.#sampled.add(stretchKey(known.fact))
    return true
  }

  /** One transaction at a time; who comes meanwhile shares the next one. */
  #store(): Promise<void> {
    this.#next ??= (async () => {
      await this.#storing?.catch(() => {})
      this.#storing = this.#next
      this.#next = undefined
      const urgent = [...this.#urgent]
      this.#urgent.clear()
      const tellings = urgent.map((known) => known.told)
      for (const known of urgent) known.told = []
      await this.#tell(urgent.flatMap((known, i) => sighted(known.fact, tellings[i] ?? [])))
      urgent.forEach((known, i) => {
        adopt(known, tellings[i] ?? [], this.#silenceMs)
      })
      this.#news = true
    })()
    return this.#next
  }

  /** Writes down how far stretches have come that go on, and which have ended. */
  async #writeGrown(): Promise<void> {
    const grown = [...this.#grown]
    this.#grown.clear()
    this.#turned = false
    this.#grownAt = this.#options.now().getTime()
    const told = grown.flatMap((known) => {
      const { first, last, stale } = known
      const fact = { ...known.fact, user_name: null, account: null, partition: null }
      const marker = Number.isFinite(stale) ? [{ ...fact, stale_at: new Date(stale) }] : []
      return first <= last ? [...sighted(fact, [{ first, last }]), ...marker] : marker
    })
    await this.#tell(told).catch((error: unknown) => {
      for (const known of grown) this.#grown.add(known)
      throw error
    })
  }

  async #tell(told: readonly object[]): Promise<void> {
    if (told.length === 0) return
    const { pool, settings } = this.#options
    await keepLabels(pool, told, settings.silenceSeconds).catch((error: unknown) => {
      throw databaseError(error)
    })
  }

  async #sweepOften(): Promise<void> {
    const { signal } = this.#stopping
    const { log } = this.#options
    let failing = false
    for (let quietMs = 0; !signal.aborted; quietMs += newsMs) {
      if (this.#news || this.#turned || quietMs >= sweepMs) {
        this.#news = false
        quietMs = 0
        await this.#sweep().then(
          () => {
            failing = false
          },
          (error: unknown) => {
            if (!failing) log.warn({ error }, 'jobs of labels not brought up to date')
            failing = true
          },
        )
      }
      await sleep(newsMs, undefined, { signal }).catch(() => {})
    }
  }

  async #sweep(): Promise<void> {
    const { pool, now, settings } = this.#options
    const silentSince = new Date(now().getTime() - this.#silenceMs)
    if (this.#turned || now().getTime() - this.#grownAt >= growPart * this.#silenceMs)
      await this.#writeGrown()
    const { closing, pending } = await labelWork(pool, silentSince)
    if (closing) await this.#writeGrown()
    if (closing || pending) {
      const sampled = (stretch: Stretch) => this.#sampled.has(stretchKey(stretch))
      const options = { silentSince, settings, sampled }
      while (!this.#stopping.signal.aborted && (await settleLabels(pool, options))) {}
    }
  }
}

/** Of remote write: a NaN with these bits says that the series ended (Prometheus, value.go). */
function isStaleMarker(low: number, high: number): boolean {
  return high === 0x7ff00000 && low === 2
}

function sighted(fact: JobFact, told: readonly { first: number; last: number }[]): object[] {
  return told.map(({ first, last }) => {
    return { ...fact, first_at: new Date(first), last_at: new Date(last) }
  })
}

/** After it was told: the latest stretch is the one that may grow. */
function adopt(known: Known, told: readonly { first: number; last: number }[], silenceMs: number) {
  for (const { first, last } of told.toSorted((a, b) => a.first - b.first)) {
    if (first > known.last + silenceMs) {
      known.first = first
      known.last = last
    } else if (last >= known.first - silenceMs) {
      known.first = Math.min(known.first, first)
      known.last = Math.max(known.last, last)
    }
  }
}

function stretchKey({ job_id, cluster, node, step }: Stretch): string {
  return JSON.stringify([job_id, cluster, node, step])
}
