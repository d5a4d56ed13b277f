import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import { type Credential, credentialFor, type Device } from '../inventory/static.ts'
import { compareXnames } from '../inventory/xname.ts'
import { createClient } from '../redfish/client.ts'
import { createTrust } from '../redfish/trust.ts'
import type { Logger } from '../service/log.ts'
import { pauseSeconds, startDelaySeconds } from './pace.ts'
import { PolledDevice } from './polled-device.ts'

export interface PollerOptions {
  devices: readonly Device[]
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
  /** By place. */
  devices: readonly PolledDevice[]
  close(): Promise<void>
}

/** Polls each device at its own pace, so that a slow or dead one keeps no other waiting. */
export function startPoller(options: PollerOptions): Poller {
  const { poll, env, log } = options
  const limit = pLimit(poll.inFlight)
  const trust = createTrust()
  const devices = options.devices.map((device) => {
    const credential = credentialFor(device, options.credentials)
    const { timeoutSeconds, perDevice, slowSeconds, gapSeconds } = poll
    const client = createClient({ device, credential, env, timeoutSeconds, limit, trust })
    return new PolledDevice({ device, client, perDevice, slowSeconds, gapSeconds, log })
  })
  devices.sort((a, b) => compareXnames(a.device.xname, b.device.xname))
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const loops = devices.map((device) => keepPolling(device, poll.fastSeconds, log, closing.signal))
  return {
    devices,
    async close() {
      closing.abort()
      await Promise.all(devices.map((device) => device.close()))
      await Promise.all(loops)
    },
  }
}

async function keepPolling(
  device: PolledDevice,
  paceSeconds: number,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { xname } = device.device
  let due = Date.now() + startDelaySeconds(xname, paceSeconds) * 1000
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
