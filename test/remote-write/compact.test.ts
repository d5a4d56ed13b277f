import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord, type Value, type WrittenSeries, write } from '../support/remote-write.ts'
import { bitsOf, storedSamples } from '../support/stored-samples.ts'

const hourMs = 3_600_000
const windowMs = 4 * hourMs

/** Start of a window that has long been closed. */
const closed = Math.floor(Date.now() / windowMs) * windowMs - 6 * windowMs

const due = { delaySeconds: 7200 }

function power(node: number, samples: WrittenSeries['samples']): WrittenSeries {
  const labels = { __name__: 'cray_node_power_watts', xname: `x1000c0s0b0n${node}` }
  return { labels: { ...labels, job: 'exporter', instance: `a:${node >> 5}` }, samples }
}

const odd = [
  '7ff0000000000002',
  '7ff8000000000001',
  'fff8dead0000beef',
  '7ff0000000000000',
  'fff0000000000000',
  '8000000000000000',
  '0000000000000001',
]

describe('compaction', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  async function send(series: readonly WrittenSeries[]): Promise<void> {
    const { status, text } = await write(service, series)
    assert.equal(status, 204, text)
  }

  async function count(table: string): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      `select count(*)::int4 as n from ${table}`,
    )
    return rows[0]?.n ?? -1
  }

  it('keeps every sample of several windows and frames bit by bit', async () => {
    await send(manySeries(70, 240))
    const before = await storedSamples(database.pool)
    const compacted = await compactDue(database.pool, due)
    assert.deepEqual(await storedSamples(database.pool), before)
    assert.equal(compacted?.samples, before.length)
    assert.deepEqual([compacted?.failures, compacted?.windowsDue], [[], 0])
    assert.deepEqual([await count('frames'), (await count('segments')) > 0], [0, true])
  })

  it('drops the partitions of windows that are due, and leaves the others', async () => {
    await send([power(0, [[closed, 1]]), power(1, [[Date.now(), 2]])])
    const compacted = await compactDue(database.pool, due)
    assert.equal(compacted?.windows, 1)
    const { rows } = await database.pool.query('select * from partitions($1) order by 2', [
      'frames',
    ])
    assert.ok(rows.every(({ to_time }) => to_time.getTime() > Date.now() - 7_200_000))
    assert.equal(await count('frames'), 1)
  })

  it('writes what a segment tells of its samples', async () => {
    const at = (seconds: number) => closed + hourMs + seconds * 1000
    const stale = '7ff0000000000002'
    await send([
      power(0, [
        [at(0), stale],
        [at(10), 5],
        [at(20), 9],
        [at(30), 2],
        [at(400), 4],
        [at(410), stale],
      ]),
      power(1, [[at(0), stale]]),
    ])
    await compactDue(database.pool, due)
    const { rows } = await database.pool.query(
      `select ended, t0, t1, n, resets, first, last, min, max, sum, area, increase
       from segments order by position`,
    )
    const none = { first: null, last: null, min: null, max: null, sum: null, area: null }
    assert.deepEqual(rows, [
      {
        ...{ ended: true, t0: new Date(at(0)), t1: new Date(at(410)), n: 6, resets: 1 },
        ...{ first: 5, last: 4, min: 2, max: 9, sum: 20, area: 70 + 55, increase: 4 + 2 + 2 },
      },
      {
        ...{ ended: true, t0: new Date(at(0)), t1: new Date(at(0)), n: 1, resets: 0 },
        ...{ ...none, increase: null },
      },
    ])
  })

  it('merges late samples at the next run', async () => {
    await send([power(0, even(0)), power(1, even(0)), power(2, even(0))])
    await compactDue(database.pool, due)
    await send([power(0, even(1000)), power(40, even(1000))])
    const before = await storedSamples(database.pool)
    await compactDue(database.pool, due)
    assert.deepEqual(await storedSamples(database.pool), before)
    assert.equal(await count('frames'), 0)
    assert.equal(await count('segments'), 4)
  })

  it('changes nothing for samples that are compacted and come again', async () => {
    await send([
      power(0, even(0)),
      power(
        1,
        odd.map((bits, i) => [closed + i, bits]),
      ),
    ])
    await compactDue(database.pool, due)
    const before = await storedSamples(database.pool)
    await send([
      power(
        0,
        even(0).map(([time, value]) => [time, value + 1]),
      ),
      power(
        1,
        odd.map((_, i) => [closed + i, 7]),
      ),
    ])
    assert.deepEqual(await storedSamples(database.pool), before)
    assert.equal(await count('frames'), 0)
  })

  it('stores late what a compacted row lacks, beside what it has', async () => {
    await send([power(0, [[closed, 1]]), power(1, [[closed + 5, 2]])])
    await compactDue(database.pool, due)
    await send([power(0, [[closed, 8]]), power(1, [[closed, 3]])])
    const { rows } = await database.pool.query('select v from frames')
    assert.deepEqual(rows, [{ v: [null, 3] }])
    await compactDue(database.pool, due)
    const stored = (await storedSamples(database.pool)).map(({ id, bits }) => [id, bits])
    assert.deepEqual(stored, [
      [0, bitsOf(1)],
      [1, bitsOf(3)],
      [1, bitsOf(2)],
    ])
  })

  it('touches no frame but those that have late samples', async () => {
    const targets = [0, 32, 64]
    await send(targets.map((node) => power(node, even(0))))
    await compactDue(database.pool, due)
    const rows = 'select frame, xmin::text from segments order by frame'
    const before = await database.pool.query(rows)
    await send([power(0, even(1000)), power(64, even(1000))])
    await compactDue(database.pool, due)
    const after = await database.pool.query(rows)
    const same = after.rows.map(({ xmin }, i) => xmin === before.rows[i].xmin)
    assert.deepEqual(same, [false, true, false])
  })

  it('is done once when two processes start it', async () => {
    await send(manySeries(70, 240))
    const before = await storedSamples(database.pool)
    const both = await Promise.all([1, 2].map(() => compactDue(database.pool, due)))
    assert.ok(both.some((one) => one?.samples === before.length))
    assert.deepEqual(await storedSamples(database.pool), before)
  })

  it('goes on with the other windows when one has a segment that is damaged', async () => {
    await send([power(0, [[closed, 1]])])
    await compactDue(database.pool, due)
    await database.pool.query(`update segments set chunk = '\\xdeadbeef'`)
    const late: [number, number][] = [
      [closed + 9_000_000, 2],
      [closed + windowMs, 3],
    ]
    await send([power(0, late)])
    const compacted = await compactDue(database.pool, due)
    assert.deepEqual([compacted?.windows, compacted?.windowsDue], [1, 1])
    assert.match(compacted?.failures[0]?.message ?? '', /^frames_\d{8}t\d{4}$/)
    assert.equal(await count('frames'), 1)
  })

  it('leaves a partition that is in use to the next run', async () => {
    await send([power(0, [[closed, 1]])])
    const reader = await database.pool.connect()
    await reader.query('begin')
    await reader.query('select from frames')
    const first = await compactDue(database.pool, due)
    await reader.query('commit')
    reader.release()
    const second = await compactDue(database.pool, due)
    assert.deepEqual([first?.samples, first?.windows, first?.windowsDue], [1, 0, 1])
    assert.deepEqual([second?.samples, second?.windows, second?.windowsDue], [0, 1, 0])
  })

  it('keeps a row that a transaction commits while the partition waits to be dropped', async () => {
    await send([power(0, [[closed, 1]])])
    const writer = await database.pool.connect()
    await writer.query('begin')
    await writer.query('insert into frames values (7, $1, array[2])', [new Date(closed)])
    const run = compactDue(database.pool, due)
    await Promise.race([run, waitForLock(database.pool)])
    await writer.query('commit')
    writer.release()
    await run
    await compactDue(database.pool, due)
    assert.deepEqual(
      (await storedSamples(database.pool)).map(({ id }) => id),
      [0, 7 * 64],
    )
  })

  it('stops between transactions when it is told to', async () => {
    await send(manySeries(70, 240))
    const before = await storedSamples(database.pool)
    const compacted = await compactDue(database.pool, { ...due, signal: AbortSignal.abort() })
    assert.equal(compacted?.samples, 0)
    assert.deepEqual(await storedSamples(database.pool), before)
  })
})

