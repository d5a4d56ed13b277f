import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createLog } from '../../exporter/service/log.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import { postgresSection } from '../../remote-write/postgres/pool.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { type RemoteWriteSettings, remoteWriteSection } from '../../remote-write/settings.ts'
import { freePort } from './port.ts'

export interface RecordProcessOptions {
  databaseUrl: string
  limits?: Partial<RemoteWriteSettings['limits']>
  /** Compacts without a pause, windows that ended more than ten minutes ago. */
  compacting?: boolean
  /** It is killed and started again and again: the next process loads the program ahead. */
  mortal?: boolean
}

/** What the process is told to do. */
interface Order {
  settings: RemoteWriteSettings
  compacting: boolean
}

const shortestDelaySeconds = 600

/** The record in a process of its own, on an address that stays, killed and started at will. */
export class RecordProcess {
  readonly url: string
  readonly #order: Order
  readonly #mortal: boolean
  #running: ChildProcess | undefined
  /** Has the program loaded and waits for its turn, so that a start takes a moment only. */
  #spare: ChildProcess | undefined

  /** Loads the program; call `start` for it to serve. */
  static async load(options: RecordProcessOptions): Promise<RecordProcess> {
    return new RecordProcess(options, await freePort())
  }

  private constructor(options: RecordProcessOptions, port: number) {
    const { databaseUrl, limits = {}, compacting = false, mortal = false } = options
    const listenAddress = `127.0.0.1:${port}`
    this.url = `http://${listenAddress}`
    const compaction = { delaySeconds: shortestDelaySeconds }
    const settings = {
      ...remoteWriteSection.parse({ web: { listenAddress }, limits, compaction }),
      log: { level: 'silent', format: 'json' } as const,
      postgres: { ...postgresSection.parse({}), url: databaseUrl },
    }
    this.#order = { settings, compacting }
    this.#mortal = mortal
    this.#spare = load()
  }

  get pid(): number {
    return this.#running?.pid ?? 0
  }

  /** Resolves once it serves, or was killed before. @throws {Error} when it cannot start. */
  async start(): Promise<void> {
    const child = this.#spare ?? load()
    this.#running = child
    this.#spare = this.#mortal ? load() : undefined
    child.send(this.#order)
    const [said] = await Promise.race([once(child, 'message'), once(child, 'exit')])
    if (typeof said === 'object' && said !== null) throw new Error(`the record: ${said.error}`)
  }

  /** As `kill -9` does it. */
  async kill(): Promise<void> {
    const child = this.#running
    this.#running = undefined
    if (child) await ended(child)
  }

  async close(): Promise<void> {
    await Promise.all([this.kill(), this.#spare && ended(this.#spare)])
  }
}

function load(): ChildProcess {
  return fork(fileURLToPath(import.meta.url), { execArgv: ['--import=tsx'] })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

function serve(): void {
  process.once('disconnect', () => process.exit())
  process.once('message', async ({ settings, compacting }: Order) => {
    const context = { log: createLog('remote-write', settings.log), env: {} }
    const started = startRemoteWrite(settings, context).then(
      () => 'ready',
      (error: unknown) => ({ error: String(error) }),
    )
    process.send?.(await started)
    if (compacting) await compactOn(settings.postgres.url)
  })
}

/** Again and again, through all that the database may suffer. */
async function compactOn(databaseUrl: string): Promise<never> {
  const pool = new pg.Pool({ connectionString: databaseUrl })
  pool.on('error', () => {})
  for (;;) {
    await compactDue(pool, { delaySeconds: shortestDelaySeconds }).catch(() => sleep(20))
    await nextTurn()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve()
