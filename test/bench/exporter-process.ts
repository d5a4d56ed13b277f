import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from '../../exporter/service/child.ts'
import { freePort } from '../support/port.ts'
import type { Fleet } from './exporter-fleet.ts'
import { cpuSeconds, residentMegabytes } from './processes.ts'

/** The real exporter in a process of its own. */
export interface ExporterProcess {
  /** Base URL of its pages. */
  url: string
  pid: number
  /** Used so far. */
  cpuSeconds(): Promise<number>
  residentMegabytes(): Promise<number>
  /** What it has logged so far. */
  log(): Promise<string>
  close(): Promise<void>
}

export interface ExporterOptions {
  fleet: Pick<Fleet, 'devices' | 'certificate' | 'login'>
  poll: Poll
  /** For Node, such as `--expose-gc`. */
  nodeOptions?: readonly string[]
  logLevel?: 'warn' | 'error'
}

interface Poll {
  fastSeconds: number
  slowSeconds: number
  timeoutSeconds?: number
  /** Instead of the paces that are built in for a kind. */
  kinds?: Record<string, { fastSeconds: number }>
}

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Resolves when it is ready: the first device has been polled. */
export async function startExporterProcess(options: ExporterOptions): Promise<ExporterProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-bench-'))
  const file = join(directory, 'settings.json')
  await writeFile(file, JSON.stringify(await settingsOf(options, directory)))
  const address = `127.0.0.1:${await freePort()}`
  const logFile = join(directory, 'log')
  const child = await startChild({
    name: 'exporter',
    command: process.execPath,
    args: [
      ...['--import', 'tsx', ...(options.nodeOptions ?? []), join(root, 'joulebridge.ts')],
      ...['exporter', '--config.file', file, '--web.listen-address', address],
    ],
    env: { ...process.env, BENCH_PASSWORD: options.fleet.login.password },
    logFile,
    readyUrl: `http://${address}/-/ready`,
    signal: new AbortController().signal,
  })
  const pid = Number(await readFile(`${logFile}.pid`, 'utf8'))
  return {
    url: `http://${address}`,
    pid,
    cpuSeconds: () => cpuSeconds(pid),
    residentMegabytes: () => residentMegabytes(pid),
    log: () => readFile(logFile, 'utf8'),
    async close() {
      await child.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function settingsOf(options: ExporterOptions, directory: string): Promise<object> {
  const { fleet, poll, logLevel = 'error' } = options
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, fleet.certificate)
  const { username } = fleet.login
  return {
    log: { level: logLevel },
    devices: fleet.devices,
    exporter: {
      poll: snakeKeys(poll),
      credentials: [{ username, password: { env: 'BENCH_PASSWORD' }, ca_file: caFile }],
    },
  }
}

/** As settings are written in a file; the names of kinds hold no capitals. */
function snakeKeys(settings: object): object {
  const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      snake(key),
      typeof value === 'object' && value !== null ? snakeKeys(value) : value,
    ]),
  )
}

/** A scraper that does nothing else: one connection, kept alive. */
export interface Scraper {
  /** The body as it came, and the time from the request to its end. */
  scrape(path?: string): Promise<{ body: Buffer; milliseconds: number }>
  close(): void
}

export function startScraper(url: string, headers: Record<string, string>): Scraper {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    scrape: (path = '/metrics') =>
      new Promise((resolve, reject) => {
        const from = performance.now()
        const asked = request(`${url}${path}`, { agent, headers }, (response) => {
          const parts: Buffer[] = []
          response.on('data', (part) => parts.push(part))
          response.on('error', reject)
          response.on('end', () => {
            const milliseconds = performance.now() - from
            const body = Buffer.concat(parts)
            if (response.statusCode === 200) resolve({ body, milliseconds })
            else reject(new Error(`${url}${path}: status ${response.statusCode}`))
          })
        })
        asked.on('error', reject).end()
      }),
    close: () => agent.destroy(),
  }
}
