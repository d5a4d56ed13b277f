import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type ScheduledTask, schedule } from 'node-cron'
import pLimit, { type LimitFunction } from 'p-limit'
import { Counter, Gauge, type Registry } from 'prom-client'
import { type Credential, credentialFor, type Device } from '../inventory/static.ts'
import { compareXnames } from '../inventory/xname.ts'
import { type AccountEvent, Accounts } from '../redfish/account.ts'
import { createClient } from '../redfish/client.ts'
import { createSecrets, type Secrets } from '../redfish/secrets.ts'
import { createTrust, type Trust } from '../redfish/trust.ts'
import type { Logger } from '../service/log.ts'
import { nextPollAt, type PollSettings, startDelaySeconds } from './pace.ts'
import { PolledDevice } from './polled-device.ts'
import { SharedTexts } from './shared-texts.ts'

/** What may change while it runs. */
export interface PollerSettings {
  credentials: readonly Credential[]
  poll: PollSettings
}

export interface PollerOptions extends PollerSettings {
  env: NodeJS.ProcessEnv
  registry: Registry
  log: Logger
}

export interface Poller {
  /** By place; always the same array, whatever comes and goes. */
  readonly devices: readonly PolledDevice[]
  /** Polls these and no others from now on; one that has changed starts anew. */
  update(devices: readonly Device[]): void
  /** Goes by these from now on; devices whose login or deadline they change start anew. */
  configure(settings: PollerSettings): void
  close(): Promise<void>
}

/** More new devices than this at once are first polled spread over the pace. */
const mostAtOnce = 16

/** Devices are asked anew what they are over this time, so that not all are at once. */
const identitySpreadSeconds = 3600

/** Polls each device at its own pace, so that a slow or dead one keeps no other waiting. */
export function startPoller(options: PollerOptions): Poller {
  return new Fleet(options)
}

class Fleet implements Poller {
  readonly devices: PolledDevice[] = []
  readonly #options: PollerOptions
  #credentials: readonly Credential[]
  /** The devices hold this very object. */
  readonly #poll: PollSettings
  readonly #polled = new Map<string, Polled>()
  #wanted: readonly Device[] = []
  /** What has been removed and still ends. */
  readonly #leaving = new Set<Promise<void>>()
  readonly #shared: { limit: LimitFunction; trust: Trust; secrets: Secrets; accounts: Accounts }
  readonly #texts = new SharedTexts()
  readonly #late: Counter
  #calendar: ScheduledTask

