import fetch from 'node-fetch'
import { withDeadline } from '../../../exporter/service/deadline.ts'
import { readSecret, type Secret } from '../../../exporter/service/settings.ts'

export interface Bridge {
  /** Where remote-write answers. */
  url: string
  token: Secret | undefined
  env: NodeJS.ProcessEnv
  signal: AbortSignal
}

const answerTimeoutMs = 30_000

/** Remote-write was not reached, or cannot take events now: all may be sent again. */
export class NotDelivered extends Error {
  override readonly name = 'NotDelivered'
}

/** One event that can never be taken, and why. */
export interface Refused<T> {
  event: T
  fault: string
}

/**
 * Hands events to remote-write. A batch that is refused is halved until the events are found that
 * it is refused for; all others are stored. Returns those.
 * @throws {NotDelivered} when some may not be stored: send all of them again.
 */
export async function deliver<T extends object>(
  events: readonly T[],
  bridge: Bridge,
): Promise<Refused<T>[]> {
  if (events.length === 0) return []
  const fault = await post(JSON.stringify({ events }), bridge)
  if (fault === undefined) return []
  const [event, second] = events
  if (event !== undefined && second === undefined) return [{ event, fault }]
  const half = Math.ceil(events.length / 2)
  const first = await deliver(events.slice(0, half), bridge)
  return [...first, ...(await deliver(events.slice(half), bridge))]
}

/** Resolves to why the events can never be taken as they are; undefined when they are stored. */
async function post(body: string, bridge: Bridge): Promise<string | undefined> {
  const { status, text } = await answerOf(body, bridge).catch((cause: unknown) => {
    throw new NotDelivered(`remote-write at ${bridge.url}`, { cause })
  })
  if (status >= 200 && status < 300) return undefined
  if (status === 400 || status === 413 || status === 422) return detailOf(text)
  throw new NotDelivered(`remote-write at ${bridge.url}: HTTP ${status} ${detailOf(text)}`)
}

async function answerOf(body: string, { url, token, env, signal }: Bridge) {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
  return await withDeadline(answerTimeoutMs, [signal], async (deadline) => {
    const options = { method: 'POST', headers, body, signal: deadline, redirect: 'manual' } as const
    const response = await fetch(`${url}/api/v1/jobs/events`, options)
    return { status: response.status, text: await response.text() }
  })
}

function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown }
    if (typeof detail === 'string') return detail.slice(0, 500)
  } catch {
    // Not from us: a proxy's words do.
  }
  return text.slice(0, 500)
}
