import { fieldAt } from '../redfish/parse.ts'
import { SharedTexts } from './shared-texts.ts'

/** So long at most a newer reading keeps out an older one: a device's clock may be set back. */
const newerForMs = 60_000

export interface Kept {
  body: unknown
  polledAt: number
}

interface Times {
  polledAt: number
  /** When a reading of it was last pushed. */
  heardAt: number
  /** When it was last polled or pushed, by a clock that never goes back. */
  freshAt: number
}

/** The last answers of one device, by path; readings that it pushed stand in them. */
export class Resources {
  readonly #texts: SharedTexts
  readonly #bodies = new Map<string, unknown>()
  readonly #times = new Map<string, Times>()

  constructor(texts = new SharedTexts()) {
    this.#texts = texts
  }

  /** A polled resource; an older reading than the pushed one does not replace that. */
  store(path: string, body: unknown, now = Date.now()): void {
    const held = this.#bodies.get(path)
    const heardAt = this.#times.get(path)?.heardAt ?? Number.NEGATIVE_INFINITY
    const older = now - heardAt < newerForMs && readingMs(body) < readingMs(held)
    const slim = this.#texts.slim(body)
    this.#bodies.set(path, older ? withReading(slim, held) : slim)
    this.#times.set(path, { polledAt: now, heardAt, freshAt: performance.now() })
  }

  /** A pushed reading of a sensor that has been polled, unless what is there is newer. */
  hear(path: string, reading: { value: number; deviceMs: number }, now: number): void {
    const times = this.#times.get(path)
    if (times === undefined) return
    const { value, deviceMs } = reading
    const body = this.#bodies.get(path)
    const since = Math.max(times.polledAt, times.heardAt)
    times.heardAt = now
    times.freshAt = performance.now()
    if (readingMs(body) > deviceMs && now - since < newerForMs) return
    const pushed = { Reading: value, ReadingTime: new Date(deviceMs).toISOString() }
    this.#bodies.set(path, withReading(body, pushed))
  }

  /** Whether it was pushed within the last `withinMs`, and polled within ten minutes. */
  isHeard(path: string, withinMs: number, now: number): boolean {
    const times = this.#times.get(path)
    if (times === undefined) return false
    return now - times.heardAt < withinMs && now - times.polledAt < pollHeardMs
  }

  /**
   * Drops what is older than its limit, in milliseconds by path; answers when the next will be,
   * as `performance.now()` counts.
   */
  expire(limitMs: (path: string) => number, now = performance.now()): number {
    let next = Number.POSITIVE_INFINITY
    for (const [path, { freshAt }] of this.#times) {
      const until = freshAt + limitMs(path)
      if (until <= now) this.#drop(path)
      else next = Math.min(next, until)
    }
    return next
  }

  /** What is not older than that, by path. */
  youngerThan(milliseconds: (path: string) => number): ReadonlyMap<string, unknown> {
    const now = performance.now()
    const isYoung = ([path]: [string, unknown]) => {
      const freshAt = this.#times.get(path)?.freshAt ?? Number.NEGATIVE_INFINITY
      return now - freshAt < milliseconds(path)
    }
    return new Map([...this.#bodies].filter(isYoung))
  }

  /** Drops what is not among `paths`. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#bodies.keys()) if (!paths.has(path)) this.#drop(path)
  }

  clear(): void {
    this.#bodies.clear()
    this.#times.clear()
  }

  kept(path: string): Kept | undefined {
    const times = this.#times.get(path)
    return times && { body: this.#bodies.get(path), polledAt: times.polledAt }
  }

  /** All of them as they are at any time. */
  bodies(): ReadonlyMap<string, unknown> {
    return this.#bodies
  }

  #drop(path: string): void {
    this.#bodies.delete(path)
    this.#times.delete(path)
  }
}

/** A sensor that is pushed is polled all the same, but seldom. */
const pollHeardMs = 600_000

/** By the device's clock; NaN when it tells no time. */
function readingMs(body: unknown): number {
  const text = fieldAt(body, 'ReadingTime')
  return typeof text === 'string' ? Date.parse(text) : Number.NaN
}

function withReading(body: unknown, other: unknown): object {
  const reading = { Reading: fieldAt(other, 'Reading'), ReadingTime: fieldAt(other, 'ReadingTime') }
  return { ...Object(body), ...reading }
}
