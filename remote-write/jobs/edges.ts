import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Counter } from 'prom-client'
import { withDeadline } from '../../exporter/service/deadline.ts'
import type { Logger } from '../../exporter/service/log.ts'
import { readSecret, type Secret } from '../../exporter/service/settings.ts'
import type { JobEvent } from './events.ts'
import { sameRunMs } from './run.ts'

export interface EdgeReaderOptions {
  pool: Pool
  exporters: readonly { url: string; token: Secret }[]
  env: NodeJS.ProcessEnv
  log: Logger
  /** Nodes by what became of asking for them: asked, failed, dropped. */
  nodes: Counter<'outcome'>
  now: () => Date
}

/** An edge that is told later than this was long ago: reading counters now says nothing of it. */
const promptMs = 60_000
/** Edges that come together are asked for together. */
const gatherMs = 100
const answerTimeoutMs = 5000
/** Nodes that wait to be asked for, and in one request. */
const bounds = { waiting: 65_536, request: 10_000 }

/**
 * Has exporters read the energy counters of nodes when a job on them starts or ends, so that its
 * edges are measured. An exporter that does not answer costs precision, never an event.
 */
export class EdgeReader {
  readonly #options: EdgeReaderOptions
  readonly #waiting = new Set<string>()
  /** When an edge of a run was last asked for: several sources tell of it. */
  readonly #asked = new Map<string, number>()
  readonly #failing = new Set<string>()
  readonly #closing = new AbortController()
  #sending: Promise<void> | undefined

  constructor(options: EdgeReaderOptions) {
    this.#options = options
  }

  /** Asks for the nodes of the jobs that these events, which are stored, tell an edge of. */
  async eventsTold(events: readonly JobEvent[]): Promise<void> {
    const { pool, exporters, log } = this.#options
    if (exporters.length === 0) return
    const jobs = this.#prompt(events)
    if (jobs.length === 0) return
    const names = await selectNodes(pool, jobs).catch((error: unknown) => {
      log.warn({ error }, 'nodes of a job that starts or ends not found')
      return []
    })
    this.#wait(names)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#sending
  }

  /** The events of just now whose edge was not asked for yet. */
  #prompt(events: readonly JobEvent[]): JobEvent[] {
    const nowMs = this.#options.now().getTime()
    for (const [key, ms] of this.#asked) if (nowMs - ms > 2 * promptMs) this.#asked.delete(key)
    return events.filter((event) => {
      const fresh = edgesOf(event).filter(({ key, ms }) => {
        const before = this.#asked.get(key)
        return nowMs - ms < promptMs && (before === undefined || Math.abs(ms - before) > sameRunMs)
      })
      for (const { key, ms } of fresh) this.#asked.set(key, ms)
      return fresh.length > 0
    })
  }

  #wait(names: readonly string[]): void {
    const room = bounds.waiting - this.#waiting.size
    if (names.length > room) this.#options.nodes.inc({ outcome: 'dropped' }, names.length - room)
    for (const name of names.slice(0, Math.max(0, room))) this.#waiting.add(name)
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
  }

  async #send(): Promise<void> {
    const { signal } = this.#closing
    while (this.#waiting.size > 0 && !signal.aborted) {
      await sleep(gatherMs, undefined, { signal }).catch(() => {})
      const xnames = [...this.#waiting].slice(0, bounds.request)
      for (const name of xnames) this.#waiting.delete(name)
      await Promise.all(this.#options.exporters.map((each) => this.#ask(each, xnames)))
    }
  }

  /** Each exporter knows its own devices, and says of the others that it does not. */
  async #ask({ url, token }: { url: string; token: Secret }, xnames: string[]): Promise<void> {
    const { env, log, nodes } = this.#options
    const where = `${url}/api/v1/poll`
    try {
      const authorization = `Bearer ${await readSecret(token, env)}`
      await withDeadline(answerTimeoutMs, [this.#closing.signal], async (signal) => {
        const headers = { authorization, 'content-type': 'application/json' }
        const body = JSON.stringify({ xnames })
        const response = await fetch(where, { method: 'POST', headers, body, signal })
        const text = await response.text()
        if (!response.ok) throw new Error(`HTTP ${response.status} ${text.slice(0, 300)}`)
      })
      nodes.inc({ outcome: 'asked' }, xnames.length)
      if (this.#failing.delete(url)) log.info({ url }, 'exporter reads edges of jobs again')
    } catch (error) {
      nodes.inc({ outcome: 'failed' }, xnames.length)
      if (!this.#failing.has(url)) log.warn({ url, error }, 'exporter does not read edges of jobs')
      this.#failing.add(url)
    }
  }
}

function edgesOf({ type, cluster, job_id, time, detail }: JobEvent): { key: string; ms: number }[] {
  const key = (edge: string) => `${cluster} ${job_id} ${edge}`
  const end =
    detail.ended_at === undefined ? [] : [{ key: key('end'), ms: Date.parse(detail.ended_at) }]
  if (type !== 'start' && type !== 'run') return [{ key: key(type), ms: time.getTime() }]
  return [{ key: key('start'), ms: time.getTime() }, ...end]
}

async function selectNodes(pool: Pool, jobs: readonly JobEvent[]): Promise<string[]> {
  const { rows } = await pool.query<{ xname: string }>(
    `select distinct a.xname
     from unnest($1::text[], $2::int8[]) as e (cluster, job_id)
     cross join lateral (
       select j.id
       from job j
       where j.cluster = e.cluster and j.job_id = e.job_id
       order by j.started_at desc
       limit 2
     ) j
     join allocation a on a.run = j.id
     where a.xname is not null`,
    [jobs.map(({ cluster }) => cluster), jobs.map(({ job_id }) => job_id)],
  )
  return rows.map(({ xname }) => xname)
}
