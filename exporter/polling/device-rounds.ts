import type { Device, DeviceKind } from '../inventory/static.ts'
import type { RedfishClient } from '../redfish/client.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import type { Logger } from '../service/log.ts'
import { Expansion } from './expansion.ts'
import { Hold } from './hold.ts'
import { Looks } from './looking.ts'
import { limitSeconds, type Paces, type PollSettings, pacesOf, type Round } from './pace.ts'
import { PacedRound, type RoundEnd } from './paced-round.ts'
import { Resources } from './resources.ts'
import { fetchAll, type Outcome } from './round.ts'
import { Selection } from './selection.ts'
import type { SharedTexts } from './shared-texts.ts'
import { Spacing } from './spacing.ts'
import { findStructure, type Known, limitsOf } from './structure.ts'

export interface DeviceRoundsOptions {
  device: Device
  client: RedfishClient
  /** Counts the requests. */
  counted: (get: Get) => Get
  /** Its paces and limits; they may change. */
  poll: PollSettings
  log: Logger
  texts: SharedTexts
  /** Told when there are other answers than before. */
  onAnswers: () => void
}

/**
 * What is asked of one device, and in which order: power and energy first, then states, then what
 * it has, then the slow rest. A round waits before each request while a more urgent one runs.
 */
export class DeviceRounds {
  readonly resources: Resources
  readonly hold = new Hold()
  expansion = new Expansion()
  readonly get: Get
  known: Known | undefined
  /** The poll of power and energy that runs. */
  polling: Promise<void> | undefined
  #fastSeconds = 0
  #fastStartedAt = Number.NEGATIVE_INFINITY
  /** What a device pushes is not polled until it has been silent for so long. */
  silentAfterMs = 0
  readonly #options: DeviceRoundsOptions
  readonly #spacing = new Spacing()
  #looks = new Looks()
  #selection: Selection
  readonly #closing = new AbortController()
  readonly #state = new PacedRound()
  readonly #structure = new PacedRound()
  readonly #slow = new PacedRound()
  /** What the last round did not come to. */
  readonly #unasked = new Map<Round, ReadonlySet<string>>()
  #identityDue = false

  constructor(options: DeviceRoundsOptions) {
    this.#options = options
    this.resources = new Resources(options.texts)
    this.#selection = this.#newSelection()
    this.get = this.spaced((path) => options.client.get(path))
  }

  /** As the settings say, or as found. */
  get kind(): DeviceKind | undefined {
    return this.#options.device.kind ?? this.known?.collector.kind
  }

