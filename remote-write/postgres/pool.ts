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

/** A pool whose idle connections may die without taking the process with them. */
export async function createPool(
  settings: PostgresSettings,
  { log, env }: { log: Logger; env: NodeJS.ProcessEnv },
): Promise<pg.Pool> {
  const url = new URL(settings.url)
  if (settings.password) url.password = encodeURIComponent(await readSecret(settings.password, env))
  const pool = new pg.Pool({
    connectionString: url.href,
    max: settings.maxConnections,
    connectionTimeoutMillis: 5000,
    application_name: 'joulebridge',
  })
  pool.on('error', (error) => log.warn({ error }, 'idle database connection lost'))
  return pool
}
