import { isDeepStrictEqual } from 'node:util'
import { Registry } from 'prom-client'
import { exporterApp } from './app.ts'
import { type DiscoverySource, startDiscovery } from './inventory/discovery.ts'
import { deviceFile } from './inventory/file.ts'
import { hsm } from './inventory/hsm.ts'
import { keeping } from './inventory/kept.ts'
import { createLeases } from './leases/leases.ts'
import { leaseRoutes } from './leases/routes.ts'
import { startPmCounters } from './polling/pm-counters.ts'
import { startPoller } from './polling/poller.ts'
import { createTrust } from './redfish/trust.ts'
import { listen, registerProcessMetrics, type Service } from './service/http.ts'
import type { Logger } from './service/log.ts'
import { watchSettings } from './service/reload.ts'
import type { ExporterSettings } from './settings.ts'
import { startForwarder } from './telemetry/forwarder.ts'
import { type Push, silentAfterSeconds, startPush } from './telemetry/push.ts'

export interface ExporterContext {
  log: Logger
  env: NodeJS.ProcessEnv
  /** Where the settings stand, to read them again; absent: they stay as they are. */
  source?: { file: string; read: () => Promise<ExporterSettings> } | undefined
}

/** Polls the devices and shows their readings; `close` ends all requests and connections. */
export async function startExporter(
  settings: ExporterSettings,
  { log, env, source }: ExporterContext,
): Promise<Service> {
  const { devices, credentials, poll, forward, pmCounters, shard } = settings
  let present = settings
  const registry = new Registry()
  registerProcessMetrics(registry)
  const poller = startPoller({ credentials, poll, env, registry, log })
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
  const leases = createLeases({ devices: poller.devices, registry, log })
  const routes = leaseRoutes({ leases, token: () => present.token, env })
  const app = exporterApp({ devices: poller.devices, inBand, leases: routes, registry, log })
  const web = await listen(app, settings.web.listenAddress).catch(async (error: unknown) => {
    await discovery.close()
    await Promise.all([poller.close(), inBand?.close()])
    throw error
  })
  let push: Push | undefined
  const forwarder =
    forward.url === undefined
      ? undefined
      : startForwarder({
          url: forward.url,
          intervalSeconds: forward.intervalSeconds,
          mostWaitingBytes: forward.queueMegabytes * 1e6,
          targetLabels: { job: forward.job, instance: forward.instance },
          readings: () => [
            ...poller.devices.flatMap((device) => device.readings()),
            ...(inBand?.readings() ?? []),
          ],
          times: (now) => push?.times(now) ?? new Map(),
          pushedForSeconds: settings.push ? silentAfterSeconds(settings.push) : 0,
          registry,
          log,
        })
  const close = async () => {
    await discovery.close()
    await Promise.all([web.close(), poller.close(), inBand?.close(), forwarder?.close()])
  }
  push =
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
  const apply = async () => {
    const next = await source?.read()
    if (next === undefined) return
    warnOfFixed(settings, next, log)
    poller.configure(next)
    present = next
    await discovery.update({ devices: next.devices, sources: sourcesOf(next, { log, env }) })
  }
  const everySeconds = settings.reloadSeconds
  const reload = source && watchSettings({ file: source.file, everySeconds, apply, registry, log })
  return {
    url: web.url,
    ...(reload && { reload: () => reload.now() }),
    async close() {
      await reload?.close()
      await push?.close()
      await close()
    },
  }
}

/** What is built once: other settings of these count after a restart only. */
const fixed = {
  log: 'log',
  web: 'exporter.web',
  shard: 'exporter.shard',
  push: 'exporter.push',
  forward: 'exporter.forward',
  pmCounters: 'exporter.pm_counters',
  reloadSeconds: 'exporter.reload_seconds',
} as const satisfies Partial<Record<keyof ExporterSettings, string>>

function warnOfFixed(settings: ExporterSettings, next: ExporterSettings, log: Logger): void {
  const names = (Object.keys(fixed) as (keyof typeof fixed)[]).filter(
    (name) => !isDeepStrictEqual(settings[name], next[name]),
  )
  if (names.length === 0) return
  log.warn({ settings: names.map((name) => fixed[name]) }, 'changed settings that need a restart')
}

/** Where devices are looked for besides the settings; the file comes before HSM. */
function sourcesOf(
  { discovery, stateDirectory }: ExporterSettings,
  { log, env }: Pick<ExporterContext, 'log' | 'env'>,
): DiscoverySource[] {
  const { file, hsm: hsmSettings } = discovery
  const far = hsmSettings && hsm(hsmSettings, { env, log, trust: createTrust() })
  const kept = far && stateDirectory !== undefined ? keeping(far, stateDirectory, log) : far
  return [...(file ? [deviceFile(file)] : []), ...(kept ? [kept] : [])]
}