/** Until some statement of this database waits for a lock; gives up in time. */
async function waitForLock(pool: Pool): Promise<void> {
  for (const began = Date.now(); Date.now() < began + 10_000; ) {
    const { rowCount } = await pool.query(
      `select from pg_locks l join pg_stat_activity a using (pid)
       where not l.granted and a.datname = current_database()`,
    )
    if (rowCount !== 0) return
  }
}

/** A sample a minute, whole numbers. */
function even(offsetMs: number): [timeMs: number, value: number][] {
  return Array.from({ length: 60 }, (_, i) => [closed + i * 60_000 + offsetMs, i * 3])
}

/** Over two and a half windows, with values of all kinds and some times of their own. */
function manySeries(series: number, samples: number): WrittenSeries[] {
  const stepMs = (2.5 * windowMs) / samples
  return Array.from({ length: series }, (_, node) => {
    const list: [number, Value][] = Array.from({ length: samples }, (_, i) => {
      const late = (node * 7 + i * 13) % 50 === 0 ? 3 : 0
      return [closed + Math.floor(i * stepMs) + late, valueAt(node, i)]
    })
    return power(node, list)
  })
}

function valueAt(node: number, i: number): Value {
  const bits = odd[(node * 31 + i * 17) % 97]
  if (bits !== undefined) return bits
  return node % 3 === 0 ? i * 1000 : Math.round(((node * 7919 + i * 104_729) % 997) * 3) / 10
}
