import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import pg, { type Pool, type PoolClient } from 'pg'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { moveTo } from '../support/layout.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { storeSeries } from '../support/samples.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000

describe('the roles', () => {
  let pool: Pool
  let url: string

  beforeEach(async () => {
    ;({ pool, url } = await cloneDatabase())
  })

  async function as<T>(role: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect()
    try {
      await client.query(`set role ${role}`)
      return await work(client)
    } finally {
      client.release(true)
    }
  }

  /** Tables, partitions included, and views. */
  async function relations(): Promise<{ name: string; writable: boolean }[]> {
    const { rows } = await pool.query<{ name: string; writable: boolean }>(
      `select relname as name, relkind <> 'v' as writable from pg_class
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')`,
    )
    return rows
  }

  it('let a reader read everything, later partitions too, and write nothing', async () => {
    await storeSeries(pool, [{ metric: 'm', labels: {}, samples: [[t0, 1]] }])
    await moveTo(pool, 'compacted')
    await storeSeries(pool, [{ metric: 'm', labels: { a: 'b' }, samples: [[t0, 1]] }])
    const all = await relations()
    assert.ok(all.some(({ name }) => /^frames_2026/.test(name)))
    assert.ok(all.some(({ name }) => /^segments_/.test(name)))
    await as('joulebridge_reader', async (client) => {
      for (const { name, writable } of all) {
        await client.query(`select * from ${name} limit 1`)
        if (!writable) continue
        await assert.rejects(client.query(`delete from ${name}`), { code: '42501' }, name)
        await assert.rejects(client.query(`insert into ${name} default values`), { code: '42501' })
      }
      const samples = await client.query('select * from sample')
      assert.equal(samples.rowCount, 2)
      await assert.rejects(
        client.query(`select make_partition('frames', '2030-01-01', '2030-01-02')`),
        { code: '42501' },
      )
      await assert.rejects(client.query(`select give_series_ids('[]')`), { code: '42501' })
      await assert.rejects(client.query('create table mine ()'), { code: '42501' })
    })
  })

  it('let a writer store series and samples, make partitions, and no more', async () => {
    await as('joulebridge_writer', async (client) => {
      const asked = JSON.stringify([{ metric: 'm', labels: {}, target: {} }])
      await client.query('select give_series_ids($1)', [asked])
      const window = ['2030-01-01T00:00:00Z', '2030-01-01T04:00:00Z']
      await client.query(`select make_partition('frames', $1, $2)`, window)
      await client.query('insert into frames (frame, time, v) values (0, $1, $2)', [window[0], [1]])
      const { rows } = await client.query('select value from sample')
      assert.deepEqual(rows, [{ value: 1 }])
      for (const table of ['transition', 'task', 'schema_migration']) {
        await assert.rejects(client.query(`delete from ${table}`), { code: '42501' }, table)
      }
      await assert.rejects(client.query('drop table frames'), { code: '42501' })
    })
  })

  it('let an owner change every row', async () => {
    const tables = (await relations()).filter(({ writable }) => writable)
    await as('joulebridge_owner', async (client) => {
      await client.query('begin')
      for (const { name } of tables) await client.query(`delete from ${name}`)
      await client.query('rollback')
    })
  })

  it('are left alone, with a warning, where the login may not make roles', async () => {
    const login = `plain_${randomBytes(6).toString('hex')}`
    await pool.query(`create role ${login} login password 'p'`)
    await pool.query(`create database ${login} owner ${login}`)
    const plain = new URL(url)
    Object.assign(plain, { username: login, password: 'p', pathname: `/${login}` })
    await renamed(['reader', 'writer', 'owner'], async () => {
      const warnings: string[] = []
      await migrate(plain.href, (warning) => warnings.push(warning))
      assert.match(warnings.join(), /the roles joulebridge_reader, .* are not kept up to date/)
    })
    // Roles that are there are used, whoever made them.
    await migrate(plain.href, (warning) => assert.fail(warning))
    const client = new pg.Client({ connectionString: plain.href })
    await client.connect()
    const { rows } = await client.query(
      `select has_table_privilege('joulebridge_reader', 'frames', 'select') as reads`,
    )
    await client.end()
    assert.deepEqual(rows, [{ reads: true }])
  })

  /** Hides the server's roles while `work` runs. */
  async function renamed(names: readonly string[], work: () => Promise<void>): Promise<void> {
    const rename = async (from: string, to: string) => {
      for (const name of names)
        await pool.query(`alter role ${from}_${name} rename to ${to}_${name}`)
    }
    await rename('joulebridge', 'hidden')
    try {
      await work()
    } finally {
      await rename('hidden', 'joulebridge')
    }
  }

  it('are made by several databases of a server at the same moment', async () => {
    const names = Array.from({ length: 6 }, () => `several_${randomBytes(6).toString('hex')}`)
    for (const name of names) await pool.query(`create database ${name}`)
    await renamed(['reader', 'writer', 'owner'], async () => {
      const warnings: string[] = []
      const urls = names.map((name) => url.replace(/[^/]+$/, name))
      await Promise.all(urls.map((one) => migrate(one, (warning) => warnings.push(warning))))
      assert.deepEqual(warnings, [])
      for (const name of names) await pool.query(`drop database ${name}`)
      for (const role of ['reader', 'writer', 'owner']) {
        await pool.query(`drop role joulebridge_${role}`)
      }
    })
  })
})
