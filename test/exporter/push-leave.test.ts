import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { destination, post, pushSetup, telemetry } from '../support/push.ts'
import {
  bmc,
  type Controller,
  node,
  pushed,
  serveController,
  subscriptions,
} from '../support/push-controller.ts'

describe('a device that comes and goes', () => {
  let device: Controller
  let exporter: TestExporter
  let url: string

  beforeEach(async () => {
    device = await serveController()
  })

  afterEach(async () => {
    await exporter.close()
    await device.close()
  })

  /** The devices that the settings name once they are read again. */
  async function start(checkSeconds: number, later: 'none' | 'other login' = 'none') {
    const { push, env } = await pushSetup({ checkSeconds })
    url = destination(push, bmc)
    exporter = await startTestExporter({
      devices: [{ xname: bmc, server: device }],
      env: { ...env, LEASES: 'token' },
      settings: { push, token: { env: 'LEASES' } },
      reread: async (now) =>
        later === 'none'
          ? { ...now, devices: [] }
          : { ...now, poll: { ...now.poll, timeoutSeconds: 4 } },
    })
  }

  const state = (all: readonly Sample[], name: string) =>
    sampleValue(all, 'joulebridge_push_subscriptions', { state: name })
  const isSubscribed = (all: readonly Sample[]) => state(all, 'silent') === 1

  it('loses our subscription when it leaves the inventory, though they are kept', async () => {
    await start(100)
    await exporter.scrapeUntil(isSubscribed)
    await exporter.reload()
    await until(() => (device.deleted.length > 0 ? true : undefined), 10)
    assert.deepEqual(device.deleted, [`${subscriptions}/1`])
    const all = await exporter.scrape()
    assert.deepEqual(samplesOf(all, 'cray_device_up', { bmc }), [])
  })

  it('keeps it when it only starts anew', async () => {
    await start(100, 'other login')
    await exporter.scrapeUntil(isSubscribed)
    const before = device.requests.length
    await exporter.reload()
    await exporter.scrapeUntil((all) => isSubscribed(all) && device.requests.length > before + 10)
    assert.deepEqual([device.deleted, device.made.length], [[], 1])
  })

  it('is not asked for its subscription while it is held', async () => {
    await start(0.1)
    await exporter.scrapeUntil((all) => isSubscribed(all) && device.made.length >= 2)
    await lease(30)
    // What was under way ends; then many checks are due that do not come.
    const counts: number[] = []
    await until(() => {
      counts.push(device.requests.length)
      return counts.length > 30 ? true : undefined
    }, 20)
    assert.equal(counts.at(-1), counts.at(10))
    await lease(0)
    const made = device.made.length
    await until(() => (device.made.length > made ? true : undefined), 20)
  })

  it('has what it pushed before it was known what it has', async () => {
    const list = device.resources.get('/redfish/v1/Chassis')
    device.resources.delete('/redfish/v1/Chassis')
    await start(100)
    const body = (second: number) => ({ Events: [telemetry('Power', [pushed(second, '9')])] })
    for (const second of [1, 2]) assert.equal(await post(url, body(second)), 204)
    assert.equal(taken(await exporter.scrape()), 0)
    device.resources.set('/redfish/v1/Chassis', list)
    const power = 'cray_node_power_watts'
    await exporter.scrapeUntil((all) => samplesOf(all, power, { xname: node }).length > 0)
    assert.equal(await post(url, body(3)), 204)
    const all = await exporter.scrape()
    assert.equal(taken(all), 3)
    const reason = 'unknown_sensor'
    assert.deepEqual(samplesOf(all, 'joulebridge_push_refused_samples_total', { reason }), [])
  })

  const taken = (all: readonly Sample[]) =>
    samplesOf(all, 'joulebridge_push_samples_total')[0]?.value ?? 0

  async function lease(seconds: number) {
    const response = await fetch(`${exporter.url}/api/v1/hold`, {
      method: 'POST',
      headers: { authorization: 'Bearer token', 'content-type': 'application/json' },
      body: JSON.stringify({ xnames: [bmc], seconds }),
    })
    assert.equal(response.status, 200)
  }
})
