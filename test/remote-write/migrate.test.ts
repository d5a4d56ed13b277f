import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { checkSchema, migrate } from '../../remote-write/postgres/migrate.ts'
import { cloneDatabase } from '../support/postgres.ts'

/** An empty database on the tests' server. */
async function emptyDatabase(): Promise<string> {
  const { url, pool } = await cloneDatabase()
  const name = `empty_${randomBytes(6).toString('hex')}`
  await pool.query(`create database ${name}`)
  return url.replace(/[^/]+$/, name)
}

describe('migrate', () => {
  it('works when twenty processes start at once', async () => {
    const url = await emptyDatabase()
    await Promise.all(Array.from({ length: 20 }, () => migrate(url)))
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query(
      'select version, name, length(sha256) as digits from schema_migration order by version',
    )
    await client.end()
    assert.deepEqual(rows[0], { version: 1, name: '0001_series.sql', digits: 64 })
    assert.deepEqual(
      rows.map(({ version }) => version),
      rows.map((_, i) => i + 1),
    )
  })

  it('changes nothing the second time', async () => {
    const { url, pool } = await cloneDatabase()
    const applied = 'select * from schema_migration order by version'
    const before = await pool.query(applied)
    await migrate(url)
    assert.deepEqual((await pool.query(applied)).rows, before.rows)
    await checkSchema(pool)
  })

  it('refuses a migration that was changed after it was applied', async () => {
    const { url, pool } = await cloneDatabase()
    await pool.query(`update schema_migration set sha256 = 'other' where version = 1`)
    await assert.rejects(migrate(url), /^Error: migration 0001_series.sql was changed after/)
  })

  it('refuses a schema newer than the program', async () => {
    const { url, pool } = await cloneDatabase()
    await pool.query(
      `insert into schema_migration (version, name, sha256) values (9999, '9999_new.sql', '')`,
    )
    await assert.rejects(
      migrate(url),
      /9999_new.sql, which this program does not know: it is newer/,
    )
    await assert.rejects(checkSchema(pool), /the database has schema version 9999, this program \d/)
  })

  it('keeps samples of the widest frame and label set within what an index takes', async () => {
    const { pool } = await cloneDatabase()
    const labels = Object.fromEntries(
      Array.from({ length: 64 }, (_, i) => [`l${i}`, randomBytes(2048).toString('hex')]),
    )
    const asked = JSON.stringify([{ metric: 'm', labels, target: labels }])
    const { rows } = await pool.query('select give_series_ids($1) as id', [asked])
    assert.deepEqual(rows, [{ id: 0 }])
  })
})
