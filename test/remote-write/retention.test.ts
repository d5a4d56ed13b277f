import assert from 'node:assert/strict'
import type { Service } from '../../exporter/service/http.ts'
import { parseSettings } from '../../exporter/service/settings.ts'
import { Partitions } from '../../remote-write/partitions.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { applyRetention, type Retained } from '../../remote-write/segments/retention.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord, write } from '../support/remote-write.ts'

const day = 86_400
const dayMs = day * 1000

/** Noon, so many days ago. */
function daysAgo(days: number): number {
  return Math.floor(Date.now() / dayMs - days) * dayMs + dayMs / 2
}

describe('retention', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url, { pastSeconds: 100 * day })
  })

  afterEach(() => service.close())

  /** Of metrics of one target, a sample at noon of each of these days ago. */
  async function send(days: readonly number[], metrics: readonly string[]): Promise<void> {
    const samples = days.map((ago) => [daysAgo(ago), ago] as const)
    const labels = { job: 'exporter', instance: 'a:1' }
    const series = metrics.map((name) => ({ labels: { __name__: name, ...labels }, samples }))
    assert.equal((await write(service, series)).status, 204)
  }

  async function retain(retention: object, swept = new Set<string>()): Promise<Retained> {
    const { retention: settings } = remoteWriteSection.parse({ retention })
    const partitions = new Partitions()
    const retained = await applyRetention(database.pool, { settings, partitions, swept })
    assert.ok(retained)
    return retained
  }

  /** Days ago of the samples, by metric. */
  async function segments(): Promise<Record<string, number[]>> {
    const { rows } = await database.pool.query<{ metric: string; days: number[] }>(
      `select s.metric, array_agg(g.first order by g.first) as days
       from segments g join series s on s.frame = g.frame and s.position = g.position
       group by 1 order by 1`,
    )
    return Object.fromEntries(rows.map(({ metric, days }) => [metric, days]))
  }

  async function count(table: string): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      `select count(*)::int4 as n from ${table}`,
    )
    return rows[0]?.n ?? -1
  }

  it('drops the days that are older than samples are kept, and keeps the roll-ups', async () => {
    await send([3, 9, 11, 40], ['a_watts', 'b_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const { droppedPartitions } = await retain({ samplesSeconds: 10 * day })
    assert.deepEqual(await segments(), { a_watts: [3, 9], b_watts: [3, 9] })
    assert.equal(droppedPartitions, 2)
    assert.equal(await count('rollup'), 4)
  })

  it('drops roll-ups by their own time', async () => {
    await send([3, 9, 70], ['a_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    await retain({ samplesSeconds: 2 * day, rollupSeconds: 30 * day })
    assert.deepEqual(await segments(), {})
    assert.equal(await count('rollup'), 2)
  })

  it('drops windows of frames that were never compacted', async () => {
    await send([3, 40], ['a_watts'])
    await retain({ samplesSeconds: 10 * day })
    assert.equal(await count('frames'), 1)
  })

  it('keeps metrics as long as the first pattern says that matches the whole name', async () => {
    await send([3, 9, 11, 21, 41], ['a_watts', 'a_watts_total', 'b_joules', 'c_volts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const { deletedRows } = await retain({
      samplesSeconds: 20 * day,
      metrics: [
        { match: '.*_watts', samplesSeconds: 10 * day },
        { match: 'a_.*', samplesSeconds: 40 * day },
        { match: 'b_joules', samplesSeconds: 8 * day },
      ],
    })
    assert.deepEqual(await segments(), {
      a_watts: [3, 9],
      a_watts_total: [3, 9, 11, 21],
      b_joules: [3],
      c_volts: [3, 9, 11],
    })
    assert.equal(deletedRows, 2 + 3 + 1)
  })

  it('takes single series out of the roll-ups, and rows of which nothing is left', async () => {
    await send([70, 3], ['a_watts', 'b_watts'])
    await send([100 - 1], ['b_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const metrics = [{ match: 'b_watts', samplesSeconds: 10 * day, rollupSeconds: 30 * day }]
    await retain({ metrics })
    const { rows } = await database.pool.query(
      `select array_remove(n, null) as n, array_remove(sum, null) as sum,
         array_length(n, 1) as length
       from rollup order by t0`,
    )
    assert.deepEqual(rows, [
      { n: [1], sum: [70], length: 2 },
      { n: [1, 1], sum: [3, 3], length: 2 },
    ])
  })

  it('sweeps a partition once, until it is told to look again', async () => {
    await send([3, 21], ['a_watts', 'b_joules'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const swept = new Set<string>()
    const retention = { metrics: [{ match: 'a_watts', samplesSeconds: 10 * day }] }
    assert.equal((await retain(retention, swept)).deletedRows, 1)
    await send([21], ['a_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const again = [await retain(retention, swept), await retain(retention)]
    assert.deepEqual(
      again.map(({ deletedRows }) => deletedRows),
      [0, 1],
    )
  })

  it('drops the days of histograms and exemplars that are older than that', async () => {
    await send([3], ['a_watts'])
    const at = [3, 5, 12, 40].map((days) => new Date(daysAgo(days)))
    for (const table of ['histogram', 'exemplar']) {
      await database.pool.query(
        `select make_partition($1, date_trunc('day', at, 'UTC'),
           date_trunc('day', at, 'UTC') + interval '1 day') from unnest($2::timestamptz[]) as at`,
        [table, at],
      )
    }
    await database.pool.query(
      `insert into histogram select 0, 0, at, 'x' from unnest($1::timestamptz[]) as at`,
      [at],
    )
    await database.pool.query(
      `insert into exemplar select 0, 0, at, '{}', 1 from unnest($1::timestamptz[]) as at`,
      [at],
    )
    await retain({
      samplesSeconds: 10 * day,
      metrics: [{ match: 'a_watts', samplesSeconds: 60 * day }],
    })
    assert.deepEqual([await count('histogram'), await count('exemplar')], [2, 2])
  })

  it('leaves a partition that is in use to the next run', async () => {
    await send([3, 40], ['a_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const reader = await database.pool.connect()
    await reader.query('begin')
    await reader.query('select from segments')
    const first = await retain({ samplesSeconds: 10 * day })
    await reader.query('commit')
    reader.release()
    const second = await retain({ samplesSeconds: 10 * day })
    assert.deepEqual([first.partitionsInUse, first.droppedPartitions], [1, 0])
    assert.deepEqual([second.partitionsInUse, second.droppedPartitions], [0, 1])
  })

  it('leaves the roll-ups of dropped samples when others of their frame come late', async () => {
    await send([12], ['a_watts', 'b_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    await retain({ samplesSeconds: 10 * day })
    await send([12], ['c_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    const { rows } = await database.pool.query('select array_remove(sum, null) as sum from rollup')
    assert.deepEqual(rows, [{ sum: [12, 12, 12] }])
  })

  it('takes samples into a day that was dropped', async () => {
    await send([40], ['a_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    await retain({ samplesSeconds: 10 * day })
    await send([40], ['a_watts'])
    await compactDue(database.pool, { delaySeconds: 7200 })
    assert.deepEqual(await segments(), { a_watts: [40] })
  })
})

describe('settings of retention', () => {
  function parse(text: string) {
    return parseSettings(remoteWriteSection, text, 'joulebridge.yml')
  }

  it('take samples no older than they are kept', () => {
    assert.equal(parse('').limits.pastSeconds, 31 * day)
    assert.equal(parse('retention: {samples_seconds: 604800}').limits.pastSeconds, 7 * day)
    assert.throws(
      () => parse('retention: {samples_seconds: 604800}\nlimits: {past_seconds: 700000}'),
      /yml:2: limits.past_seconds: 700000 is more than retention.samples_seconds, 604800/,
    )
  })

  it('name a pattern, a time or a schedule that means nothing', () => {
    assert.throws(
      () => parse('retention: {metrics: [{match: "a(", samples_seconds: 604800}]}'),
      /retention.metrics.0.match: expected a regular expression/,
    )
    assert.throws(() => parse('retention: {samples_seconds: 3600}'), /at least 86400 seconds/)
    assert.throws(() => parse('compaction: {schedule: often}'), /expected a cron expression/)
  })
})
