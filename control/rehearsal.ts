import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import { stringify } from 'yaml'
import { z } from 'zod'
import { prometheusConfig } from '../dashboards/prometheus.ts'
import { findProgram } from '../exporter/service/child.ts'
import { keptSecret, replaceFile } from '../exporter/service/directory.ts'
import { alignColumns } from '../remote-write/energy/print.ts'
import { describeJob, endedJobs, type ListedJob } from '../remote-write/jobs/watch.ts'
import { startEmbeddedPostgres } from '../remote-write/postgres/embedded.ts'
import {
  keepRunning,
  runSite,
  type Site,
  type StartContext,
  supervise,
  superviseService,
} from './supervise.ts'

export interface RehearsalOptions {
  portBase: number
  seed: number
  jobsPerHour: number
  historyHours: number
  /** Use a Prometheus when one is installed. */
  prometheus: boolean
}

/**
 * Runs everything on one machine with nothing configured: PostgreSQL of our own, a simulated
 * system with a past, the three services, and Prometheus if there is one. Ends with the signal.
 */
export async function startRehearsal(
  options: RehearsalOptions,
  context: StartContext,
): Promise<void> {
  await runSite(context, async (site) => {
    const places = await choosePlaces(site, options)
    await bringUp(site, options, places)
    site.say(overview(places))
    await showJobs(site, places)
  })
}

interface Places {
  /** `host:port` of each listener. */
  exporter: string
  remoteWrite: string
  control: string
  simulator: string
  prometheus: string
  postgresPort: number
  devicePort: number
  /** The Prometheus to run; undefined: none is installed, or wanted. */
  prometheusProgram: string | undefined
  settingsFile: string
  topologyFile: string
  secret(name: string): string
}

async function choosePlaces(site: Site, options: RehearsalOptions): Promise<Places> {
  const { portBase, prometheus } = options
  const address = (offset: number) => `127.0.0.1:${portBase + offset}`
  return {
    control: address(7),
    exporter: address(10),
    remoteWrite: address(11),
    postgresPort: portBase + 32,
    prometheus: address(90),
    simulator: address(99),
    devicePort: portBase + 100,
    prometheusProgram: prometheus ? await findProgram('prometheus', process.env) : undefined,
    settingsFile: join(site.directory, 'joulebridge.yml'),
    topologyFile: join(site.directory, 'topology.yml'),
    secret: (name) => join(site.directory, name),
  }
}

async function bringUp(site: Site, options: RehearsalOptions, places: Places): Promise<void> {
  const { settingsFile, simulator, remoteWrite, exporter, control } = places
  const service = (name: string, address: string) =>
    superviseService(site, { name, settingsFile, address })
  await step(site, 'PostgreSQL', () => startPostgres(site, places))
  await step(site, 'simulated system', async () => {
    await writeSettings(site, options, places, [])
    await service('simulate', simulator)
    return await takeInventory(site, options, places)
  })
  await step(site, 'remote-write', () => service('remote-write', remoteWrite))
  await step(site, 'exporter', () => service('exporter', exporter))
  await step(site, 'control', () => service('control', control))
  await step(site, 'Prometheus', () => startPrometheus(site, places))
  if (options.historyHours > 0) await step(site, 'history', () => awaitHistory(site, simulator))
}

/** Runs one step of the start and says what came of it. */
async function step(site: Site, name: string, run: () => Promise<string>): Promise<void> {
  site.signal.throwIfAborted()
  const began = performance.now()
  const result = await run()
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  site.say(`  ${name.padEnd(18)}${result.padEnd(48)}${seconds.padStart(5)} s`)
}

async function startPostgres(site: Site, { postgresPort, secret }: Places): Promise<string> {
  const options = {
    directory: join(site.directory, 'postgres'),
    port: postgresPort,
    password: await keptSecret(secret('postgres-password')),
    durable: true,
  }
  await keepRunning(site, 'PostgreSQL', async () => {
    const { ended, close } = await startEmbeddedPostgres(options)
    return { ended, stop: close }
  })
  return `ready on port ${postgresPort}`
}

const inventory = z.object({
  devices: z.array(z.object({ xname: z.string(), url: z.string(), kind: z.string() })),
  nodes: z.array(z.object({ node: z.string(), xname: z.string(), cores: z.number() })),
  caFile: z.string(),
})

/** Asks the simulator what it plays and completes the settings with it. */
async function takeInventory(
  site: Site,
  options: RehearsalOptions,
  places: Places,
): Promise<string> {
  const answer = await fetch(`http://${places.simulator}/inventory`, { signal: site.signal })
  const { devices, nodes, caFile } = inventory.parse(await answer.json())
  await replaceFile(places.topologyFile, stringify(nodes))
  const found = devices.map(({ xname, url, kind }) => ({ xname, url, kind }))
  await writeSettings(site, options, places, found, caFile)
  return `${devices.length} devices, ${nodes.length} nodes`
}

