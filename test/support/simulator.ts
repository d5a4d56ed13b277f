import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { createLog } from '../../exporter/service/log.ts'
import { startSimulator } from '../../exporter/simulator/main.ts'
import { simulatorSection } from '../../exporter/simulator/settings.ts'

/** A simulator whose clock stands still until it is moved. */
export interface TestSimulator {
  url: string
  directory: string
  clock: { now: Date }
  /** PEM that the devices' clients trust. */
  certificate: string
  deviceUrl(xname: string): string
  /** A request to a device; logged in unless `authorization` says otherwise. */
  ask(xname: string, path: string, options?: AskOptions): Promise<DeviceAnswer>
  /** JSON of the simulator's own page. */
  page(path: string): Promise<unknown>
  moveSeconds(seconds: number): void
  close(): Promise<void>
  /** Also removes its directory. */
  end(): Promise<void>
}

export interface AskOptions {
  authorization?: string
  /** Sent by POST. */
  body?: unknown
}

export interface DeviceAnswer {
  status: number
  headers: { get(name: string): string | null }
  body: unknown
}

export interface TestSimulatorOptions {
  seed?: number
  jobsPerHour?: number
  historyHours?: number
  /** 0, any free ports, unless given. */
  devicePort?: number
  remoteWriteUrl?: string
  pushSeconds?: number
  directory?: string
  now?: Date
}

export const simulatorLogin = { username: 'root', password: 'only-for-tests' }
export const simulatorNow = new Date('2026-03-01T12:00:07.250Z')

/** Starts a simulator on free ports, by default with two hours of past. */
export async function startTestSimulator({
  directory: given,
  now = simulatorNow,
  ...options
}: TestSimulatorOptions = {}): Promise<TestSimulator> {
  const directory = given ?? (await mkdtemp(join(tmpdir(), 'joulebridge-simulator-')))
  const clock = { now }
  const section = simulatorSection.parse({
    web: { listenAddress: '127.0.0.1:0' },
    devicePort: 0,
    password: { env: 'SIMULATOR_PASSWORD' },
    directory,
    historyHours: 2,
    ...options,
  })
  const quiet = { level: 'silent', format: 'json' } as const
  const service = await startSimulator(
    { ...section, log: quiet },
    {
      log: createLog('simulator', quiet),
      env: { SIMULATOR_PASSWORD: simulatorLogin.password },
      now: () => clock.now,
    },
  )
  const page = async (path: string) => await (await fetch(`${service.url}${path}`)).json()
  const inventory = (await page('/inventory')) as {
    devices: { xname: string; url: string }[]
    caFile: string
  }
  const certificate = await readFile(inventory.caFile, 'utf8')
  const agent = new Agent({ ca: certificate })
  const deviceUrl = (xname: string) =>
    inventory.devices.find((device) => device.xname === xname)?.url ?? ''
  const close = async () => {
    agent.destroy()
    await service.close()
  }
  return {
    url: service.url,
    directory,
    clock,
    certificate,
    deviceUrl,
    page,
    close,
    ask: (xname, path, ask) => askDevice(`${deviceUrl(xname)}${path}`, agent, ask),
    moveSeconds(seconds) {
      clock.now = new Date(clock.now.getTime() + seconds * 1000)
    },
    async end() {
      await close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function askDevice(
  url: string,
  agent: Agent,
  { authorization = basic(simulatorLogin), body }: AskOptions = {},
): Promise<DeviceAnswer> {
  const post = { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }
  const response = await fetch(url, {
    agent,
    headers: { authorization, 'content-type': 'application/json' },
    ...(body === undefined ? {} : post),
  })
  const text = await response.text()
  const parsed: unknown = text === '' ? undefined : JSON.parse(text)
  return { status: response.status, headers: response.headers, body: parsed }
}

export function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${btoa(`${username}:${password}`)}`
}
