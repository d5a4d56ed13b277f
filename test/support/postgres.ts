import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { startServer, type TestServer } from './server.ts'

/** A database of its own, cloned from the migrated template; dropped with the server. */
export interface TestDatabase {
  url: string
  pool: pg.Pool
}

let server: Promise<TestServer> | undefined
const pools: pg.Pool[] = []

/** Starts PostgreSQL at the first call of the test run; a clone takes some 20 ms. */
export async function cloneDatabase(): Promise<TestDatabase> {
  server ??= startMigrated()
  const template = (await server).url
  const name = `test_${randomBytes(6).toString('hex')}`
  await query(template, `create database ${name} template joulebridge`)
  const url = template.replace(/joulebridge$/, name)
  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => {})
  pools.push(pool)
  return { url, pool }
}

after(async function stopServer() {
  await Promise.all(pools.map((pool) => pool.end().catch(() => {})))
  await (await server)?.close()
})

async function startMigrated(): Promise<TestServer> {
  const started = await startServer()
  await migrate(started.url).catch(async (error: unknown) => {
    await started.close()
    throw error
  })
  return started
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
