import assert from 'node:assert/strict'
import fc from 'fast-check'
import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { read } from '../support/remote-read.ts'
import { type Limits, lengthField, sample, startRecord, write } from '../support/remote-write.ts'
import {
  answerOf,
  histogram,
  packed,
  postV2,
  requestV2,
  type SeriesV2,
  symbolFields,
  writeV2,
} from '../support/remote-write-v2.ts'

const now = Date.now()
const valid = requestV2(
  ['a', 'b'].map(
    (name): SeriesV2 => ({
      labels: { __name__: name, job: 'exporter' },
      samples: [[now, 1]],
      histograms: [
        histogram({
          timeMs: now,
          schema: 1,
          sum: 1,
          positive: {
            spans: [
              [-3, 2],
              [1, 1],
            ],
            counts: [1, 2, 3],
          },
        }),
      ],
      exemplars: [{ labels: { trace_id: 'x' }, value: 1, timeMs: now }],
      metadata: { type: 3, help: 'Help.', unit: 'seconds' },
    }),
  ),
)

describe('a hostile or broken body of 2.0', () => {
  let database: TestDatabase
  const services: Service[] = []

  async function start(limits: Limits = {}): Promise<Service> {
    database = await cloneDatabase()
    const service = await startRecord(database.url, limits)
    services.push(service)
    return service
  }

  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()))
  })

  async function rows() {
    const { rows } = await database.pool.query<{ n: number[] }>(
      `select array[(select count(*) from series), (select count(*) from frames),
         (select count(*) from histogram), (select count(*) from exemplar)]::int4[] as n`,
    )
    return rows[0]?.n
  }

  /** 204, or a 4xx that says no more was written than was sent. */
  async function answers(service: Service, body: Buffer): Promise<void> {
    const { status, text, written } = await answerOf(await postV2(service, body))
    assert.ok([204, 400, 413].includes(status), `status ${status}: ${text}`)
    assert.ok(written.every((count) => Number(count) <= body.length))
    if (status === 204) assert.ok(!written.includes(null))
  }

  it('is answered 400 when a series is cut, and nothing of it is kept', async () => {
    const service = await start()
    const series = requestV2([{ labels: { __name__: 'a', b: 'c' }, samples: [[now, 1]] }])
    const symbols = Buffer.concat(symbolFields(['', '__name__', 'a', 'b', 'c']))
    for (let length = symbols.length + 1; length < series.length; length++) {
      const { status } = await postV2(service, series.subarray(0, length))
      assert.equal(status, 400, `cut to ${length} bytes`)
    }
    assert.deepEqual(await rows(), [0, 0, 0, 0])
  })

  it('never makes a 5xx, whichever bits are turned, and what is stored can be read', async () => {
    const service = await start()
    const flips = fc.array(fc.nat(valid.length * 8 - 1), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(flips, async (bits) => {
        const body = Buffer.from(valid)
        for (const bit of bits) body[bit >> 3] = (body[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await answers(service, body)
      }),
      { numRuns: 500 },
    )
    assert.equal((await postV2(service, valid)).status, 204)
    const answer = await read(service, [['__name__', '=', 'a']], [0, now + 600_000])
    assert.ok(answer.some(({ histograms }) => histograms.length > 0))
  })

  it('never makes a 5xx, whatever bytes it has', async () => {
    const service = await start()
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
    await fc.assert(
      fc.asyncProperty(bytes, (body) => answers(service, body)),
      { numRuns: 500 },
    )
    assert.deepEqual(await rows(), [0, 0, 0, 0])
  })

  it('never makes a 5xx, whatever fields its series have', async () => {
    const service = await start()
    const number = fc.oneof(fc.nat(6), fc.nat(2 ** 31 - 1))
    const bytes = fc.uint8Array({ maxLength: 12 }).map((array) => Buffer.from(array))
    const refs = fc.array(number, { maxLength: 6 }).map((list) => lengthField(1, packed(list)))
    const times = fc.oneof(fc.constant(now), fc.integer({ min: -(2 ** 53), max: 2 ** 53 }))
    const field = fc.oneof(
      refs,
      fc.tuple(fc.integer({ min: 1, max: 20 }), bytes).map(([n, value]) => lengthField(n, value)),
      times.map((time) => lengthField(2, sample(time, 1))),
    )
    const series = fc
      .array(field, { maxLength: 6 })
      .map((list) => lengthField(5, Buffer.concat(list)))
    const symbols = symbolFields(['', '__name__', 'a', 'b', 'c', 'd'])
    await fc.assert(
      fc.asyncProperty(fc.array(series, { maxLength: 4 }), (list) =>
        answers(service, Buffer.concat([...symbols, ...list])),
      ),
      { numRuns: 500 },
    )
  })

  it('is refused with 413 above the limits of samples and of symbols', async () => {
    const service = await start({ openSamples: 5 })
    const six = Array.from({ length: 6 }, (_, i): [number, number] => [now + i, 1])
    const many = await writeV2(service, [{ labels: { __name__: 'a' }, samples: six }])
    assert.equal(many.status, 413)
    const symbols = symbolFields(Array.from({ length: 4097 }, (_, i) => (i > 0 ? `${i}` : '')))
    assert.equal((await postV2(service, Buffer.concat(symbols))).status, 413)
    assert.deepEqual(await rows(), [0, 0, 0, 0])
  })

  it('cannot make one series of another by their order, their limit or their text', async () => {
    const service = await start({ labelsPerSeries: 3 })
    const symbols = symbolFields(['', '__name__', 'a', 'b', 'c', 'd', 'e', 'f'])
    const one = (refs: number[], value: number) =>
      lengthField(
        5,
        Buffer.concat([lengthField(1, packed(refs)), lengthField(2, sample(now, value))]),
      )
    const request = (...series: Buffer[]) => postV2(service, Buffer.concat([...symbols, ...series]))
    assert.equal((await request(one([1, 2, 3, 4], 1), one([1, 2, 3, 5], 2))).status, 204)
    assert.equal((await request(one([3, 4, 1, 2], 9), one([1, 2, 3, 5], 9))).status, 204)
    assert.equal((await request(one([1, 2, 3, 4, 5, 6, 7, 7], 9))).status, 400)
    await write(service, [{ labels: { __name__: 'a', b: 'c', d: 'e' }, samples: [[now, 3]] }])
    const { rows } = await database.pool.query(
      'select labels, value from sample join series on id = series_id order by value',
    )
    assert.deepEqual(rows, [
      { labels: { b: 'c' }, value: 1 },
      { labels: { b: 'd' }, value: 2 },
      { labels: { b: 'c', d: 'e' }, value: 3 },
    ])
  })

  it('adds no series whose samples are all refused', async () => {
    const service = await start()
    const answer = await writeV2(service, [{ labels: { __name__: 'a' }, samples: [[0, 1]] }])
    assert.deepEqual([answer.status, answer.written], [400, ['0', '0', '0']])
    const text = await (await fetch(`${service.url}/metrics`)).text()
    assert.match(text, /^joulebridge_series 0$/m)
  })
})
