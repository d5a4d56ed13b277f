import { setTimeout as delay } from 'node:timers/promises'
import fetch, { AbortError, FetchError, type Response } from 'node-fetch'
import { compress } from 'snappy'
import { withDeadline } from '../service/deadline.ts'
import { encodeWriteRequest, type Series } from './write-request.ts'

export { encodeWriteRequest, type Series } from './write-request.ts'

/** The receiver did not take the samples. */
export class ForwardError extends Error {
  override readonly name = 'ForwardError'
  /** Whether it might take them later; false when it refused them for good (4xx). */
  readonly later: boolean

  constructor(later: boolean, message: string, options?: ErrorOptions) {
    super(message, options)
    this.later = later
  }
}

/**
 * Sends series by remote write 1.0; `url` is the receiver's whole path, `.../api/v1/write`. A
 * receiver that cannot be reached, or answers 429 or 5xx, is asked again: six attempts in about
 * 15 s, or as its Retry-After says.
 * @throws {ForwardError} naming the URL and the answer.
 */
export async function sendSeries(
  url: string,
  series: readonly Series[],
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  await sendBody(url, await compress(encodeWriteRequest(series)), options)
}

/** As `sendSeries`, for a request that is already encoded and compressed. */
export async function sendBody(
  url: string,
  body: Buffer,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await post(url, body, options.signal)
    if (outcome.done) return
    if (!outcome.again || attempt === attempts) {
      const cause = outcome.cause === undefined ? undefined : { cause: outcome.cause }
      throw new ForwardError(outcome.again, `${url}: ${outcome.reason}`, cause)
    }
    await delay(outcome.waitMs ?? firstWaitMs * 2 ** (attempt - 1), undefined, options)
  }
}

const attempts = 6
const firstWaitMs = 500
const leastWaitMs = 100
const longestWaitMs = 30_000
const answerTimeoutMs = 30_000
const longestAnswer = 1024 * 1024

type Outcome =
  | { done: true }
  | { done: false; again: boolean; reason: string; cause?: unknown; waitMs?: number }

async function post(url: string, body: Buffer, signal?: AbortSignal): Promise<Outcome> {
  // node-fetch, given a body and a signal that has fired, ends the process by a stream's error.
  signal?.throwIfAborted()
  try {
    return await withDeadline(answerTimeoutMs, [signal], async (deadline) => {
      const bounds = { redirect: 'manual', size: longestAnswer, signal: deadline } as const
      const request = { method: 'POST', headers, body, ...bounds }
      return await outcomeOf(await fetch(url, request))
    })
  } catch (cause) {
    signal?.throwIfAborted()
    if (!(cause instanceof FetchError || cause instanceof AbortError)) throw cause
    return { done: false, again: true, reason: 'no answer', cause }
  }
}

/** Remote write 1.0, "Protocol". */
const headers = {
  'content-type': 'application/x-protobuf',
  'content-encoding': 'snappy',
  'x-prometheus-remote-write-version': '0.1.0',
  'user-agent': 'joulebridge',
}

async function outcomeOf(response: Response): Promise<Outcome> {
  const text = await response.text()
  if (response.ok) return { done: true }
  const reason = `HTTP ${response.status} ${text.slice(0, 300)}`.trimEnd()
  const again = response.status === 429 || response.status >= 500
  const waitMs = retryAfterMs(response.headers.get('retry-after') ?? '', Date.now())
  if (!again || waitMs === undefined) return { done: false, again, reason }
  return {
    done: false,
    again,
    reason,
    waitMs: Math.min(Math.max(waitMs, leastWaitMs), longestWaitMs),
  }
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(text: string, now: number): number | undefined {
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Math.max(0, Date.parse(text) - now)
  return Number.isNaN(waitMs) ? undefined : waitMs
}
