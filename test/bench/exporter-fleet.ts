import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cpuSeconds } from './processes.ts'

/** What may be wrong with a device; `restart`: it refuses connections. */
export const faults = [
  'hang',
  'reset',
  'error',
  'truncated',
  'drip',
  'flood',
  'redirect',
  'unauthorized',
  'certificate',
  'restart',
] as const
export type Fault = (typeof faults)[number]

/** Thousands of simulated devices of mixed kinds, each on a port of its own, in one process. */
export interface Fleet {
  devices: readonly FleetDevice[]
  /** PEM of the certificate that all of them show. */
  certificate: string
  login: { username: string; password: string }
  /** Gives devices, by their place in `devices`, a fault, or with `undefined` takes it away. */
  setFaults(faults: readonly { index: number; fault: Fault | undefined }[]): Promise<void>
  /** Requests that came in so far. */
  requests(): Promise<number>
  /** Used so far by its process. */
  cpuSeconds(): Promise<number>
  close(): void
}

export interface FleetDevice {
  xname: string
  url: string
}

export interface FleetOptions {
  devices: number
  /** One controller of 737 sensors that takes this long for a GET, one at a time, instead. */
  controllerSeconds?: number
}

export const fleetLogin = { username: 'root', password: 'of the bench' }

/** What the process of the devices is told, and answers. */
export type Order =
  | { start: FleetOptions }
  | { faults: readonly { index: number; fault?: Fault | undefined }[] }
  | { count: true }

export interface Answer {
  devices?: FleetDevice[]
  certificate?: string
  requests?: number
  error?: string
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const program = fileURLToPath(new URL('exporter-devices.ts', import.meta.url))
  const child = fork(program, { execArgv: ['--import=tsx'] })
  const { devices = [], certificate = '' } = await ask(child, { start: options })
  return {
    devices,
    certificate,
    login: fleetLogin,
    async setFaults(faults) {
      await ask(child, { faults })
    },
    requests: async () => (await ask(child, { count: true })).requests ?? Number.NaN,
    cpuSeconds: () => cpuSeconds(child.pid ?? 0),
    close: () => {
      if (child.connected) child.disconnect()
    },
  }
}

async function ask(child: ChildProcess, order: Order): Promise<Answer> {
  const over = new AbortController()
  const answer = once(child, 'message', over)
  const end = once(child, 'exit', over).then(() => [{ error: 'it ended' }])
  child.send(order)
  try {
    const [told] = (await Promise.race([answer, end])) as [Answer]
    if (told.error !== undefined) throw new Error(`simulated devices: ${told.error}`)
    return told
  } finally {
    over.abort()
    await Promise.allSettled([answer, end])
  }
}
