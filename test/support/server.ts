import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../../remote-write/postgres/embedded.ts'
import { freePort } from './port.ts'

export interface TestServer {
  /** Of its database `joulebridge`, empty. */
  url: string
  directory: string
  close(): Promise<void>
}

/**
 * A PostgreSQL in a folder of its own; `durable` syncs to disk, as benches must. Where the variable
 * `TEST_POSTGRES` names a folder with the programs of another PostgreSQL, it is that one.
 */
export async function startServer({ durable = false } = {}): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-test-'))
  await chmod(directory, 0o711)
  const postgres = await startEmbeddedPostgres({
    directory: join(directory, 'postgres'),
    port: await freePort(),
    password: randomBytes(12).toString('hex'),
    durable,
    ...installedBinaries(process.env['TEST_POSTGRES']),
  })
  return {
    url: postgres.url,
    directory,
    close: async () => {
      await postgres.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function installedBinaries(folder: string | undefined) {
  if (folder === undefined) return {}
  return { binaries: { initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') } }
}
