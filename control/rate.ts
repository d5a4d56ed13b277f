import type { Response } from 'express'
import { RequestError } from '../exporter/service/request-error.ts'

/** How many requests each user may make; no more than its users are kept. */
export interface Rate {
  /** @throws {RequestError} 429, with Retry-After, when it is one too many. */
  check(user: string, response: Response): void
}

/** A bucket for each user, full at first, that fills as time goes by; `now` in seconds. */
export function createRate(perMinute: number, now: () => number): Rate {
  const buckets = new Map<string, { left: number; at: number }>()
  return {
    check(user, response) {
      const at = now()
      const { left, at: since } = buckets.get(user) ?? { left: perMinute, at }
      const filled = Math.min(perMinute, left + ((at - since) * perMinute) / 60)
      buckets.set(user, { left: Math.max(0, filled - 1), at })
      if (filled >= 1) return
      response.set('retry-after', String(Math.ceil(((1 - filled) * 60) / perMinute)))
      const message = `${user} makes more than ${perMinute} requests a minute`
      throw new RequestError(429, 'too_many_requests', message)
    },
  }
}
