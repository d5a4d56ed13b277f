import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Gauge, type Registry } from 'prom-client'
import { errorText, type Logger } from '../service/log.ts'
import { isInShard, type Shard } from './shard.ts'
import type { Device } from './static.ts'

/** Where devices may stand besides the settings. */
export interface DiscoverySource {
  name: 'file' | 'hsm'
  everySeconds: number
  /** All that it has now. @throws {Error} when that cannot be told. */
  read(signal: AbortSignal): Promise<readonly Device[]>
}

export interface DiscoveryOptions {
  /** Of the settings: these are always there. */
  devices: readonly Device[]
  /** Of a device that stands in several, the first counts; the settings come before all. */
  sources: readonly DiscoverySource[]
  /** Absent: all devices. */
  shard?: Shard | undefined
  registry: Registry
  log: Logger
  /** Told all devices, first at the start and then whenever a source has others. */
  onDevices: (devices: readonly Device[]) => void
}

export interface Discovery {
  close(): Promise<void>
}

/**
 * Looks for devices for as long as it runs. A source that fails keeps what it had last, and says
 * why: once in the log for each new reason, and in a metric. Resolves when the device file has been
 * read; it does not wait for what is far away.
 */
export async function startDiscovery(options: DiscoveryOptions): Promise<Discovery> {
  const { sources, onDevices, log } = options
  const metrics = createMetrics(options.registry)
  const found = new Map<string, readonly Device[]>([['settings', options.devices]])
  const tell = () => {
    for (const [source, devices] of found) metrics.devices.set({ source }, devices.length)
    onDevices(united([...found.values()], options.shard))
  }
  const faults = new Map<string, string>()
  const closing = new AbortController()
  const { signal } = closing
  const readOnce = async (source: DiscoverySource) => {
    const { name } = source
    try {
      const devices = await source.read(signal)
      metrics.up.set({ source: name }, 1)
      metrics.successAt.set({ source: name }, Date.now() / 1000)
      if (faults.delete(name)) log.info({ source: name }, 'devices found again')
      if (devices === found.get(name)) return
      found.set(name, devices)
      tell()
    } catch (error) {
      if (signal.aborted) return
      metrics.up.set({ source: name }, 0)
      metrics.failures.inc({ source: name })
      if (faults.get(name) !== errorText(error)) {
        log.error({ source: name, error }, 'devices cannot be read, the last known are kept')
      }
      faults.set(name, errorText(error))
    }
  }
  for (const { name } of sources) {
    found.set(name, [])
    metrics.failures.inc({ source: name }, 0)
  }
  const near = sources.filter(({ name }) => name === 'file')
  await Promise.all(near.map(readOnce))
  tell()
  const loops = sources.map(async (source) => {
    if (!near.includes(source)) await readOnce(source)
    while (await waited(source.everySeconds, signal)) await readOnce(source)
  })
  return {
    async close() {
      closing.abort()
      await Promise.all(loops)
    },
  }
}

/** Every device once, those of other shards left out. */
function united(lists: readonly (readonly Device[])[], shard: Shard | undefined): Device[] {
  const devices = new Map<string, Device>()
  for (const device of lists.flat()) {
    if (!devices.has(device.xname)) devices.set(device.xname, device)
  }
  return [...devices.values()].filter(({ xname }) => !shard || isInShard(xname, shard))
}

function createMetrics(registry: Registry) {
  const common = { labelNames: ['source'] as const, registers: [registry] }
  return {
    devices: new Gauge({
      name: 'joulebridge_discovery_devices',
      help: 'Devices that a source has, those of other shards included.',
      ...common,
    }),
    up: new Gauge({
      name: 'joulebridge_discovery_up',
      help: 'Whether the device file or HSM was read and valid when it was last looked at.',
      ...common,
    }),
    successAt: new Gauge({
      name: 'joulebridge_discovery_last_success_timestamp_seconds',
      help: 'Unix time at which the device file or HSM was last read and valid.',
      ...common,
    }),
    failures: new Counter({
      name: 'joulebridge_discovery_failures_total',
      help: 'Looks at the device file or HSM that failed; the log says why.',
      ...common,
    }),
  }
}

/** False when the signal came first. */
async function waited(seconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(seconds * 1000, undefined, { signal })
    return true
  } catch {
    return false
  }
}
