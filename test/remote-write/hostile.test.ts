import assert from 'node:assert/strict'
import fc from 'fast-check'
import fetch from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { postRead } from '../support/remote-read.ts'
import {
  type Limits,
  label,
  lengthField,
  post,
  sample,
  startRecord,
  varint,
  write,
  writeRequest,
} from '../support/remote-write.ts'

const now = Date.now()
const valid = writeRequest(
  ['a', 'b', 'c'].map((name) => ({
    labels: { __name__: name, job: 'exporter', instance: 'host:1' },
    samples: [
      [now, 1],
      [now + 1, 2],
    ],
  })),
)

describe('a hostile or broken body', () => {
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

  async function counts() {
    const { rows } = await database.pool.query<{ samples: number; series: number }>(
      `select (select count(*)::int4 from sample) as samples,
         (select count(*)::int4 from series) as series`,
    )
    return rows[0]
  }

  async function knownSeries(service: Service): Promise<string | undefined> {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return /^joulebridge_series (\d+)$/m.exec(text)?.[1]
  }

  it('is answered 400 wherever it is cut within a series, and nothing of it is kept', async () => {
    const service = await start()
    const third = valid.length / 3
    for (let length = 1; length < valid.length; length++) {
      if (length % third === 0) continue
      const response = await post(service, compressSync(valid.subarray(0, length)))
      assert.equal(response.status, 400, `cut to ${length} bytes`)
    }
    assert.deepEqual(await counts(), { samples: 0, series: 0 })
    assert.equal(await knownSeries(service), '0')
  })

  it('never makes a 5xx, whichever bits of the protobuf are turned', async () => {
    const service = await start()
    const flips = fc.array(fc.nat(valid.length * 8 - 1), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(flips, async (bits) => {
        const body = Buffer.from(valid)
        for (const bit of bits) body[bit >> 3] = (body[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const { status } = await post(service, compressSync(body))
        assert.ok(status === 204 || status === 400, `status ${status}`)
      }),
      { numRuns: 500 },
    )
    assert.equal((await post(service, compressSync(valid))).status, 204)
  })

  it('never makes a 5xx, whatever bytes it has', async () => {
    const service = await start()
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (body, compressed) => {
        const { status } = await post(service, compressed ? compressSync(body) : body)
        assert.ok([204, 400, 413].includes(status), `status ${status}`)
      }),
      { numRuns: 500 },
    )
    assert.deepEqual(await counts(), { samples: 0, series: 0 })
  })

  it('is refused with 413 above the limits of size and of samples', async () => {
    const service = await start({ bodyBytes: 200, decodedBytes: 400, openSamples: 5 })
    assert.equal((await post(service, Buffer.alloc(201))).status, 413)
    assert.equal((await post(service, compressSync(Buffer.alloc(401)))).status, 413)
    const six = Array.from({ length: 6 }, (_, i): [number, number] => [now + i, 1])
    const many = await write(service, [{ labels: { __name__: 'a' }, samples: six }])
    assert.equal(many.status, 413)
    assert.deepEqual(await counts(), { samples: 0, series: 0 })
    assert.equal(await knownSeries(service), '0')
  })

  it('is refused before memory is taken for the length that it claims', async () => {
    const service = await start({ decodedBytes: 2 ** 32 })
    const claim = Buffer.concat([varint(2n ** 32n - 1n), Buffer.from('short')])
    const response = await post(service, claim)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /4294967295 bytes declared/)
  })

  it('leaves labels that PostgreSQL cannot hold aside, and stores the rest', async () => {
    const service = await start({ labelBytes: 100, labelsPerSeries: 4 })
    const bad = [
      [label('__name__', 'a\0')],
      [label('__name__', 'a'), lengthField(1, Buffer.of(0xff, 0xfe))],
      [label('__name__', 'a'), label('b', 'x'.repeat(101))],
      [label('__name__', 'a'), label('b', '1'), label('b', '2')],
      [label('__name__', 'a'), ...['b', 'c', 'd', 'e'].map((name) => label(name, '1'))],
    ]
    const series = [...bad, [label('__name__', 'good'), label('__proto__', 'x')]].map((labels) => {
      const fields = labels.map((bytes) => lengthField(1, bytes))
      return lengthField(1, Buffer.concat([...fields, lengthField(2, sample(now, 1))]))
    })
    const response = await post(service, compressSync(Buffer.concat(series)))
    assert.equal(response.status, 400)
    assert.match(await response.text(), /5 of 6 samples not stored: 5 invalid_labels/)
    assert.deepEqual(await counts(), { samples: 1, series: 1 })
  })

  it('cannot add series beyond the limit', async () => {
    const service = await start({ series: 64 })
    const series = Array.from({ length: 70 }, (_, i) => ({
      labels: { __name__: `m${i}` },
      samples: [[now, i] as const],
    }))
    const { status, text } = await write(service, series)
    assert.equal(status, 400)
    assert.match(text, /6 series_limit, first: m64\{\}: there are 64 series already/)
    assert.deepEqual(await counts(), { samples: 64, series: 64 })
  })

  it('adds no series whose samples are all refused', async () => {
    const service = await start()
    const old = [{ labels: { __name__: 'a' }, samples: [[0, 1] as const] }]
    assert.equal((await write(service, old)).status, 400)
    assert.equal(await knownSeries(service), '0')
  })

  it('is answered 400 by remote read too', async () => {
    const service = await start()
    const body = { method: 'POST', headers: { 'content-encoding': 'snappy' } }
    for (const bytes of [Buffer.from('no'), compressSync(Buffer.of(0x0a, 0x7f))]) {
      const response = await fetch(`${service.url}/api/v1/read`, { ...body, body: bytes })
      assert.equal(response.status, 400)
    }
    const zero = await postRead(service, [['a', '=', 'b\0']], [0, 1])
    assert.equal(zero.status, 400)
  })
})
