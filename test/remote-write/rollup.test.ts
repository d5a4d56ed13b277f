import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord, type Value, write } from '../support/remote-write.ts'

const hourMs = 3_600_000
const windowMs = 4 * hourMs
const start = Math.floor(Date.now() / windowMs) * windowMs - 60 * windowMs
const stale = '7ff0000000000002'

type Sample = readonly [timeMs: number, value: Value]

interface Hour {
  n: number
  min: number
  max: number
  sum: number
  area: number
  increase: number | null
}

/**
 * The definition, word by word: samples that are no NaN; a step from one to the next counts in the
 * hour in which it ends, its area up to 300 s, its rise up to a day. What falls in more than a
 * quarter of the steps, and more than three, is no counter.
 */
function model(samples: readonly Sample[]): Map<number, Hour> {
  const numbers = samples
    .flatMap(([timeMs, value]) => (typeof value === 'number' ? [{ timeMs, value }] : []))
    .sort((a, b) => a.timeMs - b.timeMs)
  const hours = new Map<number, Hour & { increase: number; falls: number }>()
  numbers.forEach(({ timeMs, value }, i) => {
    const at = Math.floor(timeMs / hourMs) * hourMs
    const none = { n: 0, min: Infinity, max: -Infinity, sum: 0, area: 0 }
    const hour = hours.get(at) ?? { ...none, increase: 0, falls: 0 }
    const before = numbers[i - 1] ?? { timeMs: -Infinity, value }
    const stepMs = timeMs - before.timeMs
    hours.set(at, {
      n: hour.n + 1,
      min: Math.min(hour.min, value),
      max: Math.max(hour.max, value),
      sum: hour.sum + value,
      area: hour.area + (stepMs <= 300_000 ? ((before.value + value) / 2) * (stepMs / 1000) : 0),
      increase: hour.increase + (stepMs <= 24 * hourMs ? rise(before.value, value) : 0),
      falls: hour.falls + (stepMs <= 24 * hourMs && value < before.value ? 1 : 0),
    })
  })
  return new Map(
    [...hours].map(([at, { falls, increase, ...hour }]) => {
      const isCounter = falls <= 3 || falls * 4 <= hour.n
      return [at, { ...hour, increase: isCounter ? increase : null }]
    }),
  )
}

function rise(before: number, value: number): number {
  return value < before ? value : value - before
}

async function storedHours(
  pool: Pool,
  instance: string,
  position: number,
): Promise<Map<number, Hour>> {
  const { rows } = await pool.query<Hour & { at: number }>(
    `select (extract(epoch from t0) * 1000)::float8 + hour * 3600000 as at, r.n[cell] as n,
       r.min[cell] as min, r.max[cell] as max, r.sum[cell] as sum, r.area[cell] as area,
       r.increase[cell] as increase
     from rollup r
     cross join generate_series(0, 3) as hour
     cross join lateral (values (64 * hour + $1::int4 + 1)) as c (cell)
     where r.n[cell] is not null
       and r.frame = (select frame from series where labels ->> 'instance' = $2 limit 1)
     order by 1`,
    [position, instance],
  )
  return new Map(rows.map(({ at, ...hour }) => [at, hour]))
}

const steps = [1000, 15_000, 15_000, 60_000, 299_000, 301_000, hourMs, 5 * hourMs, 25 * hourMs]

/** Samples of a series, and for each in which of the runs of compaction it is there. */
const seriesArbitrary = fc
  .array(
    fc.record({
      stepMs: fc.constantFrom(...steps),
      value: fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: -5, max: 1000 }) },
        { weight: 1, arbitrary: fc.constant(stale) },
      ),
      run: fc.constantFrom(0, 0, 0, 1, 2),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((pieces) => {
    let timeMs = start
    return pieces.map(({ stepMs, value, run }) => {
      timeMs += stepMs
      return { sample: [timeMs, value] as const, run }
    })
  })

describe('hourly roll-ups', function () {
  this.timeout(120_000)
  let database: TestDatabase
  let service: Service

  before(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  after(() => service.close())

  it('equal a slow plain model, whenever the samples came', async () => {
    const { pool } = database
    let target = 0
    await fc.assert(
      fc.asyncProperty(fc.array(seriesArbitrary, { minLength: 1, maxLength: 3 }), async (all) => {
        const instance = `a:${target++}`
        // So that positions are known.
        const some = all.map(() => [[Date.now(), 0]] as const)
        await send(service, instance, some)
        for (const run of [0, 1, 2]) {
          const part = all.map((one) => samplesOf(one, (of) => of === run))
          await send(service, instance, part)
          const compacted = await compactDue(pool, { delaySeconds: 7200 })
          assert.deepEqual([compacted?.failures, compacted?.windowsDue], [[], 0])
        }
        for (const [position, one] of all.entries()) {
          const expected = model(samplesOf(one, () => true))
          assert.deepEqual(await storedHours(pool, instance, position), expected)
        }
      }),
      { numRuns: 25 },
    )
  })

  it('count the step from the last number before a stale marker and the window', async () => {
    const { pool } = database
    const at = (seconds: number) => start + 40 * windowMs + seconds * 1000
    await send(service, 'stale', [
      [
        [at(-40), 10],
        [at(-10), stale],
        [at(20), 30],
      ],
    ])
    await compactDue(pool, { delaySeconds: 7200 })
    const hours = [...(await storedHours(pool, 'stale', 0)).values()]
    assert.deepEqual(
      hours.map(({ area, increase }) => [area, increase]),
      [
        [0, 0],
        [20 * 60, 20],
      ],
    )
  })

  it('add up to what a counter rose in all, over windows and late samples', async () => {
    const { pool } = database
    const counter: Sample[] = Array.from({ length: 2000 }, (_, i) => [start + i * 60_000, i * 17])
    await send(service, 'counter', [counter.filter((_, i) => i % 240 < 239)])
    await compactDue(pool, { delaySeconds: 7200 })
    await send(service, 'counter', [counter.filter((_, i) => i % 240 === 239)])
    await compactDue(pool, { delaySeconds: 7200 })
    const hours = [...(await storedHours(pool, 'counter', 0)).values()]
    const total = (of: 'increase' | 'area') => hours.reduce((sum, hour) => sum + (hour[of] ?? 0), 0)
    assert.equal(total('increase'), 1999 * 17)
    assert.equal(total('area'), (1999 * 17 * 1999 * 60) / 2)
  })
})

function samplesOf(
  series: readonly { sample: Sample; run: number }[],
  isIn: (run: number) => boolean,
): Sample[] {
  return series.filter(({ run }) => isIn(run)).map(({ sample }) => sample)
}

async function send(
  service: Service,
  instance: string,
  series: readonly (readonly Sample[])[],
): Promise<void> {
  const { status, text } = await write(
    service,
    series.map((samples, i) => ({
      labels: { __name__: `metric_${i}`, job: 'exporter', instance },
      samples,
    })),
  )
  assert.equal(status, 204, text)
}
