import { Counter, type Registry } from 'prom-client'
import { isXname, parentXname, parseXname } from '../inventory/xname.ts'
import type { PolledDevice } from '../polling/polled-device.ts'
import type { Logger } from '../service/log.ts'

export interface LeasesOptions {
  /** The devices of now. */
  devices: readonly PolledDevice[]
  registry: Registry
  log: Logger
}

/** What others may ask of the polling; both end by themselves. */
export interface Leases {
  /** Leaves the devices of these components alone for so many seconds; 0 ends that. */
  hold(xnames: readonly string[], seconds: number): Held
  /** Reads power and energy of the devices of these components as soon as may be. */
  poll(xnames: readonly string[]): Asked
}

export interface Held {
  held: { xname: string; until: string }[]
  /** Components without a device among ours. */
  unknown: string[]
}

export interface Asked {
  /** Devices that are read, those included that another such request has read in this second. */
  asked: number
  unknown: string[]
}

export function createLeases({ devices, registry, log }: LeasesOptions): Leases {
  const metrics = createMetrics(registry)
  const find = (xnames: readonly string[]) => findDevices(xnames, devices)
  return {
    hold(xnames, seconds) {
      const { found, unknown } = find(xnames)
      const until = new Date(Date.now() + seconds * 1000)
      for (const device of new Set(found.values())) device.hold(seconds)
      const held = [...found].map(([xname, device]) => ({
        xname,
        until: (device.heldUntil ?? until).toISOString(),
      }))
      metrics.holds.inc({ outcome: 'done' }, held.length)
      metrics.holds.inc({ outcome: 'unknown' }, unknown.length)
      return { held, unknown }
    },
    poll(xnames) {
      const { found, unknown } = find(xnames)
      const wanted = [...new Set(found.values())]
      // One that fails is polled by its own loop, as seldom as it must be.
      const asked = wanted.filter((device) => !device.backsOff)
      for (const device of asked) {
        const { xname } = device.device
        device.pollSoon().catch((error: unknown) => log.error({ xname, error }, 'poll broke'))
      }
      metrics.polls.inc({ outcome: 'done' }, asked.length)
      metrics.polls.inc({ outcome: 'backing_off' }, wanted.length - asked.length)
      metrics.polls.inc({ outcome: 'unknown' }, unknown.length)
      return { asked: asked.length, unknown }
    },
  }
}

/** The device of each component: itself, what it is in, or the controller that stands for it. */
function findDevices(xnames: readonly string[], devices: readonly PolledDevice[]) {
  const byXname = new Map(devices.map((device) => [device.device.xname, device]))
  const found = new Map<string, PolledDevice>()
  const unknown: string[] = []
  for (const xname of new Set(xnames)) {
    const device = deviceOf(xname, byXname)
    if (device === undefined) unknown.push(xname)
    else found.set(xname, device)
  }
  return { found, unknown }
}

/** `x1000c0s0b0n0` is of x1000c0s0b0; the chassis `x1000c0` and the switch `x1000c0r1` of a b0. */
function deviceOf(
  text: string,
  byXname: ReadonlyMap<string, PolledDevice>,
): PolledDevice | undefined {
  const own = normalised(text)
  for (let xname: string | undefined = own; xname !== undefined; xname = parentXname(xname)) {
    const device = byXname.get(xname)
    if (device !== undefined) return device
  }
  return own === undefined ? undefined : byXname.get(`${own}b0`)
}

function normalised(text: string): string | undefined {
  return isXname(text) ? parseXname(text).text : undefined
}

function createMetrics(registry: Registry) {
  const common = { labelNames: ['outcome'] as const, registers: [registry] }
  const holds = new Counter({
    name: 'joulebridge_holds_total',
    help: 'Components whose device others asked to leave alone: done, or unknown here.',
    ...common,
  })
  const polls = new Counter({
    name: 'joulebridge_asked_polls_total',
    help:
      'Devices whose power and energy others asked to read: done, backing_off (left to its own ' +
      'pace, since it fails); and components that are unknown here.',
    ...common,
  })
  for (const outcome of ['done', 'unknown']) {
    holds.inc({ outcome }, 0)
    polls.inc({ outcome }, 0)
  }
  polls.inc({ outcome: 'backing_off' }, 0)
  return { holds, polls }
}
