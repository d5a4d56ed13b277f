import { setMaxListeners } from 'node:events'
import { type Collector, collectorFor, type Plan } from '../devices/kinds.ts'
import type { Device, DeviceKind } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import type { RedfishClient } from '../redfish/client.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { withDeadline } from '../service/deadline.ts'
import type { Logger } from '../service/log.ts'
import type { PushedSample } from '../telemetry/events.ts'
import { Merge, type Merged } from '../telemetry/merge.ts'
import { Resources } from './resources.ts'
import { fetchAll } from './round.ts'
import { SharedRuns } from './shared.ts'
import { Spacing } from './spacing.ts'
import { connectionReadings, counting, newTally, type Status, statusReadings } from './status.ts'

export interface PolledDeviceOptions {
  device: Device
  client: RedfishClient
  /** The most requests at once; a kind that bears fewer gets fewer. */
  perDevice: number
  slowSeconds: number
  /** Between requests to a device of a kind that needs it. */
  gapSeconds: number
  log: Logger
}

/** After so many failed polls in a row nothing of the device is shown, and it is looked at anew. */
const failuresToForget = 3
const planSeconds = 3600

interface Known {
  collector: Collector
  plan: Plan
  atOnce: number
  plannedAt: number
  /** What the plan polls again and again. */
  paths: readonly string[]
}

/** One device that is polled: what it is, what it said last, how it does. */
export class PolledDevice {
  readonly device: Device
  /** Polls in a row of which no request was answered. */
  readonly failures = { inARow: 0, unauthorized: false }
  readonly #options: PolledDeviceOptions
  readonly #resources = new Resources()
  readonly #tally = newTally()
  readonly #spacing = new Spacing()
  readonly #get: Get
  readonly #probes = new SharedRuns<Reading[]>()
  /** The last poll's error, if it was that the login is wrong: a probe must not try it too. */
  #refused: RedfishError | undefined
  #known: Known | undefined
  #status: Status | undefined
  #readings: readonly Reading[] | undefined
  #slow: Promise<void> | undefined
  #slowStartedAt = Number.NEGATIVE_INFINITY
  readonly #merge = new Merge()
  #heardAt = Number.NEGATIVE_INFINITY
  #silentAfterMs = 0

  constructor(options: PolledDeviceOptions) {
    this.device = options.device
    this.#options = options
    this.#get = this.#spaced((path) => options.client.get(path))
  }

  get polled(): boolean {
    return this.#status !== undefined
  }

  /** As the settings say, or as found. */
  get kind(): DeviceKind | undefined {
    return this.device.kind ?? this.#known?.collector.kind
  }

