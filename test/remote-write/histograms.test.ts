import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { postRead, read } from '../support/remote-read.ts'
import { label, lengthField, post, sample, startRecord } from '../support/remote-write.ts'
import {
  type Exemplar,
  exemplarValue,
  type HistogramFields,
  histogram,
  numberField,
  type SeriesV2,
  writeV2,
} from '../support/remote-write-v2.ts'

const now = Date.now()
const labels = { __name__: 'wait_seconds', job: 'exporter' }

const integers: HistogramFields = {
  timeMs: now,
  schema: 2,
  sum: 12.5,
  zeroCount: 1,
  negative: { spans: [[-2, 1]], counts: [3] },
  positive: {
    spans: [
      [0, 2],
      [3, 1],
    ],
    counts: [1, 4, 2],
  },
}
const custom: HistogramFields = {
  timeMs: now + 2,
  schema: -53,
  float: true,
  sum: 3,
  positive: { spans: [[0, 3]], counts: [1.5, 2.5, 0.25] },
  customValues: [0.1, 1],
}
/** A stale marker: a sum of those bits and no buckets. */
const stale: HistogramFields = { timeMs: now + 3, schema: 0, sum: '7ff0000000000002' }

/** A `prometheus.WriteRequest` of one series with values that are fields of a TimeSeries. */
function requestV1(metric: string, values: readonly Buffer[]): Buffer {
  return compressSync(
    lengthField(1, Buffer.concat([lengthField(1, label('__name__', metric)), ...values])),
  )
}

