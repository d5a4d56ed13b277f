import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { until } from '../support/command.ts'
import { LedgerSender } from '../support/ledger.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { RecordProcess } from '../support/record-process.ts'
import { type WrittenSeries, write } from '../support/remote-write.ts'
import { histogram, type SeriesV2, writeV2 } from '../support/remote-write-v2.ts'

const now = Date.now()

/**
 * Several receivers on one database need no agreement among each other. The database gives ids out
 * one receiver at a time; rows are written in order of their keys, so that transactions that meet
 * wait for each other and never in a circle; where two bring the same sample, one stays.
 */
describe('several receivers on one database', function several() {
  this.timeout(120_000)
  let database: TestDatabase
  let records: RecordProcess[]

  before(async () => {
    database = await cloneDatabase()
    records = await startAll(database.url, 3)
  })

  after(() => closeAll(records))

  async function number(query: string): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(`select (${query})::int4 as n`)
    return rows[0]?.n ?? -1
  }

  const deadlocks = () =>
    number('select deadlocks from pg_stat_database where datname = current_database()')

  it('give each series one id when all learn of the same ones at once', async () => {
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        records.flatMap((record, i) => [
          writeV2(service(record), turned(histograms(round), i)),
          write(service(record), turned(plain(round), i * 7)),
        ]),
      )
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]))
    }
    assert.equal(await number('select count(*) from series'), 20 * 150)
    assert.equal(await number('select count(distinct (metric, labels)) from series'), 20 * 150)
    assert.equal(await number('select count(*) from sample'), 20 * 100)
    assert.equal(await number('select count(*) from histogram'), 20 * 50)
    assert.equal(await number('select count(*) from exemplar'), 20 * 50)
    assert.equal(await deadlocks(), 0)
  })

  it('wait for each other in no circle when they write the same rows in other orders', async () => {
    const stored = await number('select count(*) from sample')
    for (let round = 0; round < 40; round++) {
      const times = Array.from({ length: 5 }, (_, i) => now - 1000 * (5 * round + i + 1))
      const scrapes = times.flatMap((timeMs) =>
        plain(0).map(({ labels }, i): WrittenSeries => ({ labels, samples: [[timeMs, i]] })),
      )
      const answers = await Promise.all(
        records.map((record, i) => write(service(record), turned(scrapes, i * 11))),
      )
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]))
    }
    assert.equal(await number('select count(*) from sample'), stored + 40 * 500)
    assert.equal(await deadlocks(), 0)
  })

  it('store once what three senders send them at random, all three the same', async () => {
    await storeOnce(records, { requests: 500, spanSeconds: 3600 })
  })

  it('do so while one of them compacts what they write to', async () => {
    const [compacting] = await startAll(database.url, 1, { compacting: true })
    assert.ok(compacting)
    try {
      await storeOnce([...records, compacting], { requests: 200, spanSeconds: 12 * 3600 })
      assert.ok((await number('select count(*) from segments')) > 0, 'nothing was compacted')
    } finally {
      await compacting.close()
    }
  })

  it('start while somebody reads the views in a transaction that goes on and on', async () => {
    const reader = await database.pool.connect()
    await reader.query('begin; select from sample limit 1')
    try {
      await closeAll(await startAll(database.url, 1))
    } finally {
      await reader.query('rollback')
      reader.release()
    }
  })

  /** All three send the very same: whoever comes first brings it, the others repeat it. */
  async function storeOnce(
    receivers: readonly RecordProcess[],
    { requests, spanSeconds }: { requests: number; spanSeconds: number },
  ): Promise<void> {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
    process.stderr.write(`      seed ${seed}: SEED=${seed} repeats it\n`)
    const urls = receivers.map(({ url }) => url)
    const options = { urls, seed: seed + requests, now: new Date(now), spanSeconds }
    const senders = Array.from({ length: 3 }, () => new LedgerSender(options))
    for (const sender of senders) sender.start()
    await until(() => senders.every(({ answered }) => answered >= requests) || undefined, 90)
    await Promise.all(senders.map((sender) => sender.stop()))
    const most = senders.reduce((a, b) => (a.samples > b.samples ? a : b))
    const differences = await most.differences(database.pool)
    assert.deepEqual(differences.slice(0, 5), [], `${differences.length} series differ`)
    assert.equal(await deadlocks(), 0)
    assert.deepEqual(
      senders.map(({ retried }) => retried),
      [0, 0, 0],
    )
  }
})

describe('twenty receivers that start at once on an empty database', function twenty() {
  this.timeout(120_000)

  it('all serve, each migration having been applied once', async () => {
    const { url, pool } = await cloneDatabase()
    const name = `empty_${randomBytes(6).toString('hex')}`
    await pool.query(`create database ${name}`)
    const empty = url.replace(/[^/]+$/, name)
    const records = await startAll(empty, 20)
    try {
      const answers = await Promise.all(
        records.map((record, i) => write(service(record), plain(i % 3))),
      )
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]))
      const client = new pg.Client({ connectionString: empty })
      await client.connect()
      const { rows } = await client.query(
        `select (select count(*)::int4 from series) as series,
           (select array_agg(version order by version) from schema_migration) as versions`,
      )
      await client.end()
      const versions = await pool.query(
        'select array_agg(version order by version) as versions from schema_migration',
      )
      assert.deepEqual(rows, [{ series: 300, versions: versions.rows[0].versions }])
    } finally {
      await closeAll(records)
    }
  })
})

async function startAll(
  databaseUrl: string,
  count: number,
  options: { compacting?: boolean } = {},
): Promise<RecordProcess[]> {
  const load = () => RecordProcess.load({ databaseUrl, ...options })
  const records = await Promise.all(Array.from({ length: count }, load))
  await Promise.all(records.map((record) => record.start()))
  return records
}

async function closeAll(records: readonly RecordProcess[] = []): Promise<void> {
  await Promise.all(records.map((record) => record.close()))
}

function service({ url }: RecordProcess) {
  return { url, close: async () => {} }
}

/** 100 new series of ten targets. */
function plain(round: number): WrittenSeries[] {
  return Array.from({ length: 100 }, (_, i) => ({
    labels: { __name__: `plain_${round}`, instance: `host-${i % 10}`, part: `${i}`, job: 'a' },
    samples: [[now + round, i]],
  }))
}

/** 50 new series with histograms and exemplars. */
function histograms(round: number): SeriesV2[] {
  return Array.from({ length: 50 }, (_, i) => ({
    labels: { __name__: `wait_${round}`, instance: `host-${i % 10}`, part: `${i}`, job: 'a' },
    histograms: [histogram({ timeMs: now + round, schema: 0, sum: i })],
    exemplars: [{ labels: { trace_id: `${i}` }, value: 1, timeMs: now + round }],
    metadata: { type: 3, help: `Round ${round}.`, unit: '' },
  }))
}

/** The list, beginning elsewhere. */
function turned<T>(list: readonly T[], by: number): T[] {
  const start = (by * 13) % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
