import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { findProgram, startChild } from '../../exporter/service/child.ts'
import { debianProgram } from '../support/debian-program.ts'
import { freePort } from '../support/port.ts'
import type { TestServer } from '../support/server.ts'
import { cpuSeconds, residentMegabytes } from './processes.ts'

/** What requests are sent to: a service in processes of its own. */
export interface Receiver {
  name: string
  /** Where remote-write requests go. */
  url: string
  /** Seconds from its start until it could serve. */
  startSeconds: number
  /** Used so far by all of its processes. */
  cpuSeconds(): Promise<number>
  /** Of its first process. */
  residentMegabytes(): Promise<number>
  close(): Promise<void>
}

const run = promisify(execFile)
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Ours, on this PostgreSQL, all of whose processes count as the receiver's. */
export async function startRecordProcess(server: TestServer): Promise<Receiver> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-bench-'))
  const file = join(directory, 'settings.json')
  const { username, password, host, pathname } = new URL(server.url)
  const settings = {
    log: { level: 'warn' },
    postgres: {
      url: `postgres://${username}@${host}${pathname}`,
      password: { env: 'BENCH_PASSWORD' },
    },
  }
  await writeFile(file, JSON.stringify(settings))
  const postmaster = await readFile(join(server.directory, 'postgres', 'postmaster.pid'), 'utf8')
  return await startReceiver({
    name: 'joulebridge',
    command: process.execPath,
    args: (address) => [
      ...['--import', 'tsx', join(root, 'joulebridge.ts'), 'remote-write'],
      ...['--config.file', file, '--web.listen-address', address],
    ],
    env: { BENCH_PASSWORD: decodeURIComponent(password) },
    directory,
    readyPath: '/-/ready',
    beside: [Number.parseInt(postmaster, 10)],
  })
}

/** The installed Prometheus as a receiver; none where there is none. */
export async function startPrometheusReceiver(): Promise<Receiver | undefined> {
  const command = await findProgram('prometheus', process.env)
  if (command === undefined) return skip('prometheus is not installed')
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-bench-'))
  await writeFile(join(directory, 'prometheus.yml'), '')
  return await startReceiver({
    name: 'prometheus',
    command,
    args: (address) => [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${address}`,
      '--web.enable-remote-write-receiver',
    ],
    directory,
    readyPath: '/-/ready',
  })
}

/** VictoriaMetrics as the system's packages have it, unpacked beside the system if need be. */
export async function startVictoriaMetrics(): Promise<Receiver | undefined> {
  const command = await victoriaMetrics().catch((error: unknown) => skip(String(error)))
  if (command === undefined) return undefined
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-bench-'))
  return await startReceiver({
    name: 'victoria_metrics',
    command,
    args: (address) => [`-storageDataPath=${directory}/data`, `-httpListenAddr=${address}`],
    directory,
    readyPath: '/health',
  })
}

interface ReceiverOptions {
  name: string
  command: string
  args: (address: string) => string[]
  env?: NodeJS.ProcessEnv
  /** Of its own; removed in the end. */
  directory: string
  readyPath: string
  /** Other processes that work for it. */
  beside?: readonly number[]
}

async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { name, command, args, env, directory, readyPath, beside = [] } = options
  await tellVersion(name, command)
  const address = `127.0.0.1:${await freePort()}`
  const logFile = join(directory, 'log')
  const began = performance.now()
  const child = await startChild({
    name,
    command,
    args: args(address),
    env: { ...process.env, ...env },
    logFile,
    readyUrl: `http://${address}${readyPath}`,
    signal: new AbortController().signal,
  })
  const startSeconds = (performance.now() - began) / 1000
  const pid = Number(await readFile(`${logFile}.pid`, 'utf8'))
  return {
    name,
    url: `http://${address}/api/v1/write`,
    startSeconds,
    cpuSeconds: async () => {
      const each = await Promise.all([pid, ...beside].map(cpuSeconds))
      return each.reduce((sum, seconds) => sum + seconds, 0)
    },
    residentMegabytes: () => residentMegabytes(pid),
    close: async () => {
      await child.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function victoriaMetrics(): Promise<string> {
  const installed = await findProgram('victoria-metrics', process.env)
  if (installed !== undefined) return installed
  return await debianProgram({ packageName: 'victoria-metrics', program: 'victoria-metrics' })
}

/** Says which version is measured, as any claim has to. */
async function tellVersion(name: string, command: string): Promise<void> {
  const { stdout, stderr } = await run(command, ['--version'])
  process.stderr.write(`${name}: ${command}: ${(stdout || stderr).split('\n')[0]}\n`)
}

function skip(reason: string): undefined {
  process.stderr.write(`SKIPPED: ${reason}\n`)
  return undefined
}
