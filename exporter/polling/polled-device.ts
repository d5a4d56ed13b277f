import { withKept } from '../devices/kept-readings.ts'
import type { Device, DeviceKind } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import type { RedfishClient } from '../redfish/client.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { withDeadline } from '../service/deadline.ts'
import type { Logger } from '../service/log.ts'
import { EarlyBodies } from '../telemetry/early.ts'
import type { PushedSample } from '../telemetry/events.ts'
import { type KnownDevice, Merge, type Merged } from '../telemetry/merge.ts'
import { DeviceRounds } from './device-rounds.ts'
import { type Failures, type Paces, type PollSettings, pauseSeconds } from './pace.ts'
import { type Probed, probe } from './probe.ts'
import { SharedRuns } from './shared.ts'
import type { SharedTexts } from './shared-texts.ts'
import { connectionReadings, counting, newTally, type Status, statusReadings } from './status.ts'
import type { Known } from './structure.ts'

export interface PolledDeviceOptions {
  device: Device
  client: RedfishClient
  /** Its paces and limits; they may change. */
  poll: PollSettings
  log: Logger
  /** Of all devices. */
  texts: SharedTexts
}

/** After so many failed polls in a row nothing of the device is shown, and it is looked at anew. */
const failuresToForget = 3

/** A poll that ended less than this ago is as good as one that is asked for now. */
const justPolledMs = 1000

/** What is done before its last connection ends may take so long. */
const farewellMs = 5000

/** One device that is polled: what it is, what it said last, how it does. */
export class PolledDevice {
  readonly device: Device
  /** Polls in a row of which no request was answered. */
  readonly failures: Failures = { inARow: 0, unauthorized: false }
  readonly #options: PolledDeviceOptions
  readonly #tally = newTally()
  readonly #rounds: DeviceRounds
  readonly #probes = new SharedRuns<Reading[]>()
  /** The last poll's error, if it was that the login is wrong: a probe must not try it too. */
  #refused: RedfishError | undefined
  #status: Status | undefined
  #readings: readonly Reading[] | undefined
  /** The last ones, true or not. */
  #shown: readonly Reading[] = []
  /** When the readings are no longer true, as `performance.now()` counts. */
  #readingsUntil = Number.POSITIVE_INFINITY
  #polledAt = Number.NEGATIVE_INFINITY
  #backOffUntil: Date | undefined
  /** What is to be done before it is left for good. */
  farewell: (() => Promise<unknown>) | undefined
  readonly #early = new EarlyBodies()
  readonly #merge = new Merge()
  #heardAt = Number.NEGATIVE_INFINITY

