import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/command.ts'
import { answer, serveDevice, type TestDevice } from '../support/device.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'

describe('the leases of the exporter', () => {
  const closing: { close(): Promise<void> }[] = []
  let server: TestDevice
  let exporter: TestExporter

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })

  /** An iPDU with an outlet, as `x3000m0`. */
  async function exporting(fastSeconds: number, token: string | undefined = 'lease-token') {
    server = await serveDevice((request, response) => {
      answer(response, 200, request.url?.endsWith('outlets') ? [{ id: 'AA1' }] : [])
    })
    closing.push(server)
    exporter = await startTestExporter({
      devices: [{ xname: 'x3000m0', server }],
      poll: { fastSeconds, slowSeconds: 60, stateSeconds: 60 },
      settings: {
        credentials: [
          { username: 'root', password: { env: 'BMC_PASSWORD' }, insecureSkipVerify: true },
        ],
        token: { env: 'LEASE_TOKEN' },
      },
      env: { BMC_PASSWORD: 'initial0', LEASE_TOKEN: token },
    })
    closing.push(exporter)
    await exporter.scrapeUntil((all) => value(all, 'cray_device_up') === 1)
  }

  async function post(call: 'hold' | 'poll', body: unknown, token = 'lease-token') {
    const response = await fetch(`${exporter.url}/api/v1/${call}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> }
  }

  const value = (samples: readonly Sample[], name: string) => samplesOf(samples, name)[0]?.value
  const polls = () => server.requests.filter((each) => each.endsWith('/outlets')).length

  it('want the bearer token, and are refused where the settings have none', async () => {
    await exporting(60)
    assert.equal((await post('hold', { xnames: ['x3000m0'], seconds: 1 }, 'wrong')).status, 401)
    const none = await fetch(`${exporter.url}/api/v1/poll`, { method: 'POST' })
    assert.equal(none.status, 401)
    const bare = await startTestExporter({ devices: [] })
    closing.push(bare)
    const refused = await fetch(`${bare.url}/api/v1/hold`, { method: 'POST' })
    assert.equal(refused.status, 403)
    assert.match(await refused.text(), /exporter\.token is not configured/)
  })

  it('hold a device: it is not asked, is not down, and the hold ends by itself', async () => {
    await exporting(0.1)
    const { status, answer } = await post('hold', { xnames: ['X3000M0', 'x9c0'], seconds: 2 })
    const heldFrom = performance.now()
    assert.equal(status, 200)
    assert.deepEqual(answer['unknown'], ['x9c0'])
    const [held] = answer['held'] as { xname: string; until: string }[]
    assert.equal(held?.xname, 'X3000M0')
    assert.ok(Math.abs(Date.parse(held?.until ?? '') - Date.now() - 2000) < 1000)
    await until(() => (performance.now() - heldFrom > 200 ? true : undefined), 5)
    const before = polls()
    const samples = await exporter.scrape()
    assert.equal(value(samples, 'cray_device_held'), 1)
    assert.equal(value(samples, 'cray_device_up'), 1)
    assert.equal(sampleValue(samples, 'joulebridge_devices', { state: 'held' }), 1)
    const probe = await exporter.scrape('/probe?target=x3000m0')
    assert.equal(value(probe, 'cray_device_up'), 1)
    await delay(1000)
    assert.equal(polls(), before)
    const after = await exporter.scrapeUntil((all) => value(all, 'cray_device_held') === 0)
    assert.equal(value(after, 'cray_device_up'), 1)
    await until(() => (polls() > before + 3 ? true : undefined), 10)
    assert.ok(performance.now() - heldFrom > 1900)
  })

  it('hold longer when asked again, never shorter, and no more when asked for none', async () => {
    await exporting(0.1)
    const held = async (seconds: number) => {
      const { answer } = await post('hold', { xnames: ['x3000m0p0v1'], seconds })
      const [first] = answer['held'] as { until: string }[]
      return Date.parse(first?.until ?? '') - Date.now()
    }
    assert.ok((await held(300)) > 290_000)
    assert.ok((await held(1)) > 290_000)
    assert.ok((await held(600)) > 590_000)
    assert.ok((await held(0)) <= 0)
    const before = polls()
    await until(() => (polls() > before + 3 ? true : undefined), 10)
  })

  it('poll at once, and once for many who ask meanwhile', async () => {
    await exporting(600)
    await delay(1000)
    const before = polls()
    const asks = Array.from({ length: 20 }, () =>
      post('poll', { xnames: ['x3000m0p0v1', 'x3000m0p0v2', 'x1c0'] }),
    )
    for (const { status, answer } of await Promise.all(asks)) {
      assert.equal(status, 202)
      assert.deepEqual(answer, { asked: 1, unknown: ['x1c0'] })
    }
    await until(() => (polls() > before ? true : undefined), 10)
    await delay(100)
    assert.equal(polls(), before + 1)
    const samples = await exporter.scrape()
    assert.equal(sampleValue(samples, 'joulebridge_asked_polls_total', { outcome: 'done' }), 20)
  })

  it('poll a held device when that is over', async () => {
    await exporting(600)
    await delay(1000)
    const before = polls()
    await post('hold', { xnames: ['x3000m0'], seconds: 60 })
    await post('poll', { xnames: ['x3000m0'] })
    await delay(300)
    assert.equal(polls(), before)
    await post('hold', { xnames: ['x3000m0'], seconds: 0 })
    await until(() => (polls() > before ? true : undefined), 10)
  })

  it('refuse what is no such request, and say what is wrong', async () => {
    await exporting(60)
    for (const [call, body, fault] of [
      ['hold', { xnames: ['x3000m0'], seconds: 601 }, /^seconds: /],
      ['hold', { xnames: ['x3000m0'] }, /^seconds: /],
      ['poll', { xnames: [] }, /^xnames: /],
      ['poll', { xnames: ['x3000m0'], seconds: 1 }, /seconds/],
    ] as const) {
      const { status, answer } = await post(call, body)
      assert.equal(status, 400)
      assert.match(String(answer['detail']), fault)
    }
  })
})
