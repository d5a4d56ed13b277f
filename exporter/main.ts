import { Registry } from 'prom-client'
import { exporterApp } from './app.ts'
import { type DiscoverySource, startDiscovery } from './inventory/discovery.ts'
import { deviceFile } from './inventory/file.ts'
import { hsm } from './inventory/hsm.ts'
import { startPmCounters } from './polling/pm-counters.ts'
import { startPoller } from './polling/poller.ts'
import { createTrust } from './redfish/trust.ts'
import { listen, registerProcessMetrics, type Service } from './service/http.ts'
import type { Logger } from './service/log.ts'
import type { ExporterSettings } from './settings.ts'
import { startForwarder } from './telemetry/forwarder.ts'
import { silentAfterSeconds, startPush } from './telemetry/push.ts'

/** Polls the devices and shows their readings; `close` ends all requests and connections. */
export async function startExporter(
  settings: ExporterSettings,
  { log, env }: { log: Logger; env: NodeJS.ProcessEnv },
): Promise<Service> {
  const { devices, credentials, poll, forward, pmCounters, shard } = settings
  const registry = new Registry()
  registerProcessMetrics(registry)
  const poller = startPoller({ credentials, poll, env, log })
  const discovery = await startDiscovery({
    devices,
    sources: sourcesOf(settings, { log, env }),
    shard,
    registry,
    log,
    onDevices: (found) => poller.update(found),
  })
  const inBand =
    pmCounters && startPmCounters({ ...pmCounters, paceSeconds: poll.fastSeconds, log })
  const app = exporterApp({ devices: poller.devices, inBand, registry, log })
  const web = await listen(app, settings.web.listenAddress).catch(async (error: unknown) => {
    await discovery.close()
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
          pushedForSeconds: settings.push ? silentAfterSeconds(settings.push) : 0,
          registry,
          log,
        })
  const close = async () => {
    await discovery.close()
    await Promise.all([web.close(), poller.close(), inBand?.close(), forwarder?.close()])
  }
  const push =
    settings.push &&
    (await startPush({
      settings: settings.push,
      devices: () => poller.devices,
      forward: (readings) => forwarder?.add(readings),
      env,
      registry,
      log,
    }).catch(async (error: unknown) => {
      await close()
      throw error
    }))
  return {
    url: web.url,
    async close() {
      await push?.close()
      await close()
    },
  }
}

/** Where devices are looked for besides the settings; the file comes before HSM. */
function sourcesOf(
  { discovery: { file, hsm: hsmSettings } }: ExporterSettings,
  { log, env }: { log: Logger; env: NodeJS.ProcessEnv },
): DiscoverySource[] {
  return [
    ...(file ? [deviceFile(file)] : []),
    ...(hsmSettings ? [hsm(hsmSettings, { env, log, trust: createTrust() })] : []),
  ]
}
