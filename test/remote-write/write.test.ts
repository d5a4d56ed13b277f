import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  label,
  lengthField,
  post,
  sample,
  startRecord,
  type WrittenSeries,
  write,
  writeRequest,
} from '../support/remote-write.ts'

const now = Date.now()

/** A series of a node's power. */
function power(node: number, samples: WrittenSeries['samples']): WrittenSeries {
  const labels = { __name__: 'cray_node_power_watts', xname: `x1000c0s0b0n${node}` }
  return { labels: { ...labels, job: 'exporter', instance: 'a:1' }, samples }
}

describe('POST /api/v1/write', () => {
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  async function stored(): Promise<[metric: string, ms: number, value: number][]> {
    const { rows } = await database.pool.query<{ metric: string; ms: number; value: number }>(
      `select metric, (extract(epoch from time) * 1000)::float8 as ms, value
       from sample join series on series.id = sample.series_id order by series_id, time`,
    )
    return rows.map(({ metric, ms, value }) => [metric, ms, value])
  }

  async function count(): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      'select count(*)::int4 as n from sample',
    )
    return rows[0]?.n ?? -1
  }

  it('stores a sample once when the same request arrives twice', async () => {
    const series = [power(0, [[now, 412.5]]), power(1, [[now, 300]])]
    assert.equal((await write(service, series)).status, 204)
    assert.equal((await write(service, series)).status, 204)
    assert.deepEqual(await stored(), [
      ['cray_node_power_watts', now, 412.5],
      ['cray_node_power_watts', now, 300],
    ])
  })

  it('keeps the first value of a series and time', async () => {
    await write(service, [power(0, [[now, 1]])])
    assert.equal((await write(service, [power(0, [[now, 2]])])).status, 204)
    assert.deepEqual(await stored(), [['cray_node_power_watts', now, 1]])
  })

  it('adds a late series of a target to the row of its time', async () => {
    await write(service, [power(0, [[now, 1]])])
    await write(service, [power(1, [[now, 2]])])
    const { rows } = await database.pool.query<{ v: number[] }>('select v from frames')
    assert.deepEqual(rows, [{ v: [1, 2] }])
  })

  it('takes samples out of order, and of a day ago', async () => {
    const day = 86_400_000
    await write(service, [power(0, [[now, 3]])])
    assert.equal((await write(service, [power(0, [[now - 1000, 2]])])).status, 204)
    assert.equal((await write(service, [power(0, [[now - day, 1]])])).status, 204)
    const times = (await stored()).map(([, ms]) => ms)
    assert.deepEqual(times, [now - day, now - 1000, now])
  })

  it('keeps the bits of stale markers, other NaN, infinities and negative zero', async () => {
    const values = [
      '7ff0000000000002',
      '7ff8000000000001',
      'fff8dead0000beef',
      '7ff0000000000000',
      'fff0000000000000',
      '8000000000000000',
      '0000000000000001',
    ]
    const samples = values.map((bits, i): [number, string] => [now + i, bits])
    assert.equal((await write(service, [power(0, samples)])).status, 204)
    const { rows } = await database.pool.query<{ bits: string }>(
      `select encode(float8send(v[1]), 'hex') as bits from frames order by time`,
    )
    assert.deepEqual(
      rows.map(({ bits }) => bits),
      values,
    )
  })

  it('stores the valid samples and names the others with 400', async () => {
    const { status, text } = await write(service, [
      power(0, [[now, 1]]),
      { labels: { __name__: 'up', job: '' }, samples: [[now, 1]] },
      { labels: { xname: 'x1' }, samples: [[now, 1]] },
      power(1, [
        [now + 3_600_000, 5],
        [now, 2],
        [1000, 7],
      ]),
    ])
    assert.equal(status, 400)
    const { detail, code } = JSON.parse(text) as { detail: string; code: string }
    assert.equal(code, 'partial_write')
    assert.match(detail, /^4 of 6 samples not stored: 2 invalid_labels, first: up\{job=""\}: label/)
    assert.match(detail, /1 too_far_ahead, first: cray_node_power_watts\{.*xname="x1000c0s0b0n1"/)
    assert.match(detail, /1 too_old, .* at 1970-01-01T00:00:01.000Z/)
    assert.deepEqual(
      (await stored()).map(([, , value]) => value),
      [1, 2],
    )
  })

  it('takes labels in any order and text as one series', async () => {
    const labels = [label('job', 'a'), label('__name__', 'grün'), label('日本', '"\n\\😀')]
    const body = (order: number[]) => {
      const fields = order.map((i) => lengthField(1, labels[i] ?? Buffer.alloc(0)))
      return lengthField(1, Buffer.concat([...fields, lengthField(2, sample(now, 1))]))
    }
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
    ]) {
      assert.equal((await post(service, compressSync(body(order)))).status, 204)
    }
    const { rows } = await database.pool.query('select metric, labels from series')
    assert.deepEqual(rows, [{ metric: 'grün', labels: { job: 'a', 日本: '"\n\\😀' } }])
  })

  it('reads fields in any order and passes over those it does not know', async () => {
    const { labels } = power(0, [])
    const fields = Object.entries(labels).map(([name, value]) => lengthField(1, label(name, value)))
    const series = Buffer.concat([
      lengthField(2, sample(now, 5)),
      ...fields,
      lengthField(99, Buffer.from('unknown')),
    ])
    const body = Buffer.concat([lengthField(1, series), lengthField(77, Buffer.from('new'))])
    assert.equal((await post(service, compressSync(body))).status, 204)
    assert.deepEqual(await stored(), [['cray_node_power_watts', now, 5]])
  })

  it('shares frames among up to 64 series of a target, in order of arrival', async () => {
    const all = Array.from({ length: 70 }, (_, i) => power(i, [[now, i]]))
    const other = { ...power(0, [[now, 0]]), labels: { ...power(0, []).labels, instance: 'b:1' } }
    await write(service, [...all.slice(0, 40), other, ...all.slice(40)])
    const { rows } = await database.pool.query(
      `select frame, count(*)::int4 as n, labels ->> 'instance' as instance
       from series group by frame, instance order by frame`,
    )
    assert.deepEqual(rows, [
      { frame: 0, n: 64, instance: 'a:1' },
      { frame: 1, n: 6, instance: 'a:1' },
      { frame: 2, n: 1, instance: 'b:1' },
    ])
  })

  it('stores the same new series of parallel clients and processes once', async () => {
    const second = await startRecord(database.url)
    const requests = Array.from({ length: 24 }, (_, i) => {
      const series = Array.from({ length: 100 }, (_, node) => power(node, [[now - i * 1000, node]]))
      return write(i % 2 ? service : second, i % 3 ? series : series.reverse())
    })
    const answers = await Promise.all(requests)
    await second.close()
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]))
    assert.equal(await count(), 2400)
    const { rows } = await database.pool.query('select count(*)::int4 as n from series')
    assert.deepEqual(rows, [{ n: 100 }])
  })

  it('knows its series again after a restart', async () => {
    await write(service, [power(0, [[now, 1]])])
    await service.close()
    service = await startRecord(database.url)
    assert.equal((await write(service, [power(0, [[now + 1, 2]])])).status, 204)
    assert.match(await metrics(), /^joulebridge_series 1$/m)
    assert.equal(await count(), 2)
  })

  it('keeps the metadata of metrics, the latest winning', async () => {
    const metadata = (type: number, help: string) =>
      lengthField(
        3,
        Buffer.concat([
          Buffer.of(0x08, type),
          lengthField(2, Buffer.from('up')),
          lengthField(4, Buffer.from(help)),
        ]),
      )
    assert.equal((await post(service, compressSync(metadata(1, 'old')))).status, 204)
    assert.equal((await post(service, compressSync(metadata(2, 'new')))).status, 204)
    const { rows } = await database.pool.query('select metric, type, help from metric_metadata')
    assert.deepEqual(rows, [{ metric: 'up', type: 'gauge', help: 'new' }])
  })

  it('refuses content types and encodings other than those of 1.0 and 2.0 with 415', async () => {
    const refused: Record<string, string>[] = [
      { 'content-type': 'application/json' },
      { 'content-type': 'image/png' },
      { 'content-type': 'application/x-protobuf;proto=io.prometheus.write.v3.Request' },
      { 'content-type': 'text/plain;proto=io.prometheus.write.v2.Request' },
      { 'content-encoding': 'gzip' },
      { 'content-encoding': 'deflate' },
      { 'content-encoding': 'zstd' },
    ]
    for (const headers of refused) {
      assert.equal((await post(service, Buffer.from('no'), headers)).status, 415)
    }
    for (const message of ['prometheus.WriteRequest', '"io.prometheus.write.v2.Request"']) {
      const taken = { 'content-type': `Application/X-Protobuf ; Proto = ${message}` }
      assert.equal((await post(service, compressSync(Buffer.alloc(0)), taken)).status, 204)
    }
  })

  it('takes nothing but POST', async () => {
    for (const path of ['/api/v1/write', '/api/v1/read']) {
      const response = await fetch(service.url + path)
      assert.equal(response.status, 405)
      assert.equal(response.headers.get('allow'), 'POST')
    }
  })

  it('sends no Written headers to a sender of 1.0', async () => {
    const response = await post(service, compressSync(writeRequest([power(0, [[now, 1]])])))
    const names = [...response.headers.keys()].filter((name) => name.includes('written'))
    assert.deepEqual(names, [])
    assert.equal(await response.text(), '')
  })

  it('counts requests and samples', async () => {
    await write(service, [power(0, [[now, 1]]), power(1, [[0, 1]])])
    const text = await metrics()
    assert.match(text, /^joulebridge_write_requests_total\{code="400"\} 1$/m)
    assert.match(text, /^joulebridge_samples_received_total 2$/m)
    assert.match(text, /^joulebridge_samples_stored_total 1$/m)
    assert.match(text, /^joulebridge_samples_rejected_total\{reason="too_old"\} 1$/m)
  })

  async function metrics(): Promise<string> {
    return await (await fetch(`${service.url}/metrics`)).text()
  }
})