describe('native histograms and exemplars', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  async function readBack(metric: string) {
    const answer = await read(
      service,
      [['__name__', '=', metric]],
      [now - 86_400_000, now + 60_000],
    )
    return answer.map(({ samples, histograms }) => ({
      samples: samples.map(([timeMs]) => timeMs),
      histograms,
    }))
  }

  async function exemplars() {
    const { rows } = await database.pool.query(
      `select metric, e.labels, value, (extract(epoch from time) * 1000)::float8 as ms
       from exemplar e join series using (frame, position) order by metric, time, e.labels`,
    )
    return rows
  }

  const [first, second, third] = [integers, custom, stale].map(histogram) as [
    Buffer,
    Buffer,
    Buffer,
  ]

  it('come back by remote read in order of time, sent once or twice', async () => {
    const later = { ...integers, timeMs: now + 1, float: true }
    const late = [histogram(later), third]
    for (let i = 0; i < 2; i++) {
      const before = await writeV2(service, [{ labels, histograms: late }])
      assert.deepEqual(before.written, ['0', '2', '0'], before.text)
      const answer = await writeV2(service, [{ labels, histograms: [first, second] }])
      assert.deepEqual(answer, { status: 204, text: '', written: ['0', '2', '0'] })
    }
    const histograms = [first, histogram(later), second, third].map((one) => one.toString('hex'))
    assert.deepEqual(await readBack('wait_seconds'), [{ samples: [], histograms }])
  })

  it('are stored by 1.0 as by 2.0, and beside samples of the same series', async () => {
    const start = numberField(17, BigInt(now - 1000))
    const unknown = lengthField(99, Buffer.from('new'))
    const changed = Buffer.concat([unknown, numberField(14, 0n), first, start])
    const v1 = requestV1('one', [lengthField(2, sample(now, 1)), lengthField(4, first)])
    assert.equal((await post(service, v1)).status, 204)
    const two: SeriesV2 = { labels: { __name__: 'two' }, histograms: [changed] }
    assert.equal((await writeV2(service, [{ ...two, samples: [[now, 1]] }])).status, 204)
    const stored = [{ samples: [now], histograms: [first.toString('hex')] }]
    assert.deepEqual(await readBack('one'), stored)
    assert.deepEqual(await readBack('two'), stored)
  })

  it('keep the first of two for one time', async () => {
    await writeV2(service, [{ labels, histograms: [first] }])
    const other = histogram({ ...integers, sum: 99 })
    assert.equal((await writeV2(service, [{ labels, histograms: [other] }])).status, 204)
    const [found] = await readBack('wait_seconds')
    assert.deepEqual(found?.histograms, [first.toString('hex')])
  })

  const broken: [says: string, fields: Partial<HistogramFields>][] = [
    ['have fewer counts than their spans cover', { positive: { spans: [[0, 2]], counts: [1] } }],
    [
      'have a span that goes back',
      {
        negative: {
          spans: [
            [5, 1],
            [-2, 1],
          ],
          counts: [1, 1],
        },
      },
    ],
    ['have a schema that nobody defined', { schema: 9 }],
    ['have custom bounds in another schema', { customValues: [1] }],
    [
      'have more buckets than bounds',
      { schema: -53, negative: { spans: [], counts: [] }, customValues: [] },
    ],
    ['lie too far ahead', { timeMs: now + 3_600_000 }],
  ]
  for (const [says, fields] of broken) {
    it(`are refused when they ${says}, and the others stored`, async () => {
      const bad = histogram({ ...integers, ...fields })
      const answer = await writeV2(service, [
        { labels, histograms: [bad, first], samples: [[now + 1, 1]] },
      ])
      assert.deepEqual([answer.status, answer.written], [400, ['1', '1', '0']])
      assert.match(answer.text, /1 of 3 samples not stored: 1 (invalid_histogram|too_far_ahead), /)
      const [found] = await readBack('wait_seconds')
      assert.deepEqual(found, { samples: [now + 1], histograms: [first.toString('hex')] })
    })
  }

  it('count toward the limit of a read', async () => {
    await service.close()
    service = await startRecord(database.url, { readSamples: 2 })
    await writeV2(service, [{ labels, histograms: [first] }])
    const answer = await postRead(service, [['__name__', '=', 'wait_seconds']], [now, now])
    assert.equal(answer.status, 400)
    assert.match(await answer.text(), /more than 2 samples/)
  })

  it('keep the exemplars of samples and histograms once, from 1.0 and 2.0', async () => {
    const trace = (id: string, timeMs: number): Exemplar => ({
      labels: { trace_id: id },
      value: 0.5,
      timeMs,
    })
    const series = [
      { labels, samples: [[now, 1]] as const, exemplars: [trace('a', now - 5), trace('b', 0)] },
      { labels: { __name__: 'h' }, histograms: [first], exemplars: [trace('c', now)] },
    ]
    for (let i = 0; i < 2; i++) {
      const { status, written } = await writeV2(service, series)
      assert.deepEqual([status, written], [204, ['1', '1', '3']])
    }
    const inV1 = Buffer.concat([lengthField(1, label('trace_id', 'd')), exemplarValue(2, now)])
    const v1 = requestV1('v1', [lengthField(2, sample(now, 1)), lengthField(3, inV1)])
    assert.equal((await post(service, v1)).status, 204)
    assert.deepEqual(await exemplars(), [
      { metric: 'h', labels: { trace_id: 'c' }, value: 0.5, ms: now },
      { metric: 'v1', labels: { trace_id: 'd' }, value: 2, ms: now },
      { metric: 'wait_seconds', labels: { trace_id: 'a' }, value: 0.5, ms: now - 5 },
      { metric: 'wait_seconds', labels: { trace_id: 'b' }, value: 0.5, ms: now },
    ])
  })

  it('drop exemplars that cannot be stored, and do not count them as written', async () => {
    const bad = [
      { labels: { long: 'x'.repeat(600) }, value: 1, timeMs: now },
      { labels: { old: 'x' }, value: 1, timeMs: 1000 },
      { labels: { zero: '\0' }, value: 1, timeMs: now },
      { labels: {}, value: 1, timeMs: now },
    ]
    const { status, written } = await writeV2(service, [
      { labels, samples: [[now, 1]], exemplars: bad },
    ])
    assert.deepEqual([status, written], [204, ['1', '0', '1']])
    assert.equal((await exemplars()).length, 1)
    const text = await (await fetch(`${service.url}/metrics`)).text()
    assert.match(text, /^joulebridge_exemplars_dropped_total 3$/m)
  })

  it('are stored with the samples of their request, or nothing is', async () => {
    const exemplar = { labels: { trace_id: 'a' }, value: 1, timeMs: now }
    const all = [
      { labels, samples: [[now, 1]] as const, histograms: [first], exemplars: [exemplar] },
    ]
    await database.pool.query('alter table exemplar rename to away')
    assert.equal((await writeV2(service, all)).status, 503)
    assert.deepEqual(await readBack('wait_seconds'), [])
    await database.pool.query('alter table away rename to exemplar')
    assert.deepEqual((await writeV2(service, all)).written, ['1', '1', '1'])
    const stored = [{ samples: [now], histograms: [first.toString('hex')] }]
    assert.deepEqual(await readBack('wait_seconds'), stored)
    assert.equal((await exemplars()).length, 1)
  })

  it('keep exemplars that come without samples, though the answer is 400', async () => {
    const exemplar = { labels: { trace_id: 'a' }, value: 1, timeMs: now }
    const answer = await writeV2(service, [{ labels, exemplars: [exemplar] }])
    assert.deepEqual([answer.status, answer.written], [400, ['0', '0', '1']])
    assert.match(answer.text, /1 no_samples, first: wait_seconds/)
    assert.equal((await exemplars()).length, 1)
  })
})