  constructor(options: PolledDeviceOptions) {
    this.device = options.device
    this.#options = options
    this.#rounds = new DeviceRounds({
      ...options,
      counted: (get) => counting(get, this.#tally),
      onAnswers: () => {
        this.#readings = undefined
      },
    })
  }

  get polled(): boolean {
    return this.#status !== undefined
  }

  /** Whether its last poll was answered. */
  get up(): boolean {
    return this.#status?.up ?? false
  }

  /** As the settings say, or as found. */
  get kind(): DeviceKind | undefined {
    return this.#rounds.kind
  }

  get paces(): Paces {
    return this.#rounds.paces
  }

  /** Everything known of it at present; the same array until something changes. */
  readings(): readonly Reading[] {
    if (performance.now() >= this.#readingsUntil) this.#readings = undefined
    this.#readings ??= this.#freshReadings()
    return this.#readings
  }

  /**
   * Takes in what it pushed at `receivedAt`; while it is not known what it has, that is kept. What
   * is pushed is not polled, until it has been silent for `silentAfterSeconds`.
   */
  hear(
    samples: readonly PushedSample[],
    { receivedAt, silentAfterSeconds }: { receivedAt: Date; silentAfterSeconds: number },
  ): Merged {
    const sensors = this.#sensors()
    if (sensors === undefined) return this.#early.keep(samples, receivedAt.getTime())
    const merged = this.#early.takenWith(samples, receivedAt.getTime(), (all, receivedMs) =>
      this.#merge.take(all, sensors, receivedMs),
    )
    if (merged.readings.length === 0) return merged
    this.#heardAt = receivedAt.getTime()
    this.#rounds.silentAfterMs = silentAfterSeconds * 1000
    this.#readings = undefined
    return merged
  }

  /** When its sensors took their present readings, see `Merge.times`. */
  sampleTimes(now: number): ReadonlyMap<string, number> {
    const sensors = this.#sensors()
    return sensors === undefined ? new Map() : this.#merge.times(sensors, now)
  }

  /** Whether it pushes at present. */
  get speaks(): boolean {
    return Date.now() - this.#heardAt < this.#rounds.silentAfterMs
  }

  /** Requests to it apart from its polls, counted with them. */
  get requests(): Pick<RedfishClient, 'get' | 'send'> {
    const { client } = this.#options
    return {
      get: this.#rounds.get,
      send: (...request) => {
        this.#tally.requests++
        return client.send(...request)
      },
    }
  }

  /** Leaves it alone for so many seconds from now, or longer if it was so before; 0 ends that. */
  hold(seconds: number): void {
    this.#rounds.hold.set(seconds)
    // What was read before it does not count as read after it.
    this.#polledAt = Number.NEGATIVE_INFINITY
    this.#readings = undefined
  }

  /** When the hold ends; undefined: there is none. */
  get heldUntil(): Date | undefined {
    const { remainingMs } = this.#rounds.hold
    return remainingMs > 0 ? new Date(Date.now() + remainingMs) : undefined
  }

  /** Resolves when it may be asked, or the signal comes. */
  async released(signal: AbortSignal): Promise<void> {
    await this.#rounds.released(signal)
  }

  /** Whether it failed so often that it is polled more seldom; its polls end that. */
  get backsOff(): boolean {
    return this.#backOffUntil !== undefined
  }

  /** Asks for power and energy, and looks after the rest when that is due; one poll at a time. */
  async poll(): Promise<void> {
    const rounds = this.#rounds
    rounds.polling ??= this.#poll().finally(() => {
      rounds.polling = undefined
      this.#polledAt = performance.now()
    })
    await rounds.polling
  }

  /** As `poll`, unless one has just ended; while it is held, when that is over. */
  async pollSoon(): Promise<void> {
    await this.#rounds.released()
    const justPolled = performance.now() - this.#polledAt < justPolledMs
    if (!justPolled && !this.#rounds.closed) await this.poll()
  }

  /** Reads some of its resources at once, as it told that they changed; others are left alone. */
  async readAgain(paths: readonly string[]): Promise<void> {
    await this.#rounds.readAgain(paths)
  }

  /** Seconds until the next poll, after the last has ended; `random` in [0, 1) is for jitter. */
  pauseSeconds(random: number): number {
    const { fastSeconds } = this.paces
    const pause = pauseSeconds(fastSeconds, this.failures, random)
    const backsOff = pause > fastSeconds
    if (backsOff || this.backsOff) this.#readings = undefined
    this.#backOffUntil = backsOff ? new Date(Date.now() + pause * 1000) : undefined
    return pause
  }

  /** With the next look at what it has, in so many seconds, it is asked what it is as well. */
  forgetIdentity(inSeconds: number): void {
    this.#rounds.forgetIdentity(inSeconds)
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

  /** As `close`, of a device that is ours no more. */
  async leave(): Promise<void> {
    const { farewell } = this
    if (farewell !== undefined) {
      await withDeadline(farewellMs, [], (signal) => Promise.race([farewell(), aborted(signal)]))
    }
    await this.close()
  }

  /** Ends what is in flight and waits for it. */
  async close(): Promise<void> {
    await this.#rounds.close()
  }

  #sensors(): KnownDevice | undefined {
    const { known, resources } = this.#rounds
    if (known === undefined) return undefined
    const { collector, paths } = known
    return { xname: this.device.xname, collector, paths, resources }
  }

  /** Without what is too old; time alone changes them then, and at the end of a hold. */
  #freshReadings(): readonly Reading[] {
    const { resources, hold, known } = this.#rounds
    const now = performance.now()
    const staleAt = resources.expire(this.#rounds.limitMs(), now)
    const heldMs = hold.remainingMs
    this.#readingsUntil = Math.min(staleAt, heldMs > 0 ? now + heldMs : Number.POSITIVE_INFINITY)
    const found = known?.collector.readings(this.device, resources.bodies()) ?? []
    const own = this.#ownReadings(this.#status, found.length)
    this.#shown = withKept(this.#shown, [...found, ...own])
    return this.#shown
  }

  #ownReadings(status: Status | undefined, shown?: number): Reading[] {
    const { xname } = this.device
    const own = {
      status,
      requests: { fast: status?.requests, ...this.#rounds.requests },
      shown,
      held: this.#rounds.hold.active,
      backOffUntil: this.#backOffUntil,
    }
    return [
      ...statusReadings(xname, this.#tally, own),
      ...connectionReadings(xname, this.#options.client.state()),
    ]
  }

  async #poll(): Promise<void> {
    const startedAt = performance.now()
    let requests = 0
    let allBroken = false
    const fault = await faultOf(async () => {
      const { asked, answered, silent, fault } = await this.#rounds.fast()
      requests = asked
      allBroken = answered === 0 && silent === 0
      return answered > 0 ? undefined : fault
    })
    this.#readings = undefined
    if (this.#rounds.closed) return
    // Held before it was asked anything: that tells nothing of it.
    if (fault === undefined && requests === 0 && this.#rounds.hold.active) return
    const seconds = (performance.now() - startedAt) / 1000
    const wasUp = this.up
    this.#status = this.#statusAfter({ fault, requests, seconds })
    if (fault === undefined) this.#answered()
    else if (allBroken) this.#broken(fault, wasUp)
    else return this.#failed(fault)
    this.#rounds.startRest()
  }

  #statusAfter({ fault, requests, seconds }: PollEnd): Status {
    return {
      up: fault === undefined,
      durationSeconds: seconds,
      requests,
      answeredAt: fault === undefined ? new Date() : this.#status?.answeredAt,
    }
  }

  #answered(): void {
    const { log } = this.#options
    if (this.failures.inARow > 0) log.info({ xname: this.device.xname }, 'device answers again')
    this.failures.inARow = 0
    this.failures.unauthorized = false
    this.#refused = undefined
  }

  /** It answers, but none of what it has for power and energy: it may have others by now. */
  #broken(error: RedfishError, wasUp: boolean): void {
    if (!wasUp) return
    const { xname } = this.device
    this.#options.log.warn({ xname, error }, 'device gives no power and energy')
    this.forgetIdentity(0)
  }

  #failed(error: RedfishError): void {
    const { log } = this.#options
    const { xname } = this.device
    if (this.failures.inARow === 0) log.warn({ xname, error }, 'device does not answer')
    this.failures.inARow++
    this.failures.unauthorized = error.kind === 'unauthorized'
    this.#refused = this.failures.unauthorized ? error : undefined
    if (this.failures.inARow >= failuresToForget && !this.speaks) this.#rounds.forget()
  }

  async #probe(module: 'all' | 'power', signal: AbortSignal): Promise<Reading[]> {
    const { client, poll } = this.#options
    const rounds = this.#rounds
    const startedAt = performance.now()
    const get = rounds.spaced((path) => client.get(path, signal))
    const probed = await probe({
      device: this.device,
      module,
      signal,
      perDevice: poll.perDevice,
      get,
      known: () => this.#knownFor(get, signal),
      cached: () => ({
        good: rounds.resources.youngerThan(rounds.goodMs()),
        shown: rounds.resources.youngerThan(rounds.limitMs()),
      }),
      expansion: rounds.expansion,
      held: rounds.hold.active,
    })
    const seconds = (performance.now() - startedAt) / 1000
    const shown = module === 'all' ? probed.readings.length : undefined
    return [...probed.readings, ...this.#ownReadings(this.#probeStatus(probed, seconds), shown)]
  }

  /** What was cut short or not asked at all is as the last poll found it. */
  #probeStatus({ asked, answered, cached, fault }: Probed, seconds: number): Status {
    const last = this.#status
    if (answered === 0 && cached > 0 && last)
      return { ...last, durationSeconds: seconds, requests: asked }
    return this.#statusAfter({ fault, requests: asked, seconds })
  }

  /** A probe does not ask once more what the poll that runs is asking. */
  async #knownFor(get: Get, signal: AbortSignal): Promise<Known> {
    const rounds = this.#rounds
    if (rounds.known === undefined && rounds.polling) {
      await Promise.race([rounds.polling.catch(() => {}), aborted(signal)])
    }
    if (this.#refused) throw this.#refused
    if (rounds.known === undefined && rounds.hold.active) {
      const where = { xname: this.device.xname, path: '/' }
      throw new RedfishError('unreachable', where, 'held before it was known')
    }
    return rounds.known ?? (await rounds.discover(get))
  }
}

interface PollEnd {
  fault: RedfishError | undefined
  requests: number
  seconds: number
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

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