  get paces(): Paces {
    return pacesOf(this.#options.poll, this.kind)
  }

  get closed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Requests of the last rounds; what has not been asked yet is undefined. */
  get requests() {
    return {
      state: this.#state.requests,
      structure: this.#structure.requests,
      slow: this.#slow.requests,
    }
  }

  /** `get`, counted and with the pauses that the device needs. */
  spaced(get: Get): Get {
    return this.#spacing.around(this.#options.counted(get))
  }

  /**
   * Power and energy, of a device that is not known yet after all that it has.
   * @throws {RedfishError} when that cannot be found out.
   */
  async fast(): Promise<Outcome> {
    this.#fastStartedAt = performance.now()
    const known = this.known ?? (await this.#lookFirst())
    const outcome = await this.#fetch('fast', known.plan.fast, async () => !this.hold.active)
    this.#fastSeconds = (performance.now() - this.#fastStartedAt) / 1000
    return outcome
  }

  /** Starts the other rounds where they are due; they go on beside the polls. */
  startRest(): void {
    const { stateSeconds, slowSeconds, structureSeconds } = this.paces
    const [state, structure, slow] = [this.#state, this.#structure, this.#slow]
    state.startIfDue(stateSeconds, () => this.#guarded(() => this.#rest('state', [])))
    structure.startIfDue(structureSeconds, () => this.#guarded(() => this.#lookAgain([state])))
    slow.startIfDue(slowSeconds, () => this.#guarded(() => this.#rest('slow', [state, structure])))
  }

  /** Reads some of what it has, apart from the rounds, when it is not held. */
  async readAgain(paths: readonly string[]): Promise<void> {
    await this.released()
    if (this.closed) return
    const polled = paths.filter((path) => this.known?.roundOf.has(path))
    await fetchAll(polled, { get: this.get, atOnce: 1, resources: this.resources })
    this.#options.onAnswers()
  }

  /** What the device is and has; also for a probe of one that is not known yet. */
  async discover(get: Get, collector?: Known['collector']): Promise<Known> {
    const { client, poll, device, texts } = this.#options
    return await findStructure(device, {
      get,
      collector,
      looks: this.#looks,
      texts,
      onCollector: (found) => {
        this.#spacing.gapSeconds = found.spaced ? poll.gapSeconds : 0
        client.allow(limitsOf({ collector: found }, poll.perDevice).atOnce)
      },
    })
  }

  /** Resolves when it is not held, or the signal comes. */
  async released(signal = this.#closing.signal): Promise<void> {
    await this.hold.over(signal)
  }

  /** Forgets all of it: whatever answers there next may be another device. */
  forget(): void {
    this.resources.clear()
    this.known = undefined
    this.expansion = new Expansion()
    this.#looks = new Looks()
    this.#selection = this.#newSelection()
    for (const round of [this.#state, this.#slow]) round.dueIn(0)
  }

  /** With the next look at what it has, in so many seconds, it is asked what it is as well. */
  forgetIdentity(inSeconds: number): void {
    this.#identityDue = true
    this.#structure.dueIn(inSeconds)
  }

  /**
   * How old what a path gave may get until it is shown no more, in milliseconds. A device that
   * pushes may be silent for a while before it is polled again.
   */
  limitMs(): (path: string) => number {
    const limitMs = this.#byRound(limitSeconds)
    return (path) => limitMs(path) + this.silentAfterMs
  }

  /**
   * Up to which age it is as good as asked now: what does not change while the device runs, and
   * all of a device that needs pauses.
   */
  goodMs(): (path: string) => number {
    const good = this.#byRound((paceSeconds, roundSeconds) => paceSeconds + roundSeconds)
    if (this.#spacing.gapSeconds > 0) return good
    return (path) => (this.known?.roundOf.get(path) === 'structure' ? good(path) : 0)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const rest = [this.#state, this.#structure, this.#slow].map(({ running }) => running)
    await Promise.all([this.#options.client.close(), this.polling?.catch(() => {}), ...rest])
  }

  #newSelection(): Selection {
    const wholeEveryMs = () => this.paces.slowSeconds * 1000
    return new Selection({ resources: this.resources, wholeEveryMs })
  }

  #byRound(seconds: (paceSeconds: number, roundSeconds: number) => number) {
    const { fastSeconds, stateSeconds, slowSeconds, structureSeconds } = this.paces
    const sinceStart = (performance.now() - this.#fastStartedAt) / 1000
    const took = this.polling ? Math.max(this.#fastSeconds, sinceStart) : this.#fastSeconds
    const ms: Record<Round, number> = {
      fast: seconds(fastSeconds, took) * 1000,
      state: seconds(stateSeconds, this.#state.seconds) * 1000,
      slow: seconds(slowSeconds, this.#slow.seconds) * 1000,
      structure: seconds(structureSeconds, this.#structure.seconds) * 1000,
    }
    return (path: string) => ms[this.known?.roundOf.get(path) ?? 'slow']
  }

  /** What of a round is due, the remainder of the last first, but not what the device pushes. */
  async #fetch(
    round: Round,
    paths: readonly string[],
    mayGoOn: () => Promise<boolean>,
  ): Promise<Outcome> {
    const { known, resources } = this
    const atOnce = known ? limitsOf(known, this.#options.poll.perDevice).atOnce : 1
    const slowMs = round === 'slow' ? this.paces.slowSeconds * 1000 : 0
    const withinMs = Math.max(slowMs, this.silentAfterMs)
    const outcome = await fetchAll(this.#inOrder(round, paths), {
      get: this.get,
      // A request to spare for power and energy, where the device takes several.
      atOnce: round === 'fast' ? atOnce : Math.max(1, atOnce - 1),
      resources,
      mayGoOn,
      expansion: this.expansion,
      selection: round === 'fast' ? this.#selection : undefined,
      isDue: (path) => !resources.isHeard(path, withinMs, Date.now()),
    })
    this.#unasked.set(round, new Set(outcome.unasked))
    this.#options.onAnswers()
    return outcome
  }

  #inOrder(round: Round, paths: readonly string[]): readonly string[] {
    const first = this.#unasked.get(round)
    if (!first?.size) return paths
    return [...paths.filter((path) => first.has(path)), ...paths.filter((path) => !first.has(path))]
  }

  /** Without that, nothing can be asked for. */
  async #lookFirst(): Promise<Known> {
    const known = await this.discover(this.get)
    const { structureSeconds, slowSeconds } = this.paces
    this.#structure.dueIn(known.complete ? structureSeconds : slowSeconds)
    this.#know(known)
    await this.#fetch('structure', known.plan.once ?? [], async () => !this.hold.active)
    return known
  }

  #know(known: Known): void {
    this.known = known
    this.expansion.use(known.plan.expand)
    this.#selection.use(known.selects)
    this.resources.keepOnly(new Set(known.roundOf.keys()))
    this.#options.onAnswers()
  }

  async #guarded(work: () => Promise<RoundEnd>): Promise<RoundEnd> {
    const { log, device } = this.#options
    try {
      return await work()
    } catch (error) {
      if (error instanceof RedfishError) log.debug({ xname: device.xname, error }, 'part missing')
      else log.error({ xname: device.xname, error }, 'poll broke')
      return { requests: 0, againSeconds: this.paces.slowSeconds }
    }
  }

  async #rest(round: 'state' | 'slow', before: readonly PacedRound[]): Promise<RoundEnd> {
    const { known } = this
    const { log, device } = this.#options
    if (known === undefined) return { requests: 0 }
    const missing = (known.plan.once ?? []).filter((path) => !this.resources.kept(path))
    const paths = round === 'state' ? [...known.state, ...missing] : known.slow
    const { fault, asked } = await this.#fetch(round, paths, async () => {
      await this.#turn(before)
      return this.known !== undefined && !this.closed
    })
    if (fault) log.debug({ xname: device.xname, error: fault }, 'part missing')
    return { requests: asked }
  }

  /** What it has now, and once in a while what it is. */
  async #lookAgain(before: readonly PacedRound[]): Promise<RoundEnd> {
    const collector = this.#identityDue ? undefined : this.known?.collector
    this.#identityDue = false
    let requests = 0
    const get: Get = async (path) => {
      await this.#turn(before)
      requests++
      return await this.get(path)
    }
    const known = await this.discover(get, collector)
    // What did not answer in time now may be there all the same: the next look tells.
    if (known.complete && this.known !== undefined) this.#know(known)
    const { asked } = await this.#fetch('structure', known.plan.once ?? [], async () => {
      await this.#turn(before)
      return !this.closed
    })
    const againSeconds = known.complete ? undefined : this.paces.slowSeconds
    return { requests: requests + asked, againSeconds }
  }

  /** Resolves when the device is not held and nothing more urgent is under way. */
  async #turn(before: readonly PacedRound[]): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const urgent = this.polling ?? before.find(({ running }) => running)?.running
      if (urgent === undefined && !this.hold.active) return
      await urgent?.catch(() => {})
      await this.hold.over(signal)
    }
  }
}
