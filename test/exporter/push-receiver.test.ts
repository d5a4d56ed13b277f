import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { eventKinds, parsePush } from '../../exporter/telemetry/events.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { contextOf, destination, post, pushSetup, telemetry } from '../support/push.ts'
import { bmc, type Controller, node, pushed, serveController } from '../support/push-controller.ts'

const power = 'cray_node_power_watts'
const context = contextOf(bmc)

/** The body of one sample. */
function bodyOf(second: number, value: string): string {
  return JSON.stringify({ Context: context, Events: [telemetry('Power', [pushed(second, value)])] })
}

describe('the listener for events', () => {
  let device: Controller
  let exporter: TestExporter
  let url: string

  before(async () => {
    device = await serveController()
    const { push, env } = await pushSetup({ intervalSeconds: 60 })
    url = destination(push, bmc)
    const devices = [{ xname: bmc, server: device }]
    exporter = await startTestExporter({ devices, env, settings: { push } })
    await exporter.scrapeUntil((samples) => samplesOf(samples, power).length > 0)
  })

  after(async () => {
    await exporter.close()
    await device.close()
  })

  const shown = async () => sampleValue(await exporter.scrape(), power, { xname: node })
  const refused = async (reason: string) => {
    const name = 'joulebridge_push_refused_requests_total'
    return samplesOf(await exporter.scrape(), name, { reason })[0]?.value ?? 0
  }

  it('takes a body in pieces, and many over one connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ports = new Set<number>()
    for (const second of [1, 2, 3]) {
      const sending = request(url, { method: 'POST', agent })
      const [first, rest] = [bodyOf(second, String(second)).slice(0, 30), second]
      sending.write(first)
      sending.end(bodyOf(rest, String(rest)).slice(30))
      const response = await answerOf(sending)
      assert.equal(response.statusCode, 204)
      ports.add(response.socket.localPort ?? 0)
    }
    agent.destroy()
    assert.equal(ports.size, 1)
    assert.equal(await shown(), 3)
  })

  it('takes gzip, and neither a bomb nor another encoding', async () => {
    assert.equal(await postEncoded(url, 'gzip', gzipSync(bodyOf(10, '10'))), 204)
    assert.equal(await shown(), 10)
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '))
    assert.equal(await postEncoded(url, 'gzip', bomb), 400)
    assert.equal(await postEncoded(url, 'gzip', Buffer.from(bodyOf(11, '11'))), 400)
    assert.equal(await postEncoded(url, 'br', gzipSync(bodyOf(11, '11'))), 415)
    assert.equal(await shown(), 10)
    assert.equal(await refused('encoding'), 1)
  })

  it('takes several documents of one body, and nothing of one that is cut off', async () => {
    assert.equal(await post(url, `${bodyOf(20, '20')}\r\n${bodyOf(21, '21')}`), 204)
    assert.equal(await shown(), 21)
    const cut = `${bodyOf(22, '22')}${bodyOf(23, '23').slice(0, -4)}`
    assert.equal(await post(url, cut), 400)
    const foreign = bodyOf(24, '24').replace(context, 'other')
    assert.equal(await post(url, bodyOf(24, '24') + foreign), 403)
    assert.equal(await shown(), 21)
  })

  it('takes nothing of a body that is shorter than its length says', async () => {
    const { hostname, port, pathname } = new URL(url)
    const socket = connect(Number(port), hostname)
    const body = bodyOf(30, '30')
    const length = body.length + 50
    const head = `POST ${pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`
    socket.end(head + body)
    socket.resume()
    await once(socket, 'close')
    assert.equal(await post(url, bodyOf(31, '31')), 204)
    assert.equal(await shown(), 31)
  })

  it('ends the connection of one that is longer than its length says', async () => {
    const { hostname, port, pathname } = new URL(url)
    const socket = connect(Number(port), hostname)
    const body = bodyOf(40, '40')
    const head = `POST ${pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`
    socket.write(`${head}${body}${bodyOf(41, '41')}`)
    let answers = ''
    socket.setEncoding('utf8').on('data', (part) => {
      answers += part
    })
    await once(socket, 'close')
    assert.match(answers, /HTTP\/1\.1 400 Bad Request\r\nConnection: close/)
    assert.ok((await shown()) <= 40)
  })

  it('refuses a stranger before it has sent its body', async () => {
    const stranger = url.replace(/\/[^/]+\/([^/]+)$/, '/AAAAAAAAAAAAAAAAAAAAAA/$1')
    const before = await refused('not_ours')
    const sending = request(stranger, { method: 'POST', headers: { 'content-length': '4000000' } })
    sending.on('error', () => {})
    sending.flushHeaders()
    const response = await answerOf(sending)
    assert.equal(response.statusCode, 403)
    assert.equal(await refused('not_ours'), before + 1)
    sending.destroy()
  })

  it('counts events by kind, whatever they are', async () => {
    const kinds = async () => {
      const samples = await exporter.scrape()
      return Object.fromEntries(eventKinds.map((kind) => [kind, events(samples, kind)]))
    }
    const before = await kinds()
    const odd = [
      { MessageId: 'CrayAlerts.1.0.ResourcePowerStateChanged', OriginOfCondition: 'Node0' },
      { MessageId: 'ResourceEvent.1.0.ResourceChanged', OriginOfCondition: '/redfish/v1/x' },
      { MessageId: 'CrayAlerts.1.0.LeakDetected', OriginOfCondition: { '@odata.id': 7 } },
      { MessageId: 7, MessageArgs: 'text' },
      null,
      'text',
      [],
    ]
    assert.equal(await post(url, { Context: context, Events: odd }), 204)
    const after = await kinds()
    const counts = eventKinds.map((kind) => [kind, (after[kind] ?? 0) - (before[kind] ?? 0)])
    assert.deepEqual(Object.fromEntries(counts), {
      telemetry: 0,
      power_state: 1,
      resource: 1,
      alert: 1,
      other: 4,
    })
  })

  it('reads at once what an event says has changed', async () => {
    const path = '/redfish/v1/Systems/Node0'
    device.resources.set('/redfish/v1/Systems', { Members: [{ '@odata.id': path }] })
    device.resources.set(path, { Id: 'Node0', PowerState: 'On' })
    const own = { devices: [{ xname: bmc, server: device }], poll: { slowSeconds: 600 } }
    const { push, env } = await pushSetup({ intervalSeconds: 60 })
    const other = await startTestExporter({ ...own, env, settings: { push } })
    const state = (samples: readonly Sample[], name: string) =>
      samplesOf(samples, 'cray_power_state', { xname: node, state: name })[0]?.value
    await other.scrapeUntil((samples) => state(samples, 'On') === 1)
    device.resources.set(path, { Id: 'Node0', PowerState: 'Off' })
    const event = {
      MessageId: 'CrayAlerts.1.0.ResourcePowerStateChanged',
      MessageArgs: [path, 'Off'],
      OriginOfCondition: path,
    }
    assert.equal(await post(destination(push, bmc), { Events: event }), 204)
    await other.scrapeUntil((samples) => state(samples, 'Off') === 1)
    const secret = '/redfish/v1/AccountService'
    const theft = { ...event, MessageArgs: [secret], OriginOfCondition: secret }
    assert.equal(await post(destination(push, bmc), { Events: theft }), 204)
    device.resources.set(path, { Id: 'Node0', PowerState: 'On' })
    assert.equal(await post(destination(push, bmc), { Events: event, n: 2 }), 204)
    await other.scrapeUntil((samples) => state(samples, 'On') === 1)
    await other.close()
    assert.ok(!device.requests.some((each) => each.includes('AccountService')))
  })
})

