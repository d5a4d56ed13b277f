import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Registry } from 'prom-client'
import { compressSync } from 'snappy'
import { createLog } from '../../exporter/service/log.ts'
import { ByteTable } from '../../remote-write/byte-table.ts'
import { FrameWriter } from '../../remote-write/frames.ts'
import { JobLabels } from '../../remote-write/jobs/labels.ts'
import { registerJobMetrics } from '../../remote-write/jobs/metrics.ts'
import { registerMetrics } from '../../remote-write/metrics.ts'
import { Partitions } from '../../remote-write/partitions.ts'
import { SeriesIndex } from '../../remote-write/series.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { createReceiver, type Receive } from '../../remote-write/write.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type WrittenSeries, writeRequest } from '../support/remote-write.ts'
import { requestV2 } from '../support/remote-write-v2.ts'

const hourMs = 3_600_000

describe('the series in memory', () => {
  let database: TestDatabase
  let index: SeriesIndex
  let receive: Receive
  let writer: FrameWriter
  let nowMs: number

  /** The receiver's own parts on a clock of ours, with room for 64 series. */
  beforeEach(async () => {
    database = await cloneDatabase()
    index = new SeriesIndex()
    nowMs = Date.now()
    const { pool } = database
    const { limits, targetLabels, jobLabels } = remoteWriteSection.parse({ limits: { series: 64 } })
    const log = createLog('test', { level: 'silent', format: 'json' })
    const registry = new Registry()
    const observed = { openSamples: () => 0, series: () => index.size }
    const metrics = registerMetrics(registry, observed)
    const now = () => new Date(nowMs)
    const shared = { pool, index, log, now }
    const partitions = new Partitions()
    const { openSamples, series: maxSeries } = limits
    const bounds = { openSamples, maxSeries, lateSeconds: 7200 }
    writer = new FrameWriter({ ...shared, ...bounds, partitions, metrics, targetLabels })
    const jobMetrics = registerJobMetrics(registry, pool, { log, maxGapSeconds: 300, now })
    const jobs = new JobLabels({ ...shared, metrics: jobMetrics, settings: jobLabels })
    receive = createReceiver({ pool, index, writer, metrics, limits, jobLabels: jobs })
  })

  afterEach(() => writer.close())

  function numbered(from: number, to: number): WrittenSeries[] {
    return Array.from({ length: to - from }, (_, i) => ({
      labels: { __name__: `m_${from + i}`, job: 'a', instance: 'b', part: 'long '.repeat(200) },
      samples: [[nowMs, from + i]],
    }))
  }

  async function send(series: readonly WrittenSeries[], version: '1.0' | '2.0') {
    const bytes = version === '1.0' ? writeRequest(series) : requestV2(series)
    return await receive(compressSync(bytes), version, new Date(nowMs))
  }

  it('are those of the last hours, and mean the same when they come back', async () => {
    for (const version of ['1.0', '2.0', '1.0', '2.0'] as const) {
      for (const [from, to] of [
        [0, 30],
        [20, 50],
        [0, 10],
        [5, 60],
      ] as const) {
        await send(numbered(from, to), version)
        nowMs += 7 * hourMs
        await send(numbered(from, from + 1), version)
        nowMs += 7 * hourMs
      }
      await send(numbered(0, 1), version)
      nowMs += 1000
      assert.ok(index.size < 10, `${index.size} series after hours without a sample`)
    }
    const { rows } = await database.pool.query<{ wrong: number; n: number }>(
      `select count(*)::int4 as n,
         count(*) filter (where s.metric <> 'm_' || x.value)::int4 as wrong
       from sample x join series s on s.id = x.series_id`,
    )
    assert.deepEqual(rows, [{ n: 4 * (30 + 30 + 10 + 55 + 4 + 1), wrong: 0 }])
  })

  it('make room for others when they are too many, once they are idle for minutes', async () => {
    await send(numbered(0, 64), '1.0')
    const { rejection } = await send(numbered(60, 70), '1.0')
    assert.match(
      rejection?.message ?? '',
      /6 series_limit, first: m_64.* there are 64 series already/,
    )
    for (let tries = 0; tries < 2; tries++) {
      nowMs += hourMs / 2
      assert.ok((await send(numbered(100, 101), '1.0')).rejection)
    }
    assert.equal((await send(numbered(5, 60), '2.0')).rejection, undefined)
  })
})

describe('a table of bytes', () => {
  const kinds = [
    // Enough that many meet in the places that their hashes name.
    { words: 'few', keys: 1900, bytes: 8 },
    // Enough that some hundred fill a part of the memory that is taken at a time.
    { words: 'many', keys: 300, bytes: 20_000 },
  ]
  for (const { words, keys, bytes } of kinds) {
    it(`holds what was added and not removed, of ${words} bytes each, in any order`, () => {
      const bytesOf = (n: number) => Buffer.alloc(bytes + (n % 7), `${n} `)
      const some = fc.uniqueArray(fc.nat({ max: keys }), { maxLength: keys / 2, size: 'max' })
      const step = fc.record({ added: some, kept: fc.nat({ max: keys / 2 }), removed: some })
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
          const table = new ByteTable()
          const model = new Map<number, number>()
          for (const { added, kept, removed } of steps) {
            table.begin()
            const fresh = added.filter((n) => !model.has(n))
            for (const n of fresh) model.set(n, table.add(bytesOf(n), n))
            table.takeBack(kept)
            for (const n of fresh.slice(kept)) model.delete(n)
            const gone = removed.filter((n) => model.has(n))
            table.removeAll(gone.map((n) => model.get(n) ?? -1))
            for (const n of gone) model.delete(n)
          }
          assert.equal(table.size, model.size)
          for (let n = 0; n <= keys; n++) {
            const entry = table.find(bytesOf(n))
            assert.equal(entry, model.get(n) ?? -1)
            if (entry < 0) continue
            assert.ok(table.value(entry) === n && table.bytes(entry).equals(bytesOf(n)))
          }
        }),
        { numRuns: 20 },
      )
    })
  }
})
