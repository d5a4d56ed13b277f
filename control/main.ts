import { Registry } from 'prom-client'
import { listen, registerProcessMetrics, type Service } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { createPool } from '../remote-write/postgres/pool.ts'
import { createControlApp } from './app.ts'
import { createComponents } from './components.ts'
import { registerControlMetrics } from './metrics.ts'
import { oldestOpenSeconds } from './records.ts'
import { Runner } from './runner.ts'
import type { ControlSettings } from './settings.ts'

export interface ControlStart {
  log: Logger
  env: NodeJS.ProcessEnv
  /** The clock of deadlines; leases go by the database's. */
  now?: () => Date
}

/**
 * Starts power control: the API and the work on what it has accepted. The tables are made by
 * remote-write; until then, and while the database is away, it is not ready.
 */
export async function startControl(
  settings: ControlSettings,
  { log, env, now = () => new Date() }: ControlStart,
): Promise<Service> {
  const pool = await createPool(settings.postgres, { log, env })
  const registry = new Registry()
  registerProcessMetrics(registry)
  const metrics = registerControlMetrics(registry, () => oldestOpenSeconds(pool, now()))
  const components = createComponents({ ...settings, env })
  const runner = new Runner({ pool, components, metrics, log, now, settings })
  const stop = async () => {
    await runner.close()
    await components.close()
    await pool.end()
  }
  const wake = () => runner.wake()
  const context = { settings, pool, components, metrics, registry, log, env, now, wake }
  try {
    const service = await listen(createControlApp(context), settings.web.listenAddress)
    return {
      url: service.url,
      async close() {
        await service.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
