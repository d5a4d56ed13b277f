import assert from 'node:assert/strict'
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
import { until } from '../support/command.ts'
import { cloneDatabase, freePort } from '../support/postgres.ts'
import { requireProgram, startPrometheus, type TestPrometheus } from '../support/prometheus.ts'

interface Energy {
  joules: number
  joules_low: number
  joules_high: number
  nodes: { xname: string }[]
}
interface Job {
  job_id: number
  partition: string
  started_at: string
  ended_at: string
  energy: Energy
}

/** Device -> exporter -> Prometheus -> remote write -> PostgreSQL -> joules, all parts real. */
describe('the chain through a real Prometheus', function chain() {
  this.timeout(300_000)
  const parts: { close(): Promise<void> }[] = []
  const up = async <T extends { close(): Promise<void> }>(part: Promise<T>): Promise<T> => {
    parts.push(await part)
    return await part
  }
  const began = new Date()
  let prometheus: TestPrometheus
  let remoteWrite: Service
  let simulator: Service

  before(async function bringUp() {
    const program = await requireProgram('prometheus', this)
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-chain-'))
    parts.push({ close: () => rm(directory, { recursive: true, force: true }) })
    const level = process.env['JOULEBRIDGE_TEST_LOG'] === undefined ? 'silent' : 'info'
    const log = { level, format: 'logfmt' } as const
    const context = { log: createLog('test', log), env: { PASSWORD: 'secret' } }
    const exporterAddress = `127.0.0.1:${await freePort()}`
    const remoteWriteAddress = `127.0.0.1:${await freePort()}`
    const simulated = simulatorSection.parse({
      web: { listenAddress: '127.0.0.1:0' },
      devicePort: 0,
      historyHours: 4,
      password: { env: 'PASSWORD' },
      directory,
      remoteWriteUrl: `http://${remoteWriteAddress}`,
      instance: exporterAddress,
    })
    simulator = await up(startSimulator({ log, ...simulated }, context))
    const { devices, nodes, caFile } = (await get(simulator, '/inventory')) as {
      devices: object[]
      nodes: object[]
      caFile: string
    }
    const topologyFile = join(directory, 'topology.yml')
    await writeFile(topologyFile, JSON.stringify(nodes))
    const { url } = await cloneDatabase()
    const { password } = new URL(url)
    const record = remoteWriteSection.parse({
      web: { listenAddress: remoteWriteAddress },
      topologyFile,
    })
    const postgres = {
      url: url.replace(`:${password}@`, '@'),
      password: { env: 'POSTGRES' },
      maxConnections: 5,
    }
    const env = { POSTGRES: decodeURIComponent(password) }
    remoteWrite = await up(startRemoteWrite({ log, postgres, ...record }, { ...context, env }))
    const credentials = [{ username: 'root', password: { env: 'PASSWORD' }, caFile }]
    const exporter = exporterSection.parse({
      web: { listenAddress: exporterAddress },
      poll: { fastSeconds: 1 },
      credentials,
    })
    await up(startExporter({ log, devices: deviceList.parse(devices), ...exporter }, context))
    const switching = controlSection.parse({ web: { listenAddress: '127.0.0.1:0' }, credentials })
    const control = await up(
      startControl(
        { log, devices: deviceList.parse(devices), postgres, ...switching },
        { ...context, env: { ...env, ...context.env } },
      ),
    )
    prometheus = await up(
      startPrometheus(program, {
        exporter: exporterAddress,
        remoteWrite: remoteWriteAddress,
        control: control.url.replace('http://', ''),
        scrapeSeconds: 1,
      }),
    )
    await until(async () => {
      const { state } = (await get(simulator, '/history')) as { state: string }
      return state === 'done' ? state : undefined
    }, 60)
  })

  after(async () => {
    while (parts.length > 0) await parts.pop()?.close()
  })

  const get = async (service: Service, path: string): Promise<unknown> =>
    await (await fetch(`${service.url}${path}`)).json()
  const endedJobs = async (): Promise<Job[]> => {
    const answer = await get(remoteWrite, '/api/v1/jobs?state=ended&limit=500')
    return (answer as { jobs: Job[] }).jobs
  }
  const truthOf = async ({ job_id }: Job): Promise<number> =>
    ((await get(simulator, `/truth/jobs/${job_id}`)) as { joules: number }).joules
  const energyOf = async ({ job_id }: Job): Promise<Energy> =>
    (await get(remoteWrite, `/api/v1/jobs/${job_id}/energy`)) as Energy
  const seconds = ({ started_at, ended_at }: Job): number =>
    (Date.parse(ended_at) - Date.parse(started_at)) / 1000

  /** The counters' increase over the job's time: right for a job with its nodes to itself. */
  async function promqlEnergy(job: Job, which: (window: string) => string): Promise<number> {
    const window = `[${seconds(job)}s]`
    const increase = `increase(cray_node_energy_joules_total${which(window)})`
    const result = await prometheus.query(`sum(${increase})`, new Date(job.ended_at))
    return [...result.values()][0] ?? Number.NaN
  }

  const near = (a: number, b: number, ratio: number): void =>
    assert.ok(Math.abs(a / b - 1) < ratio, `${a} J is not within ${ratio} of ${b} J`)

  it('gives a job the same joules in SQL, in PromQL and in truth', async () => {
    const job = await until(async () => {
      const jobs = await endedJobs()
      return jobs.find(
        (found) =>
          found.partition !== 'shared' &&
          Date.parse(found.started_at) > began.getTime() + 15_000 &&
          seconds(found) >= 60 &&
          found.energy.joules_high !== null,
      )
    }, 240)
    const [energy, truth] = [await energyOf(job), await truthOf(job)]
    near(energy.joules, truth, 0.02)
    const { joules_low: low, joules_high: high } = energy
    assert.ok(low <= truth && truth <= high, `truth ${truth} J is not in ${low} to ${high} J`)
    const nodes = `cray_job_node_info{jobid="${job.job_id}"}`
    const joined = (window: string) => `${window}) and on (xname) last_over_time(${nodes}${window}`
    near(await promqlEnergy(job, joined), energy.joules, 0.03)
  })

  it('answers PromQL over the stored past, from before Prometheus was there', async () => {
    const jobs = (await endedJobs()).filter(
      (job) =>
        job.partition !== 'shared' &&
        seconds(job) >= 600 &&
        Date.parse(job.ended_at) < began.getTime() - 60_000,
    )
    assert.ok(jobs.length >= 3, `${jobs.length} jobs`)
    for (const job of jobs) {
      const energy = await energyOf(job)
      near(energy.joules, await truthOf(job), 0.02)
      const xnames = energy.nodes.map(({ xname }) => xname).join('|')
      near(
        await promqlEnergy(job, (window) => `{xname=~"${xnames}"}${window}`),
        energy.joules,
        0.03,
      )
    }
  })
})
