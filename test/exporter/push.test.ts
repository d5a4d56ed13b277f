import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import { until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import {
  contextOf,
  destination,
  type PushedSensor,
  type PushSection,
  post,
  pushSetup,
  telemetry,
  token,
} from '../support/push.ts'
import {
  atSecond,
  bmc,
  type Controller,
  node,
  polled,
  pushed,
  sensors,
  serveController,
} from '../support/push-controller.ts'

const power = 'cray_node_power_watts'
const refusedSamples = 'joulebridge_push_refused_samples_total'
const refusedRequests = 'joulebridge_push_refused_requests_total'

function total(samples: readonly Sample[], name: string, reason: string): number {
  return samplesOf(samples, name, { reason })[0]?.value ?? 0
}

describe('what a device pushes', () => {
  let device: Controller
  let exporter: TestExporter
  let push: PushSection
  let url: string
  const shown = async (name = power) => sampleValue(await exporter.scrape(), name, { xname: node })
  const send = (...events: object[]) => post(url, { Context: contextOf(bmc), Events: events })

  before(async () => {
    device = await serveController()
    const setup = await pushSetup({ intervalSeconds: 60 })
    push = setup.push
    url = destination(push, bmc)
    const devices = [{ xname: bmc, server: device }]
    exporter = await startTestExporter({ devices, env: setup.env, settings: { push } })
    await exporter.scrapeUntil((samples) => samplesOf(samples, power).length > 0)
  })

  after(async () => {
    await exporter.close()
    await device.close()
  })

  it('is shown under the name of the polled sensor, the newest by device time', async () => {
    const before = await exporter.scrape()
    assert.equal(await send(telemetry('Power', [pushed(2, '120.5'), pushed(1, '119')])), 204)
    const after = await exporter.scrape()
    assert.equal(sampleValue(after, power, { xname: node }), 120.5)
    assert.deepEqual(
      samplesOf(after, power).map(({ labels }) => labels),
      samplesOf(before, power).map(({ labels }) => labels),
    )
    assert.equal(
      sampleValue(after, 'cray_sensor_reading_timestamp_seconds', {
        sensor: 'ChassisVoltageRegulator0InputPower',
      }),
      Date.parse(atSecond(2)) / 1000,
    )
  })

  it('changes nothing when it comes late or twice', async () => {
    const body = { Context: contextOf(bmc), Events: [telemetry('Power', [pushed(10, '210')])] }
    assert.equal(await post(url, body), 204)
    assert.equal(await send(telemetry('Power', [pushed(5, '205')])), 204)
    assert.equal(await shown(), 210)
    const before = await exporter.scrape()
    assert.equal(await post(url, body), 204)
    assert.equal(await send(telemetry('Power', [pushed(10, '211')])), 204)
    const after = await exporter.scrape()
    assert.equal(sampleValue(after, power, { xname: node }), 210)
    for (const [name, reason] of [
      [refusedRequests, 'repeated'],
      [refusedSamples, 'duplicate'],
    ] as const) {
      assert.equal(total(after, name, reason) - total(before, name, reason), 1, reason)
    }
  })

  it('stands against polls of an older reading, and is not polled meanwhile', async () => {
    await send(telemetry('Power', [pushed(20, '220')]), telemetry('Energy', [pushed(20, '6000')]))
    const asked = () => device.requests.filter((each) => each.includes(`${sensors}/`)).length
    const before = asked()
    const probe = await exporter.scrape('/probe?target=x1000c0s0b0&module=power')
    assert.equal(sampleValue(probe, power, { xname: node }), 100, 'what a poll finds')
    const probed = asked()
    const age = 'cray_device_last_success_timestamp_seconds'
    const last = sampleValue(await exporter.scrape(), age, {})
    await exporter.scrapeUntil((samples) => sampleValue(samples, age, {}) > last + 0.5)
    assert.equal(await shown(), 220)
    assert.equal(await shown('cray_node_energy_joules_total'), 6000)
    assert.equal(asked(), probed)
    assert.ok(probed > before)
  })

  it('may have odd forms: one event without a list, no context, many kinds, numbers', async () => {
    assert.equal(await post(url, { Events: telemetry('Power', [pushed(30, 230)]) }), 204)
    assert.equal(await shown(), 230)
    const other = { MessageId: 'ResourceEvent.1.0.ResourceChanged', OriginOfCondition: 'text' }
    await send(
      other,
      telemetry('Power', [pushed(31, ' 231.000 ')]),
      telemetry('Energy', [pushed(31, '7000')]),
    )
    assert.equal(await shown(), 231)
    assert.equal(await shown('cray_node_energy_joules_total'), 7000)
  })

  it('is left out where it is no sample of a sensor that we know, by reason', async () => {
    const before = await exporter.scrape()
    const { Timestamp: _, ...timeless } = pushed(0, '1')
    await send(
      telemetry('Power', [
        pushed(40, 'N/A'),
        pushed(40, ''),
        timeless,
        pushed(-1000, '3'),
        { ...pushed(40, '4'), Location: 'x1000c0s1b0n0' },
        { ...pushed(40, '5'), Index: 7 },
        { ...pushed(40, '0'), Timestamp: '1970-01-01T00:00:00.000000000Z' },
        pushed(40, '240'),
        pushed(41, '241'),
        pushed(42, '242'),
      ]),
    )
    const after = await exporter.scrape()
    assert.equal(sampleValue(after, power, { xname: node }), 242)
    const found = Object.fromEntries(
      ['no_value', 'no_time', 'out_of_time', 'unknown_sensor', 'never_read'].map((reason) => [
        reason,
        total(after, refusedSamples, reason) - total(before, refusedSamples, reason),
      ]),
    )
    assert.deepEqual(found, {
      no_value: 2,
      no_time: 1,
      out_of_time: 1,
      unknown_sensor: 2,
      never_read: 1,
    })
  })

  it('is refused without the secret, for an unknown device, of another context', async () => {
    const event = telemetry('Power', [pushed(50, '666')])
    const { advertisedUrl } = push
    for (const path of [
      `/${bmc}`,
      `/${token(bmc, 'guessed')}/${bmc}`,
      `/${token('x1000c0s1b0')}/${bmc}`,
      `/${token('x1000c0s1b0')}/x1000c0s1b0`,
      '/',
    ]) {
      assert.equal(await post(advertisedUrl + path, { Events: [event] }), 403, path)
    }
    assert.equal(await post(url, { Context: 'x1000c0s0b0', Events: [event] }), 403)
    assert.notEqual(await shown(), 666)
    assert.equal(total(await exporter.scrape(), refusedRequests, 'not_ours'), 6)
  })

  it('is bounded in size, and must be JSON that is posted', async () => {
    assert.equal(await post(url, '{"Events": ['), 400)
    assert.equal(await post(url, 'x'.repeat(4 * 1024 * 1024 + 1)).catch(() => 413), 413)
    assert.equal((await fetch(url)).status, 405)
    const many = Array.from({ length: 20_010 }, (_, i) => pushed(55 + i / 1e6, '255'))
    assert.equal(await send(telemetry('Power', many.map(brief))), 204)
    const samples = await exporter.scrape()
    assert.equal(total(samples, refusedSamples, 'too_many'), 10)
    for (const reason of ['malformed', 'too_large', 'method']) {
      assert.equal(total(samples, refusedRequests, reason), 1, reason)
    }
  })
})

/** So short that twenty thousand stay below the largest body. */
function brief({ Timestamp, Value }: PushedSensor): PushedSensor {
  return { Timestamp, Location: node, Index: 9, Value } as PushedSensor
}

describe('a device that falls silent', () => {
  it('is polled at once, not when the next poll is due', async () => {
    const device = await serveController()
    const { push, env } = await pushSetup({ intervalSeconds: 0.8 })
    const exporter = await startTestExporter({
      devices: [{ xname: bmc, server: device }],
      poll: { fastSeconds: 60 },
      env,
      settings: { push },
    })
    await exporter.scrapeUntil((samples) => samplesOf(samples, power).length > 0)
    const path = `${sensors}/ChassisVoltageRegulator0InputPower`
    const polls = () => device.requests.filter((each) => each === `GET ${path}`).length
    const before = polls()
    const body = { Events: [telemetry('Power', [pushed(1, '110')])] }
    assert.equal(await post(destination(push, bmc), body), 204)
    await until(() => (polls() > before ? true : undefined), 10)
    await exporter.close()
    await device.close()
  })

  it('is polled again after two intervals', async () => {
    const device = await serveController()
    const { push, env } = await pushSetup({ intervalSeconds: 0.3 })
    const devices = [{ xname: bmc, server: device }]
    const exporter = await startTestExporter({ devices, env, settings: { push } })
    await exporter.scrapeUntil((samples) => samplesOf(samples, power).length > 0)
    const url = destination(push, bmc)
    await post(url, { Events: [telemetry('Power', [pushed(1, '110')])] })
    const path = `${sensors}/ChassisVoltageRegulator0InputPower`
    const polls = () => device.requests.filter((each) => each === `GET ${path}`).length
    const before = polls()
    await until(() => (polls() > before + 1 ? true : undefined), 10)
    const still = sampleValue(await exporter.scrape(), power, { xname: node })
    assert.equal(still, 110, 'what polls find is older')
    device.resources.set(path, polled('Power', 'W', 130, 2))
    await exporter.scrapeUntil((samples) => samplesOf(samples, power)[0]?.value === 130)
    await post(url, { Events: [telemetry('Power', [pushed(1.5, '115')])] })
    const late = sampleValue(await exporter.scrape(), power, { xname: node })
    assert.equal(late, 130, 'what is pushed is older')
    await exporter.close()
    await device.close()
  })
})
