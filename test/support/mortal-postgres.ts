import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../remote-write/postgres/embedded.ts'
import { freePort } from './port.ts'

/** A PostgreSQL that syncs to disk, with one database, that crashes and starts again at will. */
export class MortalPostgres {
  /** Of its database `joulebridge`, which is empty. */
  readonly url: string
  /** Where its data is. */
  readonly directory: string
  readonly #options: { port: number; password: string }
  readonly #parent: string
  #server: EmbeddedPostgres

  /** `prepare` sees the folder of the data before it is filled. */
  static async start(prepare?: (directory: string) => void): Promise<MortalPostgres> {
    const parent = await mkdtemp(join(tmpdir(), 'joulebridge-mortal-'))
    await chmod(parent, 0o711)
    const options = { port: await freePort(), password: randomBytes(12).toString('hex') }
    prepare?.(join(parent, 'postgres'))
    return new MortalPostgres(parent, options, await startIn(parent, options))
  }

  private constructor(
    parent: string,
    options: { port: number; password: string },
    server: EmbeddedPostgres,
  ) {
    this.#parent = parent
    this.#options = options
    this.#server = server
    this.url = server.url
    this.directory = join(parent, 'postgres')
  }

  /** Resolves when the server has ended, to how. */
  get ended(): Promise<string> {
    return this.#server.ended
  }

  /** What `pg_ctl stop --mode immediate` does: no shutdown, recovery at the next start. */
  async stopImmediately(): Promise<void> {
    const [pid] = (await readFile(join(this.directory, 'postmaster.pid'), 'utf8')).split('\n')
    process.kill(Number(pid), 'SIGQUIT')
    await this.#server.ended
  }

  async startAgain(): Promise<void> {
    this.#server = await startIn(this.#parent, this.#options)
  }

  async close(): Promise<void> {
    await this.#server.close()
  }

  /** After `close`. */
  async remove(): Promise<void> {
    await rm(this.#parent, { recursive: true, force: true })
  }
}

function startIn(
  parent: string,
  options: { port: number; password: string },
): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ directory: join(parent, 'postgres'), durable: true, ...options })
}
