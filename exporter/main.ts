import { Registry } from 'prom-client'
import { exporterApp } from './app.ts'
import { startPmCounters } from './polling/pm-counters.ts'
import { startPoller } from './polling/poller.ts'
import { listen, registerProcessMetrics, type Service } from './service/http.ts'
import type { Logger } from './service/log.ts'
import type { ExporterSettings } from './settings.ts'
import { startForwarder } from './telemetry/forwarder.ts'

/** Polls the devices and shows their readings; `close` ends all requests and connections. */
export async function startExporter(
  settings: ExporterSettings,
  { log, env }: { log: Logger; env: NodeJS.ProcessEnv },
): Promise<Service> {
  const { devices, credentials, poll, forward, pmCounters } = settings
  const registry = new Registry()
  registerProcessMetrics(registry)
  const poller = startPoller({ devices, credentials, poll, env, log })
  const inBand =
    pmCounters && startPmCounters({ ...pmCounters, paceSeconds: poll.fastSeconds, log })
  const app = exporterApp({ devices: poller.devices, inBand, registry, log })
  const web = await listen(app, settings.web.listenAddress).catch(async (error: unknown) => {
    await Promise.all([poller.close(), inBand?.close()])
    throw error
  })
  const forwarder =
    forward.url === undefined
      ? undefined
      : startForwarder({
          url: forward.url,
          intervalSeconds: forward.intervalSeconds,
          targetLabels: { job: forward.job, instance: forward.instance },
          readings: () => [
            ...poller.devices.flatMap((device) => device.readings()),
            ...(inBand?.readings() ?? []),
          ],
          registry,
          log,
        })
  return {
    url: web.url,
    async close() {
      await Promise.all([web.close(), poller.close(), inBand?.close(), forwarder?.close()])
    },
  }
}
