import type { Pool } from 'pg'
import type { Registry } from 'prom-client'
import type { Device } from '../../exporter/inventory/static.ts'
import type { Logger } from '../../exporter/service/log.ts'
import type { Components } from '../components.ts'
import type { Exporters } from '../exporters.ts'
import { capMetrics, registerWorkMetrics, type WorkMetrics } from '../metrics.ts'
import type { ControlSettings } from '../settings.ts'
import { type CapDevices, createCapDevices } from './devices.ts'
import { oldestOpenCapSeconds } from './records.ts'
import { startCapRunner } from './runner.ts'

/** The work on power limits, as the API and the service need it. */
export interface Caps {
  devices: CapDevices
  metrics: WorkMetrics
  wake(): void
  /** The devices from now on. */
  update(devices: readonly Device[]): void
  close(): Promise<void>
}

interface CapsContext {
  pool: Pool
  components: Pick<Components, 'alone' | 'controllerOf'>
  /** Told to leave a device alone while it is told something. */
  exporters: Pick<Exporters, 'hold' | 'release'>
  registry: Registry
  log: Logger
  env: NodeJS.ProcessEnv
  now: () => Date
}

export function startCaps(settings: ControlSettings, context: CapsContext): Caps {
  const { pool, components, exporters, registry, env, now } = context
  const oldestSeconds = () => oldestOpenCapSeconds(pool, now())
  const metrics = registerWorkMetrics(registry, capMetrics, oldestSeconds)
  const devices = createCapDevices({ ...settings, env })
  const alone = <T>(xname: string, command: () => Promise<T>) =>
    components.alone(xname, async () => {
      const controller = components.controllerOf(xname) ?? xname
      await exporters.hold(controller)
      return await command().finally(() => exporters.release(controller))
    })
  const runner = startCapRunner({ ...context, settings, devices, metrics, alone })
  return {
    devices,
    metrics,
    wake: () => runner.wake(),
    update: devices.update,
    async close() {
      await runner.close()
      await devices.close()
    },
  }
}
