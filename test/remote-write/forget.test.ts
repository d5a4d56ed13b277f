import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Service } from '../../exporter/service/http.ts'
import { Partitions } from '../../remote-write/partitions.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { applyRetention } from '../../remote-write/segments/retention.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'
import { histogram, writeV2 } from '../support/remote-write-v2.ts'

const day = 86_400
const longAgo = 90 * day * 1000

/** Samples are kept for ten days, roll-ups for thirty, and those of jobs no longer than samples. */
const { retention: settings, jobLabels } = remoteWriteSection.parse({
  retention: { samplesSeconds: 10 * day, rollupSeconds: 30 * day },
})

describe('a series of which nothing is left', () => {
  let database: TestDatabase
  const services: Service[] = []

  beforeEach(async () => {
    database = await cloneDatabase()
    // As if each series had been there for years: a young one has something left.
    await database.pool.query(
      `alter table series alter column created_at set default now() - interval '3 years'`,
    )
    services.push(await startRecord(database.url, { pastSeconds: 100 * day }))
  })

  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()))
  })

  /** A run as upkeep makes them each hour; how many series it forgot. */
  async function retain(): Promise<number> {
    const options = { settings, jobLabels: jobLabels.jobId, partitions: new Partitions() }
    const retained = await applyRetention(database.pool, { ...options, swept: new Set() })
    assert.ok(retained)
    return retained.forgottenSeries
  }

  async function send(series: readonly WrittenSeries[], service = services[0]): Promise<void> {
    assert.ok(service)
    for (;;) {
      const { status, text } = await write(service, series)
      if (status === 204) return
      // The partition of an old sample went: it is made at the next attempt.
      assert.equal(status, 503, text)
    }
  }

  async function list(query: string): Promise<unknown[]> {
    return (await database.pool.query({ text: query, rowMode: 'array' })).rows.flat()
  }

  const metrics = () => list('select metric from series order by 1')

  function one(metric: string, agoMs: number, labels: Record<string, string> = {}): WrittenSeries {
    const time = Date.now() - agoMs
    return {
      labels: { __name__: metric, job: 'a', instance: 'b', ...labels },
      samples: [[time, 1]],
    }
  }

  it('is forgotten by the second run, and others are not', async () => {
    await send([one('a_watts', longAgo), one('b_watts', 1000), one('c_watts', 20 * day * 1000)])
    await compactDue(database.pool, { delaySeconds: 7200 })
    assert.equal(await retain(), 0)
    assert.deepEqual(await metrics(), ['a_watts', 'b_watts', 'c_watts'])
    assert.deepEqual([await retain(), await retain()], [1, 0])
    assert.deepEqual(await metrics(), ['b_watts', 'c_watts'])
  })

  it('stays while an exemplar or a native histogram is there', async () => {
    const [service] = services
    assert.ok(service)
    const timeMs = Date.now() - 1000
    await writeV2(service, [
      { labels: { __name__: 'wait' }, histograms: [histogram({ timeMs, schema: 0, sum: 1 })] },
    ])
    await send([one('old_total', longAgo)])
    await database.pool.query(
      `select make_partition('exemplar', date_trunc('day', now(), 'UTC'),
         date_trunc('day', now(), 'UTC') + interval '1 day')`,
    )
    await database.pool.query(
      `insert into exemplar
       select frame, position, now(), '{}', 1 from series where metric = 'old_total'`,
    )
    assert.deepEqual([await retain(), await retain()], [0, 0])
    assert.deepEqual(await metrics(), ['old_total', 'wait'])
  })

  it('takes roll-ups of a job no longer than its samples, unless it is told so', async () => {
    await send([one('a_watts', 45 * day * 1000, { jobid: '1' }), one('a_watts', 45 * day * 1000)])
    await compactDue(database.pool, { delaySeconds: 7200 })
    await retain()
    const kept = 'select count(*)::int4 from rollup r, unnest(r.n) u where u is not null'
    assert.deepEqual(await list(kept), [1])
  })

  it('gets another id when it comes back, under which all of it is found', async () => {
    await send([one('a_watts', longAgo)])
    const before = await list('select id from series')
    assert.deepEqual([await retain(), await retain()], [0, 1])
    await send([one('a_watts', 1000), one('b_watts', 1000)])
    assert.deepEqual(await list(countByMetric), ['a_watts 1', 'b_watts 1'])
    assert.notDeepEqual(await list(`select id from series where metric = 'a_watts'`), before)
  })

  it('stays when it comes back before the second run', async () => {
    await send([one('a_watts', longAgo)])
    const before = await list('select id from series')
    await retain()
    await send([one('a_watts', 1000)])
    assert.equal(await retain(), 0)
    assert.deepEqual(await list('select id from series'), before)
    assert.deepEqual(await list(countByMetric), ['a_watts 1'])
  })

  it('leaves its frame to other targets after a week', async () => {
    const old = Array.from({ length: 65 }, (_, i) => one(`a_${i}`, longAgo))
    await send([...old, one('b_watts', 1000, { instance: 'c' })])
    await retain()
    assert.equal(await retain(), 65)
    await send([one('c_watts', 1000, { instance: 'd' })])
    await database.pool.query(
      `update forgotten_series set forgotten_at = now() - interval '8 days'`,
    )
    await retain()
    const more = Array.from({ length: 130 }, (_, i) => one(`e_${i}`, 1000, { instance: 'e' }))
    await send([...more, one('b_watts', 500, { instance: 'c' })])
    assert.deepEqual(await list('select distinct frame from series order by 1'), [0, 1, 2, 3, 4])
    assert.deepEqual(await list('select next_frame from frame_counter'), [5])
    const samples = await list(`${countByMetric} limit 1`)
    assert.deepEqual(samples, ['b_watts 2'])
    assert.deepEqual(await list('select count(*)::int4 from sample'), [133])
  })

  it('is learnt anew by a receiver that slept for longer than it is remembered', async () => {
    await send([one('a_watts', longAgo), one('b_watts', 1000)])
    await retain()
    await retain()
    await database.pool.query(
      `update forgotten_series set forgotten_at = now() - interval '8 days'`,
    )
    await retain()
    await send([one('a_watts', 500), one('b_watts', 500)])
    assert.deepEqual(await list(countByMetric), ['a_watts 1', 'b_watts 2'])
  })

  it('never takes along a sample that was answered, whenever it comes', async () => {
    services.push(await startRecord(database.url, { pastSeconds: 100 * day }))
    const series = fc.nat({ max: 30 })
    const request = fc.record({
      fresh: fc.uniqueArray(series, { maxLength: 8 }),
      old: fc.uniqueArray(series, { maxLength: 8 }),
      receiver: fc.nat({ max: 1 }),
    })
    const round = fc.record({
      requests: fc.array(request, { maxLength: 4 }),
      runs: fc.nat({ max: 3 }),
      dropped: fc.uniqueArray(series, { maxLength: 20 }),
    })
    const stored = new Map<number, number>()
    let timeMs = Date.now() - 3_600_000
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 6 }), async (rounds) => {
        for (const { requests, runs, dropped } of rounds) {
          await dropSamples(dropped)
          for (const i of dropped) stored.delete(i)
          const senders = requests.map(async ({ fresh, old, receiver }) => {
            const time = timeMs++
            const labels = (i: number) => ({ __name__: `s_${i}`, instance: `${i % 3}` })
            await send(
              [
                ...fresh.map((i) => ({ labels: labels(i), samples: [[time, i]] as const })),
                ...old.map((i) => ({ labels: labels(i), samples: [[time - longAgo, i]] as const })),
              ],
              services[receiver],
            )
            for (const i of fresh) stored.set(i, (stored.get(i) ?? 0) + 1)
          })
          await Promise.all([...senders, retainAll(runs)])
        }
        assert.deepEqual(
          await list(countByMetric),
          [...stored].map(([i, n]) => `s_${i} ${n}`).sort(),
        )
      }),
      { numRuns: 25, endOnFailure: true },
    )
  })

  /** One after the other, as the lock has them. */
  async function retainAll(runs: number): Promise<void> {
    for (let i = 0; i < runs; i++) await retain()
  }

  /** As if they had fallen to retention. */
  async function dropSamples(of: readonly number[]): Promise<void> {
    await database.pool.query(
      `with gone as (
         select frame, position from series where metric = any ($1)
       ),
       rest as (
         select f.frame, f.time,
           array_agg(case when g.frame is null then u.x end order by u.nth) as v
         from frames f cross join unnest(f.v) with ordinality as u (x, nth)
         left join gone g on g.frame = f.frame and g.position = u.nth - 1
         group by f.frame, f.time
       )
       update frames f set v = r.v from rest r where f.frame = r.frame and f.time = r.time`,
      [of.map((i) => `s_${i}`)],
    )
  }
})

const countByMetric = `
  select s.metric || ' ' || count(*)
  from series s join sample x on x.series_id = s.id
  where x.time > now() - interval '10 days'
  group by s.metric order by 1`
