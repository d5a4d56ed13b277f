import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  lengthField,
  post,
  sample,
  startRecord,
  type WrittenSeries,
  write,
  writeRequest,
} from '../support/remote-write.ts'
import {
  answerOf,
  histogram,
  numberField,
  postV2,
  requestV2,
  type SeriesV2,
  symbolFields,
  writeV2,
} from '../support/remote-write-v2.ts'

const now = Date.now()
const v2 = 'application/x-protobuf;proto=io.prometheus.write.v2.Request'

/**
 * What the specifications of remote write ask of a receiver, and prometheus/compliance tries, where
 * no other test here does: what becomes of headers, of framed bodies, of 10,000 series at once.
 */
describe('a receiver of remote write', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  const one = (value: number): WrittenSeries[] => [
    { labels: { __name__: 'm' }, samples: [[now + value, value]] },
  ]

  async function values(): Promise<number[]> {
    const { rows } = await database.pool.query<{ value: number }>(
      'select value from sample order by series_id, time',
    )
    return rows.map(({ value }) => value)
  }

  it('takes a body without content type or encoding for a snappy block of 1.0', async () => {
    assert.equal(await bare(service, {}, compressSync(writeRequest(one(1)))), 204)
    const type = { 'content-type': 'application/x-protobuf' }
    assert.equal(await bare(service, type, compressSync(writeRequest(one(2)))), 204)
    const encoding = { 'content-encoding': 'Snappy' }
    assert.equal(await bare(service, encoding, compressSync(writeRequest(one(3)))), 204)
    assert.deepEqual(await values(), [1, 2, 3])
  })

  it('goes by the content type, whatever version the header names', async () => {
    const claim = (version: string) => ({ 'x-prometheus-remote-write-version': version })
    const first = await post(service, compressSync(writeRequest(one(1))), claim('2.0.0'))
    const type = { 'content-type': v2 }
    const second = await post(service, compressSync(requestV2(one(2))), {
      ...type,
      ...claim('0.1.0'),
    })
    const third = await post(service, compressSync(requestV2(one(3))), { ...type, ...claim('?') })
    assert.deepEqual([first.status, second.status, third.status], [204, 204, 204])
    assert.equal(first.headers.get('x-prometheus-remote-write-samples-written'), null)
    assert.equal(second.headers.get('x-prometheus-remote-write-samples-written'), '1')
    assert.deepEqual(await values(), [1, 2, 3])
  })

  it('passes over parameters of the content type that it does not know', async () => {
    for (const type of ['application/x-protobuf; charset=utf-8', `${v2}; q=1;`]) {
      const body = type.startsWith(v2) ? requestV2(one(2)) : writeRequest(one(1))
      assert.equal((await post(service, compressSync(body), { 'content-type': type })).status, 204)
    }
    assert.deepEqual(await values(), [1, 2])
  })

  it('refuses other content with 415 before it looks at the body', async () => {
    for (const headers of [{ 'content-type': 'image/png' }, { 'content-encoding': 'gzip' }]) {
      const answer = await post(service, Buffer.alloc(9 * 2 ** 20), headers)
      assert.equal(answer.status, 415)
    }
  })

  it('refuses the framed format of snappy, an empty body, and one that ends early', async () => {
    // google/snappy, framing_format.txt: stream identifier, then an uncompressed chunk.
    const request = writeRequest(one(1))
    const header = Buffer.from('ff060000734e61507059', 'hex')
    const chunk = Buffer.of(1, request.length + 4, 0, 0, 0, 0, 0, 0)
    const framed = Buffer.concat([header, chunk, request])
    const block = compressSync(request)
    for (const body of [framed, Buffer.alloc(0), block.subarray(0, block.length - 1), request]) {
      assert.equal((await post(service, body)).status, 400)
    }
    assert.deepEqual(await values(), [])
  })

  it('takes several series with the same labels in one request', async () => {
    const again = [...one(1), ...one(2), ...one(1), ...one(3)]
    assert.equal((await write(service, again)).status, 204)
    const answer = await writeV2(service, [...one(4), ...one(4), ...one(5)])
    assert.deepEqual([answer.status, answer.written], [204, ['3', '0', '0']])
    assert.deepEqual(await values(), [1, 2, 3, 4, 5])
  })

  it('keeps the first of several values for one time in one request', async () => {
    const twice: WrittenSeries[] = [
      {
        labels: { __name__: 'm' },
        samples: [
          [now, 1],
          [now, 2],
        ],
      },
      { labels: { __name__: 'm' }, samples: [[now, 3]] },
    ]
    assert.equal((await write(service, twice)).status, 204)
    assert.deepEqual(await values(), [1])
  })

  it('says of a sample before 1970 when it was, and refuses it alone', async () => {
    const series = [
      {
        labels: { __name__: 'm' },
        samples: [
          [-1, 7],
          [now, 8],
        ] as const,
      },
    ]
    const { status, text } = await write(service, series)
    assert.equal(status, 400)
    assert.match(text, /1 of 2 samples not stored: 1 too_old, first: m\{\} at 1969-12-31T23:59:59/)
    const extreme = [{ labels: { __name__: 'm' }, samples: [[-(2 ** 63), 7]] as const }]
    assert.match((await write(service, extreme)).text, /-9223372036854776000 ms/)
    assert.deepEqual(await values(), [8])
  })

  it('takes 10,000 series in one request of either version, and counts them', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      labels: { __name__: 'many', instance: `host-${i % 100}`, part: `${i}`, job: 'scale' },
      samples: [[now, i] as const],
    }))
    assert.equal((await write(service, many)).status, 204)
    const later = many.map(({ labels }, i) => ({ labels, samples: [[now + 1, i] as const] }))
    const answer = await writeV2(service, later)
    assert.deepEqual([answer.status, answer.written], [204, ['10000', '0', '0']])
    const { rows } = await database.pool.query(
      `select count(*)::int4 as n, sum(value)::int4 as sum,
         count(distinct series_id)::int4 as series
       from sample`,
    )
    assert.deepEqual(rows, [{ n: 20_000, sum: 10_000 * 9999, series: 10_000 }])
  })

  it('passes over the start times that drafts of 2.0 have in three places', async () => {
    const start = 0x7fff_ffff
    const fields = Buffer.concat([
      lengthField(1, Buffer.of(1, 2)),
      lengthField(2, Buffer.concat([sample(now, 5), numberField(3, BigInt(start))])),
      numberField(6, BigInt(start)),
    ])
    const plain = histogram({ timeMs: now, schema: 0, sum: 1 })
    const withStart = Buffer.concat([plain, numberField(17, BigInt(start))])
    const histograms = Buffer.concat([lengthField(1, Buffer.of(1, 3)), lengthField(3, withStart)])
    const symbols = symbolFields(['', '__name__', 'a', 'b'])
    const series = [lengthField(5, fields), lengthField(5, histograms)]
    const answer = await answerOf(await postV2(service, Buffer.concat([...symbols, ...series])))
    assert.deepEqual([answer.status, answer.written], [204, ['1', '1', '0']])
    const { rows } = await database.pool.query('select payload from histogram')
    assert.deepEqual(rows, [{ payload: plain }])
  })

  it('says nothing of samples written in an answer to a body it cannot read', async () => {
    const body = requestV2(one(1))
    const answer = await answerOf(await postV2(service, body.subarray(0, body.length - 1)))
    assert.deepEqual([answer.status, answer.written], [400, [null, null, null]])
  })

  it('stores what stands in a request beside refused histograms and exemplars', async () => {
    const labels = { __name__: 'm' }
    const series: SeriesV2[] = [
      { labels, samples: [[now, 1]] },
      { labels, histograms: [histogram({ timeMs: now, schema: 99, sum: 1 })] },
      {
        labels,
        samples: [[now + 1, 2]],
        exemplars: [{ labels: { '': 'x' }, value: 1, timeMs: now }],
      },
    ]
    const answer = await writeV2(service, series)
    assert.deepEqual([answer.status, answer.written], [400, ['2', '0', '0']])
    assert.match(answer.text, /1 of 3 samples not stored: 1 invalid_histogram, first: m\{\}/)
    assert.deepEqual(await values(), [1, 2])
  })
})

/** Posts with these headers alone. */
async function bare(
  { url }: Service,
  headers: Record<string, string>,
  body: Buffer,
): Promise<number | undefined> {
  const sent = request(`${url}/api/v1/write`, { method: 'POST', headers })
  sent.end(body)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.resume()
  return answer.statusCode
}
