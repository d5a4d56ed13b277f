import fetch from 'node-fetch'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Logger } from '../exporter/service/log.ts'
import { readSecret } from '../exporter/service/settings.ts'
import type { ExporterAccess } from './transition-settings.ts'

/** The exporters that read the devices which are switched here. */
export interface Exporters {
  /** Resolves when they leave the device alone, or after a second: nothing depends on it. */
  hold(controller: string): Promise<void>
  release(controller: string): void
  /** Has a component's power read at once, now that it has changed. */
  poll(xname: string): void
  close(): Promise<void>
}

interface Options {
  exporters: readonly ExporterAccess[]
  /** How long a device is left alone if nobody releases it. */
  holdSeconds: number
  registry: Registry
  log: Logger
  env: NodeJS.ProcessEnv
}

/** Calls are gathered for so long: a thousand devices are one request. */
const gatherMs = 20
const answerMs = 1000
/** An exporter that failed is not asked again before. */
const pauseMs = 10_000

/** Tells every exporter: each knows its own devices, and says of others that it does not. */
export function createExporters(options: Options): Exporters {
  const { registry } = options
  const failures = new Counter({
    name: 'joulebridge_power_exporter_failures_total',
    help: 'Calls to exporters, to leave devices alone or to read them, that failed.',
    labelNames: ['exporter'],
    registers: [registry],
  })
  const up = new Gauge({
    name: 'joulebridge_power_exporter_up',
    help: 'Whether the exporter answered when it was last called.',
    labelNames: ['exporter'],
    registers: [registry],
  })
  const calls = options.exporters.map((access) => new Exporter(access, options, { failures, up }))
  const tell = async (path: string, body: (xnames: string[]) => object, xname: string) => {
    await Promise.all(calls.map((exporter) => exporter.tell(path, body, xname)))
  }
  const holding = hold(Math.min(600, Math.ceil(options.holdSeconds)))
  return {
    hold: (controller) => tell('/api/v1/hold', holding, controller),
    release: (controller) => void tell('/api/v1/hold', releasing, controller),
    poll: (xname) => void tell('/api/v1/poll', polling, xname),
    close: async () => void (await Promise.all(calls.map((exporter) => exporter.idle()))),
  }
}

const hold = (seconds: number) => (xnames: string[]) => ({ xnames, seconds })
const releasing = hold(0)
const polling = (xnames: string[]) => ({ xnames })

type Body = (xnames: string[]) => object

/** One exporter, with the calls that are being gathered. */
class Exporter {
  readonly #access: ExporterAccess
  readonly #options: Options
  readonly #metrics: { failures: Counter<'exporter'>; up: Gauge<'exporter'> }
  readonly #gathering = new Map<Body, { xnames: Set<string>; sent: Promise<void> }>()
  /** One after the other, so that a release never overtakes its hold. */
  #last: Promise<void> = Promise.resolve()
  #pausedUntil = 0
  #isDown = false

  constructor(
    access: ExporterAccess,
    options: Options,
    metrics: { failures: Counter<'exporter'>; up: Gauge<'exporter'> },
  ) {
    this.#access = access
    this.#options = options
    this.#metrics = metrics
    metrics.failures.inc({ exporter: access.url }, 0)
  }

  tell(path: string, body: Body, xname: string): Promise<void> {
    const gathered = this.#gathering.get(body)
    if (gathered) {
      gathered.xnames.add(xname)
      return gathered.sent
    }
    const xnames = new Set([xname])
    const sent = new Promise<void>((resolve) => {
      setTimeout(() => {
        this.#gathering.delete(body)
        this.#last = this.#last.then(() => this.#post(path, body([...xnames])))
        void this.#last.then(resolve)
      }, gatherMs)
    })
    this.#gathering.set(body, { xnames, sent })
    return sent
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#gathering.values()].map(({ sent }) => sent))
    await this.#last
  }

  async #post(path: string, body: object): Promise<void> {
    if (performance.now() < this.#pausedUntil) return
    const { url, token } = this.#access
    const { env, log } = this.#options
    try {
      const authorization = token && `Bearer ${await readSecret(token, env)}`
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
        body: JSON.stringify(body),
        redirect: 'manual',
        signal: AbortSignal.timeout(answerMs),
      })
      await response.arrayBuffer()
      if (!response.ok) throw new Error(`HTTP ${response.status}`)
      if (this.#isDown) log.info({ exporter: url }, 'exporter answers again')
      this.#isDown = false
      this.#metrics.up.set({ exporter: url }, 1)
    } catch (error) {
      if (!this.#isDown) log.warn({ exporter: url, path, error }, 'exporter does not hold devices')
      this.#isDown = true
      this.#pausedUntil = performance.now() + pauseMs
      this.#metrics.failures.inc({ exporter: url })
      this.#metrics.up.set({ exporter: url }, 0)
    }
  }
}
