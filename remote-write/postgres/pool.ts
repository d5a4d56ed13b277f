import pg from 'pg'
import { z } from 'zod'
import type { Logger } from '../../exporter/service/log.ts'
import { readSecret, secret } from '../../exporter/service/settings.ts'

/** The section `postgres`, which remote-write and control share. */
export const postgresSection = z
  .strictObject({
    url: z
      .url({ protocol: /^postgres(ql)?$/, error: 'expected postgres://user@host:port/database' })
      .refine((url) => new URL(url).password === '', 'has a password: use postgres.password')
      .default('postgres://joulebridge@127.0.0.1:5432/joulebridge'),
    password: secret.optional(),
    maxConnections: z.int().min(2).default(10),
  })
  .prefault({})

export type PostgresSettings = z.output<typeof postgresSection>

/** The connection URL with its password. @throws {Error} naming a secret that cannot be read. */
export async function connectionUrl(
  settings: PostgresSettings,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const url = new URL(settings.url)
  if (settings.password) url.password = encodeURIComponent(await readSecret(settings.password, env))
  return url.href
}

/** Where the database is, for messages: `db.example:5432/joulebridge`. */
export function databasePlace(settings: PostgresSettings): string {
  const { host, pathname } = new URL(settings.url)
  return host + pathname
}

/** A pool whose connections may die, idle or in use, without taking the process with them. */
export async function createPool(
  settings: PostgresSettings,
  { log, env }: { log: Logger; env: NodeJS.ProcessEnv },
  options: pg.PoolConfig = {},
): Promise<pg.Pool> {
  const pool = new pg.Pool({
    connectionString: await connectionUrl(settings, env),
    max: settings.maxConnections,
    connectionTimeoutMillis: 5000,
    application_name: 'joulebridge',
    ...options,
  })
  pool.on('error', (error) => log.warn({ error }, 'idle database connection lost'))
  // Whoever uses the connection learns of it by the failure of the query.
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/**
 * A pool of one connection, for a writer whose commits are on disk before they are answered,
 * whatever the server's default; no answer is waited for longer than a minute.
 */
export function createWriterPool(
  settings: PostgresSettings,
  context: { log: Logger; env: NodeJS.ProcessEnv },
): Promise<pg.Pool> {
  return createPool(settings, context, {
    max: 1,
    keepAlive: true,
    query_timeout: 60_000,
    onConnect: async (client) => {
      await client.query(
        `select set_config('synchronous_commit', 'on', false)
         where current_setting('synchronous_commit') = 'off'`,
      )
    },
  })
}