async function writeSettings(
  site: Site,
  options: RehearsalOptions,
  places: Places,
  devices: readonly object[],
  caFile?: string,
): Promise<void> {
  const { exporter, remoteWrite, control, simulator, secret } = places
  await keptSecret(secret('device-password'))
  await keptSecret(secret('control-token'))
  await keptSecret(secret('exporter-token'))
  const login = { username: 'root', password: { file: secret('device-password') } }
  const credentials = caFile === undefined ? [] : [{ ...login, ca_file: caFile }]
  const remoteWriteUrl = `http://${remoteWrite}`
  const settings = {
    devices,
    postgres: {
      url: `postgres://joulebridge@127.0.0.1:${places.postgresPort}/joulebridge`,
      password: { file: secret('postgres-password') },
    },
    exporter: {
      web: { listen_address: exporter },
      token: { file: secret('exporter-token') },
      credentials,
      forward: places.prometheusProgram
        ? {}
        : { url: `${remoteWriteUrl}/api/v1/write`, instance: exporter },
    },
    remote_write: {
      web: { listen_address: remoteWrite },
      topology_file: places.topologyFile,
      page: { control_url: `http://${control}/` },
      alerts: places.prometheusProgram ? { url: `http://${places.prometheus}` } : {},
      exporters: [{ url: `http://${exporter}`, token: { file: secret('exporter-token') } }],
    },
    control: {
      web: { listen_address: control },
      credentials,
      token: { file: secret('control-token') },
      record_url: `${remoteWriteUrl}/`,
      exporters: [{ url: `http://${exporter}`, token: { file: secret('exporter-token') } }],
    },
    simulator: {
      web: { listen_address: simulator },
      device_port: places.devicePort,
      seed: options.seed,
      jobs_per_hour: options.jobsPerHour,
      history_hours: options.historyHours,
      ...login,
      directory: site.directory,
      remote_write_url: remoteWriteUrl,
      instance: exporter,
    },
  }
  await replaceFile(places.settingsFile, stringify(settings))
}

async function startPrometheus(site: Site, places: Places): Promise<string> {
  if (!places.prometheusProgram) return 'not used: samples go straight to remote-write'
  const configFile = join(site.directory, 'prometheus.yml')
  await replaceFile(
    configFile,
    prometheusConfig({ ...places, scrapeSeconds: 10, evaluationSeconds: 30 }),
  )
  await supervise(site, {
    name: 'prometheus',
    command: places.prometheusProgram,
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(site.directory, 'prometheus')}`,
      `--web.listen-address=${places.prometheus}`,
    ],
    readyUrl: `http://${places.prometheus}/-/ready`,
  })
  return `ready: ${places.prometheusProgram}`
}

const historyProgress = z.object({
  state: z.enum(['waiting', 'sending', 'done', 'failed', 'off']),
  sent_samples: z.number(),
  fraction: z.number(),
  error: z.string().optional(),
})

/** Waits until the simulated past has been stored, and says now and then how far it is. */
async function awaitHistory(site: Site, simulator: string): Promise<string> {
  for (let shown = 0; ; await sleep(500, undefined, { signal: site.signal })) {
    const answer = await fetch(`http://${simulator}/history`, { signal: site.signal })
    const { state, sent_samples, fraction, error } = historyProgress.parse(await answer.json())
    if (state === 'failed') throw new Error(`history: ${error ?? 'failed'}`)
    if (state === 'done' || state === 'off') return `${sent_samples} samples stored`
    if (fraction < shown + 0.2) continue
    shown = fraction
    site.say(`  history           ${Math.round(fraction * 100)} %`)
  }
}

function overview(places: Places): string {
  const { exporter, remoteWrite, control, simulator, postgresPort, secret } = places
  const rows = [
    ['the page', `http://${remoteWrite}/`],
    ['jobs and their energy', `http://${remoteWrite}/api/v1/jobs`],
    ['metrics of the devices', `http://${exporter}/metrics`],
    ['power control (PCS)', `http://${control}/power-status  token: ${secret('control-token')}`],
    ['SQL', `postgres://joulebridge@127.0.0.1:${postgresPort}/joulebridge`],
    ['', `password: ${secret('postgres-password')}`],
    ['truth of the simulator', `http://${simulator}/truth/jobs`],
  ]
  if (places.prometheusProgram) rows.splice(2, 0, ['PromQL', `http://${places.prometheus}`])
  return ['', ...alignColumns(rows).map((row) => `  ${row}`), ''].join('\n')
}

/** Lists jobs as they end, each beside what the simulator knows it drew. */
async function showJobs(site: Site, { remoteWrite, simulator }: Places): Promise<void> {
  site.say('jobs, each with its energy, the bounds of it, and its error against the truth:')
  const jobs = endedJobs(`http://${remoteWrite}`, { recent: 8, signal: site.signal })
  for await (const job of jobs) site.say(await besideTruth(job, simulator))
}

async function besideTruth(job: ListedJob, simulator: string): Promise<string> {
  const answer = await fetch(`http://${simulator}/truth/jobs/${job.job_id}`)
  const { joules } = job.energy
  if (!answer.ok || joules === null) return describeJob(job)
  const truth = z.object({ joules: z.number() }).parse(await answer.json()).joules
  const error = ((joules - truth) / truth) * 100
  return `${describeJob(job)}  ${error < 0 ? '' : '+'}${error.toFixed(2)} %`
}
