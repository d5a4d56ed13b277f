import type { Pool, PoolClient } from 'pg'

/** Runs `work` in one transaction; when it throws, nothing of it stays and its error goes on. */
export async function inTransaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let failed = true
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    failed = false
    return result
  } finally {
    // A connection that is not given back takes its open transaction with it.
    client.release(failed)
  }
}
