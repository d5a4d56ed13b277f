import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { Counter, Gauge, type Registry } from 'prom-client'
import { errorText, type Logger } from '../service/log.ts'
import { isInShard, type Shard } from './shard.ts'
import type { Device } from './static.ts'

/** Where devices may stand besides the settings. */
export interface DiscoverySource {
  name: 'file' | 'hsm'
  /** Its settings: another source of the same ones need not be started anew. */
  settings: object
  everySeconds: number
  /** All that it has now. @throws {Error} when that cannot be told. */
  read(signal: AbortSignal): Promise<readonly Device[]>
  /** What it had before the start, for the time until it is read. */
  last?(): Promise<readonly Device[]>
}

/** What may change while it runs. */
export interface Wanted {
  /** Of the settings: these are always there. */
  devices: readonly Device[]
  /** Of a device that stands in several, the first counts; the settings come before all. */
  sources: readonly DiscoverySource[]
}

export interface DiscoveryOptions extends Wanted {
  /** Absent: all devices. */
  shard?: Shard | undefined
  registry: Registry
  log: Logger
  /** Told all devices, first at the start and then whenever a source has others. */
  onDevices: (devices: readonly Device[]) => void
}

export interface Discovery {
  /** Goes by these from now on. A source with other settings keeps what it had until it is read. */
  update(wanted: Wanted): Promise<void>
  close(): Promise<void>
}

/**
 * Looks for devices for as long as it runs. A source that fails keeps what it had last, and says
 * why: once in the log for each new reason, and in a metric. Resolves when the device file has been
 * read; it does not wait for what is far away.
 */
export async function startDiscovery(options: DiscoveryOptions): Promise<Discovery> {
  const search = new Search(options)
  await search.update(options)
  return search
}

interface Running {
  source: DiscoverySource
  ending: AbortController
  loop: Promise<void>
}

class Search implements Discovery {
  readonly #options: DiscoveryOptions
  readonly #metrics: ReturnType<typeof createMetrics>
  #own: readonly Device[] = []
  /** By source, in the order in which they count. */
  #found = new Map<string, readonly Device[]>()
  readonly #running = new Map<string, Running>()
  readonly #faults = new Map<string, string>()
  #updating: Promise<void> = Promise.resolve()

  constructor(options: DiscoveryOptions) {
    this.#options = options
    this.#metrics = createMetrics(options.registry)
  }

  /** One after the other. */
  update(wanted: Wanted): Promise<void> {
    this.#updating = this.#updating.then(() => this.#update(wanted))
    return this.#updating
  }

  async close(): Promise<void> {
    await this.#updating.catch(() => {})
    await Promise.all([...this.#running.keys()].map((name) => this.#end(name)))
  }

  async #update({ devices, sources }: Wanted): Promise<void> {
    const given = new Map<string, DiscoverySource>(sources.map((each) => [each.name, each]))
    for (const name of this.#running.keys()) if (!given.has(name)) await this.#leave(name)
    const fresh = sources.filter(
      ({ name, settings }) =>
        !isDeepStrictEqual(this.#running.get(name)?.source.settings, settings),
    )
    await Promise.all(fresh.map(({ name }) => this.#end(name)))
    const last = await Promise.all(
      sources.map(async ({ name, last }) => {
        return [name, this.#found.get(name) ?? (await last?.()) ?? []] as const
      }),
    )
    this.#own = devices
    this.#found = new Map(last)
    for (const { name } of fresh) this.#metrics.failures.inc({ source: name }, 0)
    await Promise.all(fresh.filter(isNear).map((each) => this.#read(each, unending)))
    this.#tell()
    for (const source of fresh) this.#start(source)
  }

  #start(source: DiscoverySource): void {
    const ending = new AbortController()
    const { signal } = ending
    const keepReading = async () => {
      if (!isNear(source)) await this.#read(source, signal)
      while (await waited(source.everySeconds, signal)) await this.#read(source, signal)
    }
    this.#running.set(source.name, { source, ending, loop: keepReading() })
  }

  async #end(name: string): Promise<void> {
    const running = this.#running.get(name)
    running?.ending.abort()
    await running?.loop
    this.#running.delete(name)
  }

  async #leave(name: string): Promise<void> {
    await this.#end(name)
    const { devices, up, successAt, failures } = this.#metrics
    for (const metric of [devices, up, successAt, failures]) metric.remove({ source: name })
    this.#faults.delete(name)
  }

  #tell(): void {
    const lists = new Map([['settings', this.#own], ...this.#found])
    for (const [source, devices] of lists) this.#metrics.devices.set({ source }, devices.length)
    this.#options.onDevices(united([...lists.values()], this.#options.shard))
  }

  async #read(source: DiscoverySource, signal: AbortSignal): Promise<void> {
    const { name } = source
    const { log } = this.#options
    try {
      const devices = await source.read(signal)
      this.#metrics.up.set({ source: name }, 1)
      this.#metrics.successAt.set({ source: name }, Date.now() / 1000)
      if (this.#faults.delete(name)) log.info({ source: name }, 'devices found again')
      if (devices === this.#found.get(name) || signal.aborted) return
      this.#found.set(name, devices)
      this.#tell()
    } catch (error) {
      if (signal.aborted) return
      this.#metrics.up.set({ source: name }, 0)
      this.#metrics.failures.inc({ source: name })
      if (this.#faults.get(name) !== errorText(error)) {
        log.error({ source: name, error }, 'devices cannot be read, the last known are kept')
      }
      this.#faults.set(name, errorText(error))
    }
  }
}

/** A file is read before the first poll. */
function isNear({ name }: DiscoverySource): boolean {
  return name === 'file'
}

const unending = new AbortController().signal

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
