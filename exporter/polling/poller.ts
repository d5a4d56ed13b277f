import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import { type Credential, credentialFor, type Device } from '../inventory/static.ts'
import { compareXnames } from '../inventory/xname.ts'
import { createClient } from '../redfish/client.ts'
import { createSecrets } from '../redfish/secrets.ts'
import { createTrust } from '../redfish/trust.ts'
import type { Logger } from '../service/log.ts'
import { pauseSeconds, startDelaySeconds } from './pace.ts'
import { PolledDevice } from './polled-device.ts'

export interface PollerOptions {
  credentials: readonly Credential[]
  poll: {
    fastSeconds: number
    slowSeconds: number
    timeoutSeconds: number
    gapSeconds: number
    perDevice: number
    inFlight: number
  }
  env: NodeJS.ProcessEnv
  log: Logger
}

export interface Poller {
  /** By place; always the same array, whatever comes and goes. */
  readonly devices: readonly PolledDevice[]
  /** Polls these and no others from now on; one that has changed starts anew. */
  update(devices: readonly Device[]): void
  close(): Promise<void>
}

/** More new devices than this at once are first polled spread over the pace. */
const mostAtOnce = 16

/** Polls each device at its own pace, so that a slow or dead one keeps no other waiting. */
export function startPoller(options: PollerOptions): Poller {
  const { poll, log } = options
  const devices: PolledDevice[] = []
  const polled = new Map<string, Polled>()
  /** What has been removed and still ends. */
  const leaving = new Set<Promise<void>>()
  const create = deviceMaker(options)
  const remove = (each: Polled) => {
    polled.delete(each.device.device.xname)
    devices.splice(devices.indexOf(each.device), 1)
    const { xname } = each.device.device
    const left = each
      .end()
      .catch((error: unknown) => log.error({ xname, error }, 'device not left well'))
      .finally(() => leaving.delete(left))
    leaving.add(left)
  }
  return {
    devices,
    update(wanted) {
      const given = new Map(wanted.map((device) => [device.xname, device]))
      const gone = [...polled.values()].filter(
        ({ device: { device } }) => !isSame(device, given.get(device.xname)),
      )
      for (const each of gone) remove(each)
      const fresh = wanted.filter(({ xname }) => !polled.has(xname))
      const spread = fresh.length > mostAtOnce ? poll.fastSeconds : 0
      for (const each of fresh) {
        const device = create(each)
        devices.push(device)
        polled.set(each.xname, startPolling(device, poll.fastSeconds, spread, log))
      }
      devices.sort((a, b) => compareXnames(a.device.xname, b.device.xname))
      if (gone.length > 0 || fresh.length > 0) {
        log.info(
          { added: fresh.length, removed: gone.length, devices: devices.length },
          'devices changed',
        )
      }
    },
    async close() {
      for (const each of [...polled.values()]) remove(each)
      await Promise.all(leaving)
    },
  }
}

interface Polled {
  device: PolledDevice
  end(): Promise<void>
}

function deviceMaker({ credentials, poll, env, log }: PollerOptions) {
  const { timeoutSeconds, perDevice, slowSeconds, gapSeconds } = poll
  const shared = { limit: pLimit(poll.inFlight), trust: createTrust(), secrets: createSecrets(env) }
  return (device: Device): PolledDevice => {
    const credential = credentialFor(device, credentials)
    const client = createClient({ ...shared, device, credential, env, timeoutSeconds })
    return new PolledDevice({ device, client, perDevice, slowSeconds, gapSeconds, log })
  }
}

function isSame(a: Device, b: Device | undefined): boolean {
  return b !== undefined && a.url === b.url && a.kind === b.kind && a.group === b.group
}

function startPolling(
  device: PolledDevice,
  paceSeconds: number,
  spreadSeconds: number,
  log: Logger,
): Polled {
  const ending = new AbortController()
  const loop = keepPolling(device, { paceSeconds, spreadSeconds, log, signal: ending.signal })
  return {
    device,
    async end() {
      ending.abort()
      await Promise.all([device.close(), loop])
    },
  }
}

interface Polling {
  paceSeconds: number
  /** The first poll comes within this time. */
  spreadSeconds: number
  log: Logger
  signal: AbortSignal
}

async function keepPolling(
  device: PolledDevice,
  { paceSeconds, spreadSeconds, log, signal }: Polling,
): Promise<void> {
  const { xname } = device.device
  let due = Date.now() + startDelaySeconds(xname, spreadSeconds) * 1000
  while (await waitUntil(due, signal)) {
    try {
      await device.poll()
    } catch (error) {
      log.error({ xname, error }, 'poll broke')
    }
    due = Math.max(due + pauseSeconds(paceSeconds, device.failures) * 1000, Date.now())
  }
}

/** Whether the time came; false when the signal came first. */
async function waitUntil(due: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(Math.max(0, due - Date.now()), undefined, { signal })
  } catch {
    return false
  }
  return !signal.aborted
}
