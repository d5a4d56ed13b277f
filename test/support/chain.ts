import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { startControl } from '../../control/main.ts'
import { controlSection } from '../../control/settings.ts'
import { deviceList } from '../../exporter/inventory/static.ts'
import { startExporter } from '../../exporter/main.ts'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { exporterSection } from '../../exporter/settings.ts'
import { startSimulator } from '../../exporter/simulator/main.ts'
import { simulatorSection } from '../../exporter/simulator/settings.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { until } from './command.ts'
import { freePort } from './port.ts'

export interface ChainOptions {
  /** A database, migrated or empty. */
  databaseUrl: string
  historyHours: number
  /** How often power and energy are polled. */
  fastSeconds: number
  /** The Prometheus that the record asks for alerts. */
  alertsUrl?: string
}

export interface EnergyAnswer {
  joules: number
  joules_low: number
  joules_high: number | null
  coverage_ratio: number
  nodes: { xname: string }[]
}

export interface JobAnswer {
  job_id: number
  partition: string
  started_at: string
  ended_at: string
  energy: EnergyAnswer
}

/** All services in this process around a simulated system, whose past is stored. */
export interface Chain {
  simulator: Service
  remoteWrite: Service
  exporter: Service
  control: Service
  /** Newest first, at most 500. */
  endedJobs(): Promise<JobAnswer[]>
  energyOf(job: { job_id: number }): Promise<EnergyAnswer>
  /** What the simulator knows that the job drew, in joules. */
  truthOf(job: { job_id: number }): Promise<number>
  close(): Promise<void>
}

const log = { level: 'silent', format: 'json' } as const
export const chainControlToken = 'a-token-for-the-chain'
/** Of the site, which the page multiplies energy by. */
export const factors = { pricePerKwh: 30, currency: 'JPY', co2GramsPerKwh: 400 }
const login = { username: 'root', password: { env: 'DEVICE_PASSWORD' } }

export async function startChain(options: ChainOptions): Promise<Chain> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-chain-'))
  const parts = [{ close: () => rm(directory, { recursive: true, force: true }) }]
  const up = async (part: Promise<Service>): Promise<Service> => {
    parts.push(await part)
    return await part
  }
  const close = async () => {
    while (parts.length > 0) await parts.pop()?.close()
  }
  try {
    return { ...(await startServices(options, directory, up)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startServices(
  { databaseUrl, historyHours, fastSeconds, alertsUrl: url }: ChainOptions,
  directory: string,
  up: (part: Promise<Service>) => Promise<Service>,
): Promise<Omit<Chain, 'close'>> {
  const { password } = new URL(databaseUrl)
  const env = {
    DEVICE_PASSWORD: 'secret',
    PGPASSWORD: decodeURIComponent(password),
    CONTROL_TOKEN: chainControlToken,
  }
  const context = { log: createLog('test', log), env }
  const postgres = {
    url: databaseUrl.replace(`:${password}@`, '@'),
    password: { env: 'PGPASSWORD' },
    maxConnections: 5,
  }
  const exporterWeb = { listenAddress: `127.0.0.1:${await freePort()}` }
  const recordWeb = { listenAddress: `127.0.0.1:${await freePort()}` }
  const simulated = simulatorSection.parse({
    web: { listenAddress: '127.0.0.1:0' },
    devicePort: 0,
    historyHours,
    ...login,
    directory,
    remoteWriteUrl: `http://${recordWeb.listenAddress}`,
    instance: exporterWeb.listenAddress,
  })
  const simulator = await up(startSimulator({ log, ...simulated }, context))
  const inventory = (await get(simulator, '/inventory')) as Inventory
  const topologyFile = join(directory, 'topology.json')
  await writeFile(topologyFile, JSON.stringify(inventory.nodes))
  const record = remoteWriteSection.parse({
    ...{ web: recordWeb, topologyFile, page: factors, alerts: { url } },
  })
  const remoteWrite = await up(startRemoteWrite({ log, postgres, ...record }, context))
  const devices = deviceList.parse(inventory.devices)
  const credentials = [{ ...login, caFile: inventory.caFile }]
  // The pace given, whatever the kinds would have by themselves.
  const poll = { fastSeconds, kinds: { 'cray-controller': {}, jaws: {} } }
  const polling = { web: exporterWeb, poll, credentials }
  const exporter = await up(
    startExporter({ log, devices, ...exporterSection.parse(polling) }, context),
  )
  const switching = controlSection.parse({
    web: { listenAddress: '127.0.0.1:0' },
    credentials,
    token: { env: 'CONTROL_TOKEN' },
    recordUrl: `http://${recordWeb.listenAddress}/`,
  })
  const control = await up(startControl({ log, devices, postgres, ...switching }, context))
  await until(async () => {
    const { state } = (await get(simulator, '/history')) as { state: string }
    return state === 'done' || state === 'off' ? state : undefined
  }, 60)
  return { simulator, remoteWrite, exporter, control, ...questions(remoteWrite, simulator) }
}

interface Inventory {
  devices: object[]
  nodes: object[]
  caFile: string
}

function questions(remoteWrite: Service, simulator: Service) {
  return {
    endedJobs: async () => {
      const answer = await get(remoteWrite, '/api/v1/jobs?state=ended&limit=500')
      return (answer as { jobs: JobAnswer[] }).jobs
    },
    energyOf: async ({ job_id }: { job_id: number }) =>
      (await get(remoteWrite, `/api/v1/jobs/${job_id}/energy`)) as EnergyAnswer,
    truthOf: async ({ job_id }: { job_id: number }) =>
      ((await get(simulator, `/truth/jobs/${job_id}`)) as { joules: number }).joules,
  }
}

async function get(service: Service, path: string): Promise<unknown> {
  return await (await fetch(`${service.url}${path}`)).json()
}
