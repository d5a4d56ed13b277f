import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { rootCertificates } from 'node:tls'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import { z } from 'zod'
import { isXname, parseXname } from '../../exporter/inventory/xname.ts'
import { withDeadline } from '../../exporter/service/deadline.ts'
import type { Logger } from '../../exporter/service/log.ts'
import { readSecret, seconds, secret } from '../../exporter/service/settings.ts'
import { type PlacedNode, storeTopology } from './topology.ts'

/** HPE's Hardware State Manager as the source of the topology. */
export const topologyHsmSettings = z.strictObject({
  /** What stands before `/hsm/v2`: `https://api-gw-service-nmn.local/apis/smd`. */
  url: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
  /** The bearer token; read for each request. */
  token: secret.optional(),
  /** PEM certificates to trust besides the system's. */
  caFile: z.string().optional(),
  everySeconds: seconds.default(600),
})

export interface TopologyHsmOptions {
  settings: z.output<typeof topologyHsmSettings>
  pool: Pool
  env: NodeJS.ProcessEnv
  log: Logger
}

const path = '/hsm/v2/State/Components?type=Node'
const timeoutMs = 30_000
/** A hundred thousand nodes of half a kilobyte. */
const largestBody = 64 * 1024 * 1024

/** Takes over from HSM which node number is which place, again and again until `close`. */
export function followHsm(options: TopologyHsmOptions): { close(): Promise<void> } {
  const closing = new AbortController()
  const ended = follow(options, closing.signal)
  return {
    async close() {
      closing.abort()
      await ended
    },
  }
}

async function follow(options: TopologyHsmOptions, signal: AbortSignal): Promise<void> {
  const { settings, pool, log } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      await storeTopology(pool, parseComponents(await ask(options, signal)))
      if (failures > 0) log.info({ url: settings.url }, 'topology read again')
      failures = 0
    } catch (error) {
      if (failures++ === 0 && !signal.aborted) {
        log.warn({ url: settings.url, error }, 'topology not read')
      }
    }
    await sleep(settings.everySeconds * 1000, undefined, { signal }).catch(() => {})
  }
}

async function ask({ settings, env }: TopologyHsmOptions, stopping: AbortSignal): Promise<unknown> {
  const { url, token, caFile } = settings
  const headers: Record<string, string> = { accept: 'application/json' }
  if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
  const ca =
    caFile === undefined ? undefined : [...rootCertificates, await readFile(caFile, 'utf8')]
  const agent = url.startsWith('https:') && ca ? new Agent({ ca }) : undefined
  return await withDeadline(timeoutMs, [stopping], async (signal) => {
    const base = { headers, redirect: 'manual', size: largestBody, signal } as const
    const response = await fetch(url + path, agent ? { ...base, agent } : base)
    const text = await response.text()
    if (response.status !== 200) throw new Error(`HSM ${url}${path}: HTTP ${response.status}`)
    return JSON.parse(text)
  }).finally(() => agent?.destroy())
}

/** hms-smd, api/swagger_v2.yaml, "Component.1.0.0_Component": the fields that matter here. */
const component = z.object({ ID: z.string(), NID: z.int().min(1) })
const componentList = z.object({ Components: z.array(z.unknown()) })

/**
 * The nodes of an answer of HSM, named `nid` and their number. Nodes without a number are left out.
 * @throws {Error} when it is no list of components at all.
 */
export function parseComponents(body: unknown): PlacedNode[] {
  const list = componentList.safeParse(body)
  if (!list.success) throw new Error('expected {"Components": [...]}')
  return list.data.Components.flatMap((each) => {
    const { data } = component.safeParse(each)
    if (data === undefined || !isXname(data.ID)) return []
    return [{ node: `nid${String(data.NID).padStart(6, '0')}`, xname: parseXname(data.ID).text }]
  })
}
