import { Registry } from 'prom-client'
import type { Device } from '../exporter/inventory/static.ts'
import { listen, registerProcessMetrics, type Service } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { createPool } from '../remote-write/postgres/pool.ts'
import { createControlApp } from './app.ts'
import { startCaps } from './caps/start.ts'
import { createComponents } from './components.ts'
import { discoverDevices } from './discover.ts'
import { createDraws } from './draw.ts'
import { createExporters } from './exporters.ts'
import { registerHttpMetrics } from './http-metrics.ts'
import { watchProtections } from './management.ts'
import { registerControlMetrics } from './metrics.ts'
import { createRate } from './rate.ts'
import { oldestOpenSeconds } from './records.ts'
import { startRunner } from './runner.ts'
import type { ControlSettings } from './settings.ts'
import { listenTls } from './tls.ts'

export interface ControlStart {
  log: Logger
  env: NodeJS.ProcessEnv
  /** The clock of deadlines; leases go by the database's. */
  now?: () => Date
}

export interface ControlService extends Service {
  /** Where it listens with TLS; undefined: it does not. */
  tlsUrl: string | undefined
}

/**
 * Starts power control: the API and the work on what it has accepted. The tables are made by
 * remote-write; until then, and while the database is away, it is not ready.
 */
export async function startControl(
  settings: ControlSettings,
  { log, env, now = () => new Date() }: ControlStart,
): Promise<ControlService> {
  const pool = await createPool(settings.postgres, { log, env })
  const registry = new Registry()
  registerProcessMetrics(registry)
  const metrics = registerControlMetrics(registry, () => oldestOpenSeconds(pool, now()))
  const components = createComponents({ ...settings, env })
  // Longer than a command may take; a process that dies lets go by it.
  const holdSeconds = settings.timeoutSeconds + 10
  const exporters = createExporters({ ...settings, holdSeconds, registry, log, env })
  const caps = startCaps(settings, { pool, components, exporters, registry, log, env, now })
  const onDevices = (devices: readonly Device[]) => {
    components.update(devices)
    caps.update(devices)
  }
  const discovery = await discoverDevices(settings, { registry, log, env, onDevices })
  const draws = createDraws(settings.ramp.wattsPerNode)
  const work = { pool, components, exporters, metrics, draws, log, now, settings }
  const runner = startRunner(work)
  const protections = watchProtections(settings, { log, env })
  const stop = async () => {
    await protections.close()
    await caps.close()
    await discovery.close()
    await runner.close()
    await exporters.close()
    await components.close()
    await pool.end()
  }
  const app = createControlApp({
    settings,
    pool,
    components,
    caps,
    metrics,
    draws,
    registry,
    log,
    env,
    now,
    protections: protections.now,
    wake: () => runner.wake(),
    http: registerHttpMetrics(registry),
    rate: createRate(settings.requestsPerMinute, () => performance.now() / 1000),
  })
  const listening: Service[] = []
  try {
    listening.push(await listen(app, settings.web.listenAddress))
    if (settings.tls) listening.push(await listenTls(app, settings.tls, log))
    const [{ url } = { url: '' }, tls] = listening
    return {
      url,
      tlsUrl: tls?.url,
      async close() {
        await Promise.all(listening.map((each) => each.close()))
        await stop()
      },
    }
  } catch (error) {
    await Promise.all(listening.map((each) => each.close()))
    await stop()
    throw error
  }
}