  /** Everything known of it at present; the same array until something changes. */
  readings(): readonly Reading[] {
    this.#readings ??= [
      ...(this.#known?.collector.readings(this.device, this.#resources.bodies()) ?? []),
      ...statusReadings(this.device.xname, this.#tally, this.#status),
      ...connectionReadings(this.device.xname, this.#options.client.state()),
    ]
    return this.#readings
  }

  /**
   * Takes in what it pushed at `receivedAt`; undefined while it is not known what it has. What is
   * pushed is not polled, until it has been silent for `silentAfterSeconds`.
   */
  hear(
    samples: readonly PushedSample[],
    { receivedAt, silentAfterSeconds }: { receivedAt: Date; silentAfterSeconds: number },
  ): Merged | undefined {
    if (this.#known === undefined) return undefined
    const { collector, paths } = this.#known
    const known = { xname: this.device.xname, collector, paths, resources: this.#resources }
    const merged = this.#merge.take(samples, known, receivedAt.getTime())
    if (merged.readings.length === 0) return merged
    this.#heardAt = receivedAt.getTime()
    this.#silentAfterMs = silentAfterSeconds * 1000
    this.#readings = undefined
    return merged
  }

  /** Whether it pushes at present. */
  get speaks(): boolean {
    return Date.now() - this.#heardAt < this.#silentAfterMs
  }

  /** Requests to it apart from its polls, counted with them. */
  get requests(): Pick<RedfishClient, 'get' | 'send'> {
    const { client } = this.#options
    return {
      get: this.#get,
      send: (...request) => {
        this.#tally.requests++
        return client.send(...request)
      },
    }
  }

  /** Asks for power and energy, and looks after the rest when that is due. */
  async poll(): Promise<void> {
    const startedAt = Date.now()
    const fault = await this.#pollFast()
    this.#status = this.#statusAfter(startedAt, fault)
    if (fault === undefined) this.#answered()
    else this.#failed(fault)
    this.#readings = undefined
    if (fault === undefined) this.#startSlow()
  }

  /**
   * Asks the device now, apart from its polls, for at most `milliseconds`; those who ask the same
   * meanwhile share it. When all of them have `left`, it is given up.
   */
  probe(
    module: 'all' | 'power',
    { milliseconds, left }: { milliseconds: number; left: AbortSignal },
  ): Promise<Reading[]> {
    return this.#probes.run(module, left, (givenUp) =>
      withDeadline(milliseconds, [givenUp], (signal) => this.#probe(module, signal)),
    )
  }

  /** Ends what is in flight and waits for it. */
  async close(): Promise<void> {
    await Promise.all([this.#options.client.close(), this.#slow])
  }

  #spaced(get: Get): Get {
    return this.#spacing.around(counting(get, this.#tally))
  }

  async #pollFast(): Promise<RedfishError | undefined> {
    return await faultOf(async () => {
      const { plan, atOnce } = await this.#look()
      const options = { get: this.#get, atOnce, resources: this.#resources }
      const due = this.#due(plan.fast, this.#silentAfterMs)
      if (due.length === 0) return undefined
      const { answered, fault } = await fetchAll(due, options)
      return answered > 0 ? undefined : fault
    })
  }

  /** All but what the device pushes. */
  #due(paths: readonly string[], withinMs: number): readonly string[] {
    const now = Date.now()
    return paths.filter((path) => !this.#resources.isHeard(path, withinMs, now))
  }

  /** What the device is and has, looked up anew each hour. */
  async #look(): Promise<Known> {
    const known = this.#known
    if (known && Date.now() - known.plannedAt < planSeconds * 1000) return known
    this.#known = await this.#discover(this.#get)
    const { plan, atOnce } = this.#known
    const once = plan.once ?? []
    this.#resources.keepOnly(new Set([...plan.fast, ...plan.slow, ...once]))
    await fetchAll(once, { get: this.#get, atOnce, resources: this.#resources })
    return this.#known
  }

  async #discover(get: Get): Promise<Known> {
    const collector = await collectorFor(this.device, get)
    this.#spacing.gapSeconds = collector.spaced ? this.#options.gapSeconds : 0
    const plan = await collector.plan(get)
    const atOnce = Math.min(this.#options.perDevice, collector.requestsAtOnce ?? Infinity)
    this.#options.client.allow(atOnce)
    const paths = [...plan.fast, ...plan.slow]
    return { collector, plan, atOnce, plannedAt: Date.now(), paths }
  }

  #statusAfter(startedAt: number, fault: RedfishError | undefined): Status {
    const now = Date.now()
    return {
      up: fault === undefined,
      durationSeconds: (now - startedAt) / 1000,
      answeredAt: fault === undefined ? new Date(now) : this.#status?.answeredAt,
    }
  }

  #answered(): void {
    const { log } = this.#options
    if (this.failures.inARow > 0) log.info({ xname: this.device.xname }, 'device answers again')
    this.failures.inARow = 0
    this.failures.unauthorized = false
    this.#refused = undefined
  }

  #failed(error: RedfishError): void {
    const { log } = this.#options
    const { xname } = this.device
    if (this.failures.inARow === 0) log.warn({ xname, error }, 'device does not answer')
    this.failures.inARow++
    this.failures.unauthorized = error.kind === 'unauthorized'
    this.#refused = this.failures.unauthorized ? error : undefined
    if (this.failures.inARow < failuresToForget || this.speaks) return
    this.#resources.clear()
    this.#known = undefined
  }

  /** One round of the slow resources at a time, beside the polls and with a request to spare. */
  #startSlow(): void {
    const known = this.#known
    const due = this.#slowStartedAt + this.#options.slowSeconds * 1000
    if (known === undefined || this.#slow !== undefined || Date.now() < due) return
    this.#slowStartedAt = Date.now()
    this.#slow = this.#pollSlow(known)
      .catch((error: unknown) => {
        this.#options.log.error({ xname: this.device.xname, error }, 'poll broke')
      })
      .finally(() => {
        this.#slow = undefined
        this.#readings = undefined
      })
  }

  async #pollSlow({ plan, atOnce }: Known): Promise<void> {
    const options = { get: this.#get, atOnce: Math.max(1, atOnce - 1), resources: this.#resources }
    const withinMs = Math.max(this.#options.slowSeconds * 1000, this.#silentAfterMs)
    const { fault } = await fetchAll(this.#due(plan.slow, withinMs), options)
    if (fault) this.#options.log.debug({ xname: this.device.xname, error: fault }, 'part missing')
  }

  async #probe(module: 'all' | 'power', signal: AbortSignal): Promise<Reading[]> {
    const startedAt = Date.now()
    // Every request in flight listens to it.
    setMaxListeners(0, signal)
    const resources = new Resources()
    const get = this.#spaced((path) => this.#options.client.get(path, signal))
    let collector: Collector | undefined
    const fault = await faultOf(async () => {
      if (this.#refused) return this.#refused
      const known = this.#known ?? (await this.#discover(get))
      collector = known.collector
      const { plan, atOnce } = known
      const { fast, once = [], slow } = plan
      const paths = module === 'all' ? [...fast, ...once, ...slow] : [...fast, ...once]
      const round = await fetchAll(paths, { get, atOnce, resources })
      return round.answered > 0 ? undefined : round.fault
    })
    const status = this.#statusAfter(startedAt, fault)
    return [
      ...(collector?.readings(this.device, resources.bodies()) ?? []),
      ...statusReadings(this.device.xname, this.#tally, status),
      ...connectionReadings(this.device.xname, this.#options.client.state()),
    ]
  }
}

async function faultOf(
  work: () => Promise<RedfishError | undefined>,
): Promise<RedfishError | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RedfishError) return error
    throw error
  }
}
