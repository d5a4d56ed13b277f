import assert from 'node:assert/strict'
import fc from 'fast-check'
import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { lengthField, sample, startRecord, write } from '../support/remote-write.ts'
import {
  answerOf,
  packed,
  postV2,
  requestV2,
  type SeriesV2,
  symbolFields,
  writeV2,
} from '../support/remote-write-v2.ts'

const now = Date.now()

/** A series of a node's power. */
function power(node: number, samples: NonNullable<SeriesV2['samples']>): SeriesV2 {
  const labels = { __name__: 'cray_node_power_watts', xname: `x1000c0s0b0n${node}` }
  return { labels: { ...labels, job: 'exporter', instance: 'a:1' }, samples }
}

describe('POST /api/v1/write in version 2.0', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  /** All samples, with their series and the bits of their values. */
  async function stored({ pool }: TestDatabase = database) {
    const { rows } = await pool.query<{ samples: string }>(
      `select concat_ws(' ', metric, labels, extract(epoch from time) * 1000,
         encode(float8send(v[position + 1]), 'hex')) as samples
       from frames join series using (frame)
       where v[position + 1] is not null order by 1`,
    )
    return rows.map(({ samples }) => samples)
  }

  async function values(): Promise<number[]> {
    const { rows } = await database.pool.query<{ value: number }>(
      'select value from sample order by series_id, time',
    )
    return rows.map(({ value }) => value)
  }

  it('stores samples and says how many, also when the same request comes again', async () => {
    const series = [power(0, [[now, 412.5]]), power(1, [[now, 300]])]
    for (let i = 0; i < 2; i++) {
      const answer = await writeV2(service, series)
      assert.deepEqual(answer, { status: 204, text: '', written: ['2', '0', '0'] })
    }
    assert.deepEqual(await values(), [412.5, 300])
  })

  it('knows series by their text, though their symbols stand elsewhere each time', async () => {
    const series = (step: number) =>
      [0, 1, 2, 3, 4].map((node) => power(node, [[now + step, node]]))
    const orders = [series(0), series(1).reverse(), series(2).slice(2), series(3).slice(0, 3)]
    for (const [i, order] of orders.entries()) {
      const other = { labels: { __name__: `m${i}` }, samples: [[now, 1]] as const }
      assert.equal((await writeV2(service, [other, ...order])).status, 204)
    }
    const { rows } = await database.pool.query(
      `select labels ->> 'xname' as xname, array_agg(distinct value) as values
       from sample join series on id = series_id where labels ? 'xname' group by 1 order by 1`,
    )
    assert.deepEqual(
      rows,
      [0, 1, 2, 3, 4].map((node) => ({ xname: `x1000c0s0b0n${node}`, values: [node] })),
    )
  })

  it('is the same series as the one that 1.0 sends', async () => {
    await write(service, [{ ...power(0, []), samples: [[now, 1]] }])
    await writeV2(service, [power(0, [[now + 1, 2]])])
    await write(service, [{ ...power(0, []), samples: [[now + 2, 3]] }])
    assert.deepEqual(await values(), [1, 2, 3])
    const { rows } = await database.pool.query('select count(*)::int4 as n from series')
    assert.deepEqual(rows, [{ n: 1 }])
  })

  it('stores to the bit what 1.0 stores of the same samples', async () => {
    const others = await cloneDatabase()
    const v1 = await startRecord(others.url)
    const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => hex(n))
    const time = fc.integer({ min: now - 86_400_000, max: now })
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 })
    const labels = fc.dictionary(text, text, { maxKeys: 4 }).map((pairs) => {
      const valid = Object.entries(pairs).filter((pair) => !pair.join('').includes('\0'))
      return { ...Object.fromEntries(valid), __name__: 'm' }
    })
    const one = fc.record({ labels, samples: fc.array(fc.tuple(time, bits), { maxLength: 5 }) })
    const series = fc.array(
      one.filter(({ samples }) => samples.length > 0),
      { minLength: 1, maxLength: 6 },
    )
    await fc.assert(
      fc.asyncProperty(series, async (list) => {
        assert.equal((await write(v1, list)).status, 204)
        const samples = list.reduce((sum, { samples }) => sum + samples.length, 0)
        const answer = await writeV2(service, list)
        assert.deepEqual([answer.status, answer.written], [204, [`${samples}`, '0', '0']])
      }),
      { numRuns: 60 },
    )
    await v1.close()
    assert.deepEqual(await stored(), await stored(others))
  })

  it('stores the valid samples, counts them, and names the others with 400', async () => {
    const answer = await writeV2(service, [
      power(0, [[now, 1]]),
      { labels: { __name__: 'up', job: '' }, samples: [[now, 1]] },
      power(1, [
        [now + 3_600_000, 5],
        [now, 2],
      ]),
      { labels: { __name__: 'empty' } },
    ])
    assert.deepEqual([answer.status, answer.written], [400, ['2', '0', '0']])
    const { detail } = JSON.parse(answer.text) as { detail: string }
    assert.match(detail, /^3 of 5 samples not stored: 1 invalid_labels, first: up\{job=""\}: label/)
    assert.match(detail, /1 no_samples, first: empty\{\}$/)
    assert.deepEqual(await values(), [1, 2])
  })

  it('stores the other series when the refs of one are wild or odd', async () => {
    const symbols = symbolFields(['', '__name__', 'a', 'b'])
    const series = (refs: number[]) =>
      lengthField(5, Buffer.concat([lengthField(1, packed(refs)), lengthField(2, sample(now, 7))]))
    for (const bad of [[1, 4], [1, 2 ** 32 + 2], [1, 2, 3], [], [0, 0], [1, 0]]) {
      const body = Buffer.concat([...symbols, series(bad), series([1, 3])])
      const answer = await answerOf(await postV2(service, body))
      assert.deepEqual([answer.status, answer.written], [400, ['1', '0', '0']], answer.text)
    }
    assert.deepEqual(await values(), [7])
  })

  it('does not take a wild ref for what a request before had in its place', async () => {
    const refs = lengthField(1, packed([1, 2]))
    const series = lengthField(5, Buffer.concat([refs, lengthField(2, sample(now, 7))]))
    const whole = Buffer.concat([...symbolFields(['', '__name__', 'a']), series])
    assert.equal((await postV2(service, whole)).status, 204)
    const less = Buffer.concat([...symbolFields(['', '__name__']), series])
    assert.match((await answerOf(await postV2(service, less))).text, /ref 2 with 2 symbols/)
  })

  it('refuses symbols that do not begin with the empty one', async () => {
    const series = lengthField(5, Buffer.concat([lengthField(1, packed([0, 1]))]))
    const body = Buffer.concat([...symbolFields(['__name__', 'a']), series])
    const answer = await answerOf(await postV2(service, body))
    assert.deepEqual([answer.status, answer.written], [400, [null, null, null]])
    assert.match(answer.text, /the first symbol is not the empty one/)
  })

  it('reads refs one by one and fields in any order, and passes over unknown ones', async () => {
    const start = Buffer.of(0x18, 1)
    const series = Buffer.concat([
      lengthField(2, Buffer.concat([sample(now, 5), start])),
      Buffer.of(0x08, 1),
      Buffer.of(0x30, 1),
      lengthField(99, Buffer.from('unknown')),
      Buffer.of(0x08, 2),
    ])
    const symbols = symbolFields(['', '__name__', 'late'])
    const body = Buffer.concat([lengthField(5, series), lengthField(77, start), ...symbols])
    assert.equal((await postV2(service, body)).status, 204)
    assert.deepEqual(await values(), [5])
  })

  it('keeps the metadata of series by metric, the latest winning', async () => {
    const series = (metric: string, type: number, help: string): SeriesV2 => ({
      labels: { __name__: metric },
      samples: [[now, 1]],
      metadata: { type, help, unit: 'watts' },
    })
    await writeV2(service, [series('power', 2, 'old'), series('wait_bucket', 3, 'Waiting.')])
    await writeV2(service, [series('power', 2, 'new'), series('runs_total', 1, 'Runs.')])
    await writeV2(service, [{ labels: { __name__: 'power' }, samples: [[now + 1, 1]] }])
    const { rows } = await database.pool.query(
      'select metric, type, help, unit from metric_metadata order by metric',
    )
    assert.deepEqual(rows, [
      { metric: 'power', type: 'gauge', help: 'new', unit: 'watts' },
      { metric: 'runs_total', type: 'counter', help: 'Runs.', unit: 'watts' },
      { metric: 'wait', type: 'histogram', help: 'Waiting.', unit: 'watts' },
    ])
  })

  it('claims no samples when the database is gone, and stores the retry', async () => {
    const body = requestV2([
      { ...power(0, [[now, 1]]), metadata: { type: 2, help: 'h', unit: '' } },
    ])
    const locked = await database.pool.connect()
    await locked.query('alter table frames rename to away')
    const refused = await answerOf(await postV2(service, body))
    assert.deepEqual([refused.status, refused.written], [503, [null, null, null]])
    await locked.query('alter table away rename to frames')
    locked.release()
    assert.equal((await postV2(service, body)).status, 204)
    const { rows } = await database.pool.query('select metric from metric_metadata')
    assert.deepEqual(rows, [{ metric: 'cray_node_power_watts' }])
    assert.deepEqual(await values(), [1])
  })

  it('knows no series of a request that was refused', async () => {
    const body = requestV2([power(0, [[now, 1]]), power(1, [[now, 2]])])
    assert.equal((await postV2(service, body.subarray(0, body.length - 1))).status, 400)
    const text = await (await fetch(`${service.url}/metrics`)).text()
    assert.match(text, /^joulebridge_series 0$/m)
    assert.equal((await writeV2(service, [power(1, [[now, 3]])])).status, 204)
    assert.equal((await writeV2(service, [power(0, [[now, 4]])])).status, 204)
    assert.deepEqual(await values(), [3, 4])
  })
})

function hex(n: bigint): string {
  return n.toString(16).padStart(16, '0')
}
