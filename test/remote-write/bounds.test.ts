import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import fetch, { type Response } from 'node-fetch'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type Limits, post, startRecord, writeRequest } from '../support/remote-write.ts'
import { postV2, requestV2, symbolFields } from '../support/remote-write-v2.ts'

const now = Date.now()

/** Each bound has a setting, an error that names it, and a metric that counts those who meet it. */
describe('a bound of the receiver', () => {
  let database: TestDatabase
  const services: Service[] = []

  before(async () => {
    database = await cloneDatabase()
  })

  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()))
  })

  async function start(limits: Limits): Promise<Service> {
    const service = await startRecord(database.url, limits)
    services.push(service)
    return service
  }

  interface Met {
    limits: Limits
    send: (service: Service) => Promise<Response>
    status: number
    code: string
    detail: RegExp
    /** A line of /metrics, but for its value, which is 1. */
    metric: string
  }

  async function isMet({ limits, send, status, code, detail, metric }: Met): Promise<void> {
    const service = await start(limits)
    const answer = await send(service)
    const problem = (await answer.json()) as { code: string; detail: string }
    assert.deepEqual([answer.status, problem.code], [status, code])
    assert.match(problem.detail, detail)
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    assert.ok(metrics.includes(`\n${metric} 1\n`), `no ${metric} 1`)
    // What stays within the bound is taken.
    assert.equal((await post(service, compressSync(writeRequest(series(1))))).status, 204)
  }

  const refused = (reason: string) => `joulebridge_write_requests_refused_total{reason="${reason}"}`
  const rejected = (reason: string) => `joulebridge_samples_rejected_total{reason="${reason}"}`
  const series = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      labels: { __name__: `m${i}` },
      samples: [[now, i] as const],
    }))

  it('is bodyBytes', () =>
    isMet({
      limits: { bodyBytes: 100 },
      send: (service) => post(service, Buffer.alloc(101)),
      status: 413,
      code: 'body_too_large',
      detail: /more than 100 bytes/,
      metric: refused('body_too_large'),
    }))

  it('is decodedBytes', () =>
    isMet({
      limits: { decodedBytes: 100 },
      send: (service) => post(service, compressSync(Buffer.alloc(101))),
      status: 413,
      code: 'decoded_too_large',
      detail: /holds 101 bytes uncompressed, the limit is 100/,
      metric: refused('decoded_too_large'),
    }))

  for (const version of ['1.0', '2.0']) {
    it(`is requestSeries, in ${version}`, () =>
      isMet({
        limits: { requestSeries: 2 },
        send: (service) =>
          version === '1.0'
            ? post(service, compressSync(writeRequest(series(3))))
            : postV2(service, requestV2(series(3))),
        status: 413,
        code: 'too_many_series',
        detail: /more than 2 series: send smaller ones/,
        metric: refused('too_many_series'),
      }))
  }

  it('is openSamples, for a single request', () =>
    isMet({
      limits: { openSamples: 2 },
      send: (service) => post(service, compressSync(writeRequest(series(3)))),
      status: 413,
      code: 'too_many_samples',
      detail: /more than 2 samples: send smaller ones/,
      metric: refused('too_many_samples'),
    }))

  it('is that on symbols, which follows openSamples', () =>
    isMet({
      limits: { openSamples: 2 },
      send: (service) =>
        postV2(service, Buffer.concat(symbolFields(Array.from({ length: 4097 }, () => '')))),
      status: 413,
      code: 'too_many_symbols',
      detail: /more than 4096 symbols: send smaller ones/,
      metric: refused('too_many_symbols'),
    }))

  it('is labelsPerSeries', () =>
    isMet({
      limits: { labelsPerSeries: 2 },
      send: (service) =>
        post(
          service,
          compressSync(
            writeRequest([{ labels: { __name__: 'm', a: '1', b: '2' }, samples: [[now, 1]] }]),
          ),
        ),
      status: 400,
      code: 'partial_write',
      detail: /^1 of 1 samples not stored: 1 invalid_labels, first: m\{.*\}: more than 2 labels$/,
      metric: rejected('invalid_labels'),
    }))

  it('is labelBytes', () =>
    isMet({
      limits: { labelBytes: 8 },
      send: (service) =>
        post(
          service,
          compressSync(
            writeRequest([{ labels: { __name__: 'm', a: 'ü'.repeat(5) }, samples: [[now, 1]] }]),
          ),
        ),
      status: 400,
      code: 'partial_write',
      detail: /label a has over 8 bytes$/,
      metric: rejected('invalid_labels'),
    }))

  it('is series, in memory and for good', () =>
    isMet({
      limits: { series: 64 },
      send: (service) => post(service, compressSync(writeRequest(series(65)))),
      status: 400,
      code: 'partial_write',
      detail: /1 series_limit, first: m64\{\}: there are 64 series already/,
      metric: rejected('series_limit'),
    }))

  it('is on bodies in the making: 503 with Retry-After, until some are done', async () => {
    const service = await start({ bodyBytes: 1000 })
    const answers: IncomingMessage[] = []
    const requests = Array.from({ length: 20 }, () => beginRequest(service, answers))
    await until(() => answers[0], 10)
    assert.deepEqual([answers[0]?.statusCode, answers[0]?.headers['retry-after']], [503, '1'])
    for (const one of requests) one.destroy()
    const body = compressSync(writeRequest(series(1)))
    await until(async () => ((await post(service, body)).status === 204 ? true : undefined), 10)
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    assert.match(metrics, /^joulebridge_write_requests_refused_total\{reason="overloaded"\} \d+$/m)
  })
})

/** Sends all of a body but its last bytes. */
function beginRequest({ url }: Service, answers: IncomingMessage[]): ClientRequest {
  const headers = { 'content-length': '1000', 'content-type': 'application/x-protobuf' }
  const begun = request(`${url}/api/v1/write`, { method: 'POST', headers })
  begun.on('error', () => {})
  once(begun, 'response').then(
    ([answer]) => answers.push(answer as IncomingMessage),
    () => {},
  )
  begun.write(Buffer.alloc(990))
  return begun
}