  constructor(options: PollerOptions) {
    const { credentials, poll, env, registry } = options
    this.#options = options
    this.#credentials = credentials
    this.#poll = { ...poll }
    const limit = pLimit(poll.inFlight)
    const accounts = new Accounts({ onChange: (event) => this.#tell(event) })
    this.#shared = { limit, trust: createTrust(), secrets: createSecrets(env), accounts }
    this.#late = createMetrics(registry, this.devices, accounts).late
    this.#calendar = this.#scheduled()
  }

  update(devices: readonly Device[]): void {
    this.#wanted = devices
    this.#renew()
  }

  configure({ credentials, poll }: PollerSettings): void {
    const rescheduled = poll.identitySchedule !== this.#poll.identitySchedule
    this.#credentials = credentials
    Object.assign(this.#poll, poll)
    this.#shared.limit.concurrency = poll.inFlight
    if (rescheduled) {
      void this.#calendar.destroy()
      this.#calendar = this.#scheduled()
    }
    this.#renew()
  }

  async close(): Promise<void> {
    await this.#calendar.destroy()
    for (const each of [...this.#polled.values()]) this.#remove(each, 'close')
    await Promise.all(this.#leaving)
  }

  #tell({ username, passwordFrom, refusedBy, pauseSeconds }: AccountEvent): void {
    const { log } = this.#options
    const who = { username, password_from: passwordFrom }
    if (pauseSeconds === undefined) log.info(who, 'password accepted again')
    else {
      const xnames = refusedBy.slice(0, 8)
      const told = { ...who, xnames, pause_seconds: pauseSeconds }
      log.error(told, 'password refused, no device is sent it for a while')
    }
  }

  #scheduled(): ScheduledTask {
    return schedule(this.#poll.identitySchedule, () => {
      for (const device of this.devices) {
        device.forgetIdentity(startDelaySeconds(device.device.xname, identitySpreadSeconds))
      }
    })
  }

  /** Removes what is no more wanted or was made with other settings, and adds what is missing. */
  #renew(): void {
    const given = new Map(this.#wanted.map((device) => [device.xname, device]))
    const gone = [...this.#polled.values()].filter(
      (each) => !this.#isCurrent(each, given.get(each.device.device.xname)),
    )
    for (const each of gone) {
      // What starts anew keeps what it has on the device.
      this.#remove(each, given.has(each.device.device.xname) ? 'close' : 'leave')
    }
    const fresh = this.#wanted.filter(({ xname }) => !this.#polled.has(xname))
    const spreadSeconds = fresh.length > mostAtOnce ? this.#poll.fastSeconds : 0
    for (const device of fresh) this.#add(device, spreadSeconds)
    this.devices.sort((a, b) => compareXnames(a.device.xname, b.device.xname))
    if (gone.length === 0 && fresh.length === 0) return
    const counts = { added: fresh.length, removed: gone.length, devices: this.devices.length }
    this.#options.log.info(counts, 'devices changed')
  }

  #isCurrent({ device: { device }, login, timeoutSeconds }: Polled, given?: Device): boolean {
    return (
      given !== undefined &&
      isDeepStrictEqual(device, given) &&
      timeoutSeconds === this.#poll.timeoutSeconds &&
      isDeepStrictEqual(login, credentialFor(given, this.#credentials))
    )
  }

  #add(given: Device, spreadSeconds: number): void {
    const { env, log } = this.#options
    const { timeoutSeconds } = this.#poll
    const login = credentialFor(given, this.#credentials)
    const options = { ...this.#shared, device: given, credential: login, env, timeoutSeconds }
    const client = createClient(options)
    const device = new PolledDevice({
      device: given,
      client,
      poll: this.#poll,
      log,
      texts: this.#texts,
    })
    const ending = new AbortController()
    const { signal } = ending
    const loop = keepPolling(device, { spreadSeconds, log, signal, late: this.#late })
    this.devices.push(device)
    this.#polled.set(given.xname, { device, login, timeoutSeconds, ending, loop })
  }

  #remove({ device, ending, loop }: Polled, how: 'close' | 'leave'): void {
    const { xname } = device.device
    this.#polled.delete(xname)
    this.devices.splice(this.devices.indexOf(device), 1)
    ending.abort()
    const left = Promise.all([device[how](), loop])
      .then(() => {})
      .catch((error: unknown) => {
        this.#options.log.error({ xname, error }, 'device not left well')
      })
      .finally(() => this.#leaving.delete(left))
    this.#leaving.add(left)
  }
}

interface Polled {
  device: PolledDevice
  /** What it was made with. */
  login: Credential | undefined
  timeoutSeconds: number
  ending: AbortController
  loop: Promise<void>
}

interface Polling {
  /** The first poll comes within this time. */
  spreadSeconds: number
  log: Logger
  signal: AbortSignal
  /** Told of each poll that begins late, since the one before took longer than the pace. */
  late: Counter
}

async function keepPolling(
  device: PolledDevice,
  { spreadSeconds, log, signal, late }: Polling,
): Promise<void> {
  const { xname } = device.device
  let dueAt = performance.now() + startDelaySeconds(xname, spreadSeconds) * 1000
  while (await waitUntil(dueAt, signal)) {
    // After a hold the pace begins anew.
    const held = device.heldUntil !== undefined
    await device.released(signal)
    if (signal.aborted) return
    const startedAt = performance.now()
    if (held) dueAt = startedAt
    try {
      await device.poll()
    } catch (error) {
      log.error({ xname, error }, 'poll broke')
    }
    const pauseMs = device.pauseSeconds(Math.random()) * 1000
    const endedAt = performance.now()
    if (dueAt + pauseMs <= endedAt) late.inc()
    dueAt = nextPollAt({ dueAt, startedAt, endedAt }, pauseMs)
  }
}

/** Whether the time came, as `performance.now()` counts; false when the signal came first. */
async function waitUntil(due: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(Math.max(0, due - performance.now()), undefined, { signal })
  } catch {
    return false
  }
  return !signal.aborted
}

const deviceStates = ['up', 'down', 'waiting', 'held', 'backing_off'] as const

function createMetrics(registry: Registry, devices: readonly PolledDevice[], accounts: Accounts) {
  const registers = [registry]
  new Gauge({
    name: 'joulebridge_devices',
    help:
      'Devices polled, by state: up, down, waiting (not polled yet), held (left alone as asked), ' +
      'backing_off (polled more seldom, since they fail).',
    labelNames: ['state'],
    registers,
    collect() {
      const states = devices.map(stateOf)
      for (const state of deviceStates) {
        this.set({ state }, states.filter((each) => each === state).length)
      }
    },
  })
  new Gauge({
    name: 'joulebridge_login_refused',
    help:
      'Whether a password is refused by all devices that were asked, so that those with it are ' +
      'not polled for up to half an hour; by user and where the password stands.',
    labelNames: ['username', 'password_from'],
    registers,
    collect() {
      this.reset()
      for (const { username, passwordFrom, isRefused } of accounts.all()) {
        this.set({ username, password_from: passwordFrom }, Number(isRefused))
      }
    },
  })
  return {
    late: new Counter({
      name: 'joulebridge_polls_late_total',
      help: 'Polls of power and energy that took longer than their pace, so that the next is late.',
      registers,
    }),
  }
}

function stateOf(device: PolledDevice): (typeof deviceStates)[number] {
  if (device.heldUntil) return 'held'
  if (device.backsOff) return 'backing_off'
  if (!device.polled) return 'waiting'
  return device.up ? 'up' : 'down'
}
