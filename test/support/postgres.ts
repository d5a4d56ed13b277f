import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../remote-write/postgres/embedded.ts'
import { migrate } from '../../remote-write/postgres/migrate.ts'

/** A database of its own, cloned from the migrated template; dropped with the server. */
export interface TestDatabase {
  url: string
  pool: pg.Pool
}

let server: Promise<{ postgres: EmbeddedPostgres; directory: string }> | undefined
const pools: pg.Pool[] = []

/** Starts PostgreSQL at the first call of the test run; a clone takes some 20 ms. */
export async function cloneDatabase(): Promise<TestDatabase> {
  server ??= startServer()
  const { postgres } = await server
  const name = `test_${randomBytes(6).toString('hex')}`
  await query(postgres.url, `create database ${name} template joulebridge`)
  const url = postgres.url.replace(/joulebridge$/, name)
  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => {})
  pools.push(pool)
  return { url, pool }
}

after(async function stopServer() {
  if (!server) return
  const { postgres, directory } = await server
  await Promise.all(pools.map((pool) => pool.end().catch(() => {})))
  await postgres.close()
  await rm(directory, { recursive: true, force: true })
})

async function startServer() {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-test-'))
  await chmod(directory, 0o711)
  const postgres = await startEmbeddedPostgres({
    directory: join(directory, 'postgres'),
    port: await freePort(),
    password: randomBytes(12).toString('hex'),
    durable: false,
  })
  await migrate(postgres.url).catch(async (error: unknown) => {
    await postgres.close()
    throw error
  })
  return { postgres, directory }
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url.replace(/joulebridge$/, 'postgres') })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
