import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { rootCertificates } from 'node:tls'
import fetch from 'node-fetch'
import { withDeadline } from '../../../exporter/service/deadline.ts'
import { readSecret, type Secret } from '../../../exporter/service/settings.ts'
import type { SlurmMetrics } from './metrics.ts'

export interface Bridge {
  /** Where remote-write answers. */
  url: string
  token: Secret | undefined
  /** PEM of who else may vouch for an https URL. */
  caFile?: string | undefined
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  metrics?: SlurmMetrics | undefined
}

const answerTimeoutMs = 30_000

/** Remote-write was not reached, or cannot take events now: all may be sent again. */
class NotDelivered extends Error {
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
  if (fault === undefined) {
    bridge.metrics?.delivered.inc(events.length)
    return []
  }
  const [event, second] = events
  if (event !== undefined && second === undefined) {
    bridge.metrics?.refused.inc()
    return [{ event, fault }]
  }
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

async function answerOf(body: string, bridge: Bridge) {
  const { token, env } = bridge
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
  return await askBridge(bridge, '/api/v1/jobs/events', { method: 'POST', headers, body })
}

/**
 * Asks remote-write. The CA file is read each time, since certificates are renewed.
 * @throws {Error} when it does not answer in time, or the file cannot be read.
 */
export async function askBridge(
  { url, caFile, signal }: Bridge,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; text: string }> {
  const own = url.startsWith('https:') && caFile !== undefined
  const ca = own ? [...rootCertificates, await readFile(caFile, 'utf8')] : undefined
  const agent = ca && new Agent({ ca })
  return await withDeadline(answerTimeoutMs, [signal], async (deadline) => {
    const base = { ...options, signal: deadline, redirect: 'manual' } as const
    const response = await fetch(url + path, agent ? { ...base, agent } : base)
    return { status: response.status, text: await response.text() }
  }).finally(() => agent?.destroy())
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
