import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import { type Layout, moveTo } from '../support/layout.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { storeSeries } from '../support/samples.ts'

/** Half an hour before a window of 4 h ends. */
const t0 = Date.UTC(2026, 2, 1, 3, 30) / 1000
const hour = 3600

const at = (seconds: number) => new Date((t0 + seconds) * 1000)
const every = (step: number, until: number, value: (t: number) => number | null) =>
  Array.from({ length: until / step + 1 }, (_, i) => [t0 + i * step, value(i * step)] as const)

describe('the record in SQL', () => {
  let pool: Pool

  beforeEach(async () => {
    pool = (await cloneDatabase()).pool
  })

  const node = (xname: string) => ({ job: 'j', instance: 'e', xname })

  async function store(): Promise<void> {
    await storeSeries(pool, [
      { metric: 'a_watts', labels: node('x1'), samples: every(60, hour, (t) => t) },
      {
        metric: 'a_watts',
        labels: node('x2'),
        samples: every(60, hour, (t) => (t % 180 === 0 ? Number.NaN : t % 120 === 0 ? null : -t)),
      },
      { metric: 'b_joules_total', labels: node('x1'), samples: every(60, hour, (t) => 10 * t) },
    ])
  }

  async function ask(sql: string, ...values: unknown[]) {
    return (await pool.query<Record<string, unknown>>(sql, values)).rows
  }

  const layouts: Layout[] = ['live', 'compacted', 'last window live', 'every other row live']
  for (const layout of layouts) {
    describe(`of samples that are ${layout}`, () => {
      beforeEach(async () => {
        await store()
        await moveTo(pool, layout)
      })

      it('has every sample once, without NaN', async () => {
        const rows = await ask(
          `select metric, labels ->> 'xname' as xname, count(*)::int4 as n, sum(value) as sum,
             min(time) as first, max(time) as last
           from sample join series on id = series_id group by 1, 2 order by 1, 2`,
        )
        const ends = { first: at(0), last: at(hour) }
        assert.deepEqual(rows, [
          { metric: 'a_watts', xname: 'x1', n: 61, sum: 109_800, ...ends },
          { metric: 'a_watts', xname: 'x2', n: 20, sum: -36_000, first: at(60), last: at(3540) },
          { metric: 'b_joules_total', xname: 'x1', n: 61, sum: 1_098_000, ...ends },
        ])
      })

      it('has a series in order, both ends included', async () => {
        const rows = await ask(
          `select s.time, s.value from series, series_samples(frame, position, $1, $2) s
           where metric = 'a_watts' and labels ->> 'xname' = 'x1'`,
          at(1740),
          at(1860),
        )
        assert.deepEqual(
          rows,
          [1740, 1800, 1860].map((t) => ({ time: at(t), value: t })),
        )
        const [all] = await ask(
          'select count(*)::int4 as n from series_samples(0, 0::int2, null, null)',
        )
        assert.deepEqual(all, { n: 61 })
      })

      it('has the samples of the series that match, in an interval', async () => {
        const rows = await ask(
          `select labels ->> 'xname' as xname, time, value
           from samples('a_watts', '{"xname": {"=~": "x."}}', $1, $2) order by 1, 2`,
          at(1740),
          at(1860),
        )
        assert.deepEqual(rows, [
          ...[1740, 1800, 1860].map((t) => ({ xname: 'x1', time: at(t), value: t })),
          ...[1740, 1860].map((t) => ({ xname: 'x2', time: at(t), value: -t })),
        ])
      })

      it('has the latest sample of each series that has not ended', async () => {
        const latest = (time: Date) =>
          ask(
            `select labels ->> 'xname' as xname, time, value
             from latest('a_watts', '{}', at => $1) order by 1`,
            time,
          )
        // At 60 minutes x2 has a stale marker; five minutes after the last sample all are gone.
        const last = { xname: 'x1', time: at(3600), value: 3600 }
        assert.deepEqual(await latest(at(3605)), [last])
        assert.deepEqual(await latest(at(3600 + 299)), [last])
        assert.deepEqual(await latest(at(3600 + 300)), [])
        assert.deepEqual(await latest(at(3590)), [
          { xname: 'x1', time: at(3540), value: 3540 },
          { xname: 'x2', time: at(3540), value: -3540 },
        ])
        assert.deepEqual(await latest(at(-1)), [])
      })
    })
  }

  it('has hourly statistics of compacted windows', async () => {
    await store()
    await moveTo(pool, 'compacted')
    const rows = await ask(
      `select hour, n, min, max, sum, mean, area, increase
       from sample_hour join series on id = series_id
       where metric = 'b_joules_total' order by hour`,
    )
    // From 3:30 to 4:30 a sample a minute, from 0 to 36,000: the one of 4:00 is in the second hour.
    assert.deepEqual(rows, [
      {
        ...{ hour: at(-1800), n: 30, min: 0, max: 17_400, sum: 261_000, mean: 8700 },
        ...{ area: (17_400 * 1740) / 2, increase: 17_400 },
      },
      {
        ...{ hour: at(1800), n: 31, min: 18_000, max: 36_000, sum: 837_000, mean: 27_000 },
        ...{ area: rows[1]?.['area'], increase: rows[1]?.['increase'] },
      },
    ])
  })

  it('matches labels as PromQL does', async () => {
    await storeSeries(pool, [
      { metric: 'm', labels: { xname: 'x1000c0s0b0n0', side: 'Input' }, samples: [[t0, 1]] },
      { metric: 'm', labels: { xname: 'x1000c0s1b0n0' }, samples: [[t0, 2]] },
      { metric: 'n', labels: { xname: 'x1001c0s0b0n0', side: '' }, samples: [[t0, 3]] },
    ])
    const matching = async (metric: string | null, matchers: object | null) => {
      const rows = await ask(
        'select value from samples($1, $2, $3, $3) order by value',
        metric,
        matchers && JSON.stringify(matchers),
        at(0),
      )
      return rows.map(({ value }) => value)
    }
    assert.deepEqual(await matching('m', {}), [1, 2])
    assert.deepEqual(await matching('m', null), [1, 2])
    assert.deepEqual(await matching(null, {}), [1, 2, 3])
    assert.deepEqual(await matching('m', { xname: 'x1000c0s0b0n0' }), [1])
    assert.deepEqual(await matching('m', { xname: { '=': 'x1000c0s0b0n0' } }), [1])
    assert.deepEqual(await matching('m', { xname: { '!=': 'x1000c0s0b0n0' } }), [2])
    assert.deepEqual(await matching('m', { xname: { '=~': 'x1000c0' } }), [])
    assert.deepEqual(await matching('m', { xname: { '=~': 'x1000c0.*|y' } }), [1, 2])
    assert.deepEqual(await matching('m', { xname: { '!~': '.*s0.*' } }), [2])
    const both = { '=~': 'x1000.*', '!=': 'x1000c0s1b0n0' }
    assert.deepEqual(await matching('m', { xname: both }), [1])
    assert.deepEqual(await matching('m', { xname: both, side: 'Output' }), [])
    assert.deepEqual(await matching(null, { side: '' }), [2, 3])
    assert.deepEqual(await matching(null, { side: { '!=': '' } }), [1])
    assert.deepEqual(await matching(null, { side: { '=~': '|Input' } }), [1, 2, 3])
    assert.deepEqual(await matching(null, { __name__: { '=~': 'n|o' } }), [3])
    assert.deepEqual(await matching('o', {}), [])
  })

  it('says what is wrong with a matcher', async () => {
    const refused = async (matchers: unknown, message: string) => {
      const asked = ask('select * from latest($1, $2)', 'm', JSON.stringify(matchers))
      await assert.rejects(asked, { message })
    }
    await refused(
      ['xname'],
      'matchers: expected an object like {"xname": "x1000c0s0b0n0"}, got ["xname"]',
    )
    await refused(
      { xname: 5 },
      'matchers: label "xname": expected a string or an object like {"=~": "x1000.*"}, got 5',
    )
    await refused(
      { xname: { '~': 'x' } },
      'matchers: label "xname": expected one of =, !=, =~, !~, got "~"',
    )
    await refused(
      { xname: { '=~': null } },
      'matchers: label "xname" =~: expected a string, got null',
    )
    await refused(
      { xname: { '=~': 'x(' } },
      'matchers: label "xname" =~: invalid regular expression: parentheses () not balanced in "x("',
    )
  })

  it('reads only the windows that are asked for', async () => {
    await store()
    await moveTo(pool, 'compacted')
    // Whoever decodes these bytes fails.
    await pool.query(`update segments set chunk = '\\x' where t0 >= $1`, [at(1800)])
    const asked = `select count(*)::int4 as n from samples('a_watts', '{"xname": "x1"}', $1, $2)`
    assert.deepEqual(await ask(asked, at(0), at(1799)), [{ n: 30 }])
    const primitive = 'select count(*)::int4 as n from series_samples(0, 0::int2, $1, $2)'
    assert.deepEqual(await ask(primitive, at(0), at(1799)), [{ n: 30 }])
    await assert.rejects(ask(asked, at(0), at(1800)))
  })
})