describe('any body of an event', () => {
  it('is read without an error, as numbers that are finite', () => {
    const name = fc.constantFrom(
      ...['Events', 'Context', 'MessageId', 'Oem', 'Sensors', 'Timestamp', 'Value', 'Location'],
      ...['OriginOfCondition', 'MessageArgs', 'Index', '@odata.id', '__proto__'],
    )
    const text = fc.oneof(
      fc.constantFrom('CrayTelemetry.Power', '2026-01-01T00:00:00Z', '1e999', '0x10', '/redfish'),
      fc.string(),
    )
    const { body } = fc.letrec((tie) => ({
      body: fc.oneof(
        { depthSize: 'medium' },
        text,
        fc.double(),
        fc.constant(null),
        fc.array(tie('body'), { maxLength: 4 }),
        fc.dictionary(name, tie('body'), { maxKeys: 6 }),
      ),
    }))
    fc.assert(
      fc.property(body, (value) => {
        const { samples } = parsePush(JSON.parse(JSON.stringify(value) ?? 'null'))
        for (const { value, deviceMs } of samples) {
          assert.ok(Number.isFinite(value) && Number.isFinite(deviceMs))
        }
      }),
    )
  })
})

function events(samples: readonly Sample[], kind: string): number {
  return samplesOf(samples, 'joulebridge_push_events_total', { kind })[0]?.value ?? 0
}

async function postEncoded(url: string, encoding: string, body: Buffer): Promise<number> {
  const headers = { 'content-encoding': encoding, 'content-length': body.length }
  const sending = request(url, { method: 'POST', headers }).on('error', () => {})
  sending.end(body)
  return (await answerOf(sending)).statusCode ?? 0
}

async function answerOf(sending: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sending, 'response')) as [IncomingMessage]
  const { socket } = response
  response.resume()
  await once(response, 'end')
  return Object.assign(response, { socket })
}
