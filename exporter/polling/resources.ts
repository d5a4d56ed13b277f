import { fieldAt } from '../redfish/parse.ts'

/** So long at most a newer reading keeps out an older one: a device's clock may be set back. */
const newerForMs = 60_000

export interface Kept {
  body: unknown
  polledAt: number
}

interface Held extends Kept {
  /** When a reading of it was last pushed. */
  heardAt: number
  /** When it was last polled or pushed, by a clock that never goes back. */
  freshAt: number
}

/** The last answers of one device, by path; readings that it pushed stand in them. */
export class Resources {
  readonly #held = new Map<string, Held>()

  /** A polled resource; an older reading than the pushed one does not replace that. */
  store(path: string, body: unknown, now = Date.now()): void {
    const held = this.#held.get(path)
    const heardAt = held?.heardAt ?? Number.NEGATIVE_INFINITY
    const older = now - heardAt < newerForMs && readingMs(body) < readingMs(held?.body)
    const shown = older ? withReading(body, held?.body) : body
    this.#held.set(path, { body: shown, polledAt: now, heardAt, freshAt: performance.now() })
  }

  /** A pushed reading of a sensor that has been polled, unless what is there is newer. */
  hear(path: string, reading: { value: number; deviceMs: number }, now: number): void {
    const held = this.#held.get(path)
    if (held === undefined) return
    const { value, deviceMs } = reading
    const since = Math.max(held.polledAt, held.heardAt)
    held.heardAt = now
    held.freshAt = performance.now()
    if (readingMs(held.body) > deviceMs && now - since < newerForMs) return
    const pushed = { Reading: value, ReadingTime: new Date(deviceMs).toISOString() }
    held.body = withReading(held.body, pushed)
  }

  /** Whether it was pushed within the last `withinMs`, and polled within ten minutes. */
  isHeard(path: string, withinMs: number, now: number): boolean {
    const held = this.#held.get(path)
    if (held === undefined) return false
    return now - held.heardAt < withinMs && now - held.polledAt < pollHeardMs
  }

  /**
   * Drops what is older than its limit, in milliseconds by path; answers when the next will be,
   * as `performance.now()` counts.
   */
  expire(limitMs: (path: string) => number, now = performance.now()): number {
    let next = Number.POSITIVE_INFINITY
    for (const [path, { freshAt }] of this.#held) {
      const until = freshAt + limitMs(path)
      if (until <= now) this.#held.delete(path)
      else next = Math.min(next, until)
    }
    return next
  }

  /** What is not older than that, by path. */
  youngerThan(milliseconds: (path: string) => number): ReadonlyMap<string, unknown> {
    const now = performance.now()
    const young = [...this.#held].filter(([path, held]) => now - held.freshAt < milliseconds(path))
    return new Map(young.map(([path, { body }]) => [path, body]))
  }

  /** Drops what is not among `paths`. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#held.keys()) if (!paths.has(path)) this.#held.delete(path)
  }

  clear(): void {
    this.#held.clear()
  }

  kept(path: string): Kept | undefined {
    return this.#held.get(path)
  }

  bodies(): ReadonlyMap<string, unknown> {
    return new Map([...this.#held].map(([path, { body }]) => [path, body]))
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
