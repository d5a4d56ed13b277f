import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { listen, type Service } from '../../exporter/service/http.ts'
import { encodeWriteRequest, type Series, sendSeries } from '../../exporter/telemetry/forward.ts'
import { until } from '../support/command.ts'
import { serveResources } from '../support/device.ts'
import { startTestExporter } from '../support/exporter.ts'
import { decodeBody, decodeWriteRequest, type ReceivedSeries } from '../support/write-request.ts'

const label = fc.tuple(fc.stringMatching(/^[a-z_]\w{0,8}$/), fc.string({ unit: 'grapheme' }))
const sample = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 45 }), fc.double({ noNaN: true }))
  .map(([timeMs, value]) => ({ timeMs, value }))
const series = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 5 }), fc.array(sample, { maxLength: 4 }))
  .map(([pairs, samples]) => ({ labels: Object.fromEntries(pairs), samples }))

describe('a write request', () => {
  it('decodes to what was encoded, labels sorted by name', () => {
    fc.assert(
      fc.property(fc.array(series, { maxLength: 5 }), (list: Series[]) => {
        const found = decodeWriteRequest(encodeWriteRequest(list))
        assert.equal(found.length, list.length)
        for (const [index, { labels, samples }] of found.entries()) {
          const sent = list[index]
          assert.deepEqual(Object.fromEntries(labels), sent?.labels)
          const names = labels.map(([name]) => name)
          assert.deepEqual(names, [...names].sort())
          assert.deepEqual(
            samples.map(({ timestamp, value }) => ({ timeMs: timestamp, value })),
            sent?.samples,
          )
        }
      }),
    )
  })

  it("carries the end of a series as Prometheus's stale marker", () => {
    const samples = [{ timeMs: 1, value: Number.NaN }]
    const [only] = decodeWriteRequest(encodeWriteRequest([{ labels: { a: 'b' }, samples }]))
    assert.equal(only?.samples[0]?.bits, '7ff0000000000002')
  })
})

describe('sending by remote write', () => {
  let receiver: Receiver

  afterEach(async () => await receiver.service.close())

  it('has the headers of remote write 1.0', async () => {
    receiver = await startReceiver(() => 204)
    await sendSeries(receiver.url, [power(1)])
    const [request] = receiver.requests
    assert.equal(request?.headers['content-encoding'], 'snappy')
    assert.equal(request?.headers['content-type'], 'application/x-protobuf')
    assert.equal(request?.headers['x-prometheus-remote-write-version'], '0.1.0')
    assert.deepEqual(request?.series[0]?.labels, [['__name__', 'cray_node_power_watts']])
  })

  it('is tried again after a 503, as soon as its Retry-After says', async () => {
    receiver = await startReceiver((count) => (count < 3 ? 503 : 200))
    await sendSeries(receiver.url, [power(1)])
    assert.equal(receiver.requests.length, 3)
  })

  it('fails at once when the receiver refuses, with its reason', async () => {
    receiver = await startReceiver(() => 400)
    await assert.rejects(sendSeries(receiver.url, [power(1)]), /HTTP 400 told so/)
    assert.equal(receiver.requests.length, 1)
  })

  it('ends when it is told to', async () => {
    receiver = await startReceiver(() => 503, 30)
    const sending = new AbortController()
    const sent = sendSeries(receiver.url, [power(1)], { signal: sending.signal })
    await until(() => receiver.requests[0], 10)
    sending.abort()
    await assert.rejects(sent, { name: 'AbortError' })
  })
})

describe('the forwarder of the exporter', () => {
  it('sends all readings with target labels, and a stale marker for what is gone', async () => {
    const receiver = await startReceiver(() => 200)
    const device = await serveResources({
      '/jaws/monitor/outlets': [{ id: 'AA1', active_power: 57 }],
    })
    const devices = [{ xname: 'x3000m0', server: device }]
    const exporter = await startTestExporter({ devices, forwardUrl: receiver.url })
    const find = (name: string) =>
      receiver.requests
        .flatMap((request) => request.series)
        .filter(({ labels }) => labels.some((each) => each[1] === name))
    const [found] = await until(() => nonEmpty(find('cray_pdu_outlet_power_watts')), 15)
    assert.deepEqual(Object.fromEntries(found?.labels ?? []), {
      __name__: 'cray_pdu_outlet_power_watts',
      bmc: 'x3000m0',
      instance: 'exporter',
      job: 'joulebridge',
      outlet: 'AA1',
      source: 'jaws',
      xname: 'x3000m0p0v1',
    })
    assert.equal(found?.samples[0]?.value, 57)
    await device.close()
    await until(() => nonEmpty(find('cray_pdu_outlet_power_watts').filter(isStale)), 15)
    await exporter.close()
    await receiver.service.close()
  })
})

interface Receiver {
  url: string
  service: Service
  requests: { headers: IncomingMessage['headers']; series: ReceivedSeries[] }[]
}

/** A receiver of remote write that answers as told, by the count of the request. */
async function startReceiver(
  status: (count: number) => number,
  retryAfterSeconds = 0,
): Promise<Receiver> {
  const requests: Receiver['requests'] = []
  const service = await listen(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    requests.push({ headers: request.headers, series: await decodeBody(Buffer.concat(chunks)) })
    response
      .writeHead(status(requests.length), { 'retry-after': String(retryAfterSeconds) })
      .end('told so')
  }, '127.0.0.1:0')
  return { url: `${service.url}/api/v1/write`, service, requests }
}

function power(value: number): Series {
  return { labels: { __name__: 'cray_node_power_watts' }, samples: [{ timeMs: 1000, value }] }
}

function isStale({ samples }: ReceivedSeries): boolean {
  return samples.some(({ bits }) => bits === '7ff0000000000002')
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined
}
