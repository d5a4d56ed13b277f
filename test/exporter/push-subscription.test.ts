import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { contextOf, destination, type PushSection, pushSetup } from '../support/push.ts'
import {
  bmc,
  type Controller,
  node,
  serveController,
  subscriptions,
} from '../support/push-controller.ts'

const theirs = { Context: bmc, Destination: `http://10.0.0.1/${bmc}`, Protocol: 'Redfish' }
const refusal = { status: 400, code: 'Base.1.0.GeneralError' }
const full = { status: 503, code: 'Base.1.8.EventSubscriptionLimitExceeded' }

describe('the subscription of a device', () => {
  let device: Controller
  let exporter: TestExporter
  let push: PushSection

  const start = async (overrides: Partial<PushSection> = {}) => {
    const setup = await pushSetup(overrides)
    push = setup.push
    return (await restart(setup)).scrapeUntil
  }
  const restart = async (setup: Awaited<ReturnType<typeof pushSetup>>) => {
    const devices = [{ xname: bmc, server: device }]
    exporter = await startTestExporter({ devices, env: setup.env, settings: { push: setup.push } })
    return exporter
  }
  const has = () =>
    [...device.resources.keys()].filter((each) => each.startsWith(`${subscriptions}/`))
  const give = (id: string, body: object) => {
    device.resources.set(`${subscriptions}/${id}`, body)
    const members = has().map((path) => ({ '@odata.id': path }))
    device.resources.set(subscriptions, { Members: members })
  }

  beforeEach(async () => {
    device = await serveController()
  })

  afterEach(async () => {
    await exporter.close()
    await device.close()
  })

  it('is made once; stale ones of ours go, those of others stay', async () => {
    const setup = await pushSetup({ checkSeconds: 100 })
    push = setup.push
    give('a', theirs)
    give('b', { ...theirs, Destination: `${push.advertisedUrl}/old/x1000c0s7b0` })
    give('c', { ...theirs, Destination: 'http://10.0.0.2/x', Context: contextOf('x1000c0s7b0') })
    give('d', { ...theirs, Destination: 'http://10.0.0.2/x', Context: 'joulebridge/x1000c0s7b0/z' })
    give('e', { ...theirs, Destination: `${push.advertisedUrl}/${bmc}` })
    give('f', { ...theirs, Destination: `${push.advertisedUrl}0/old/x1000c0s7b0` })
    device.resources.set('/redfish/v1/EventService', {
      EventTypesForSubscription: ['Alert', 'StatusChange'],
    })
    const first = await restart(setup)
    await first.scrapeUntil((all) => subscribed(all, 'silent') === 1 && device.made.length > 0)
    assert.deepEqual(device.made, [
      {
        Context: contextOf(bmc),
        Destination: destination(push, bmc),
        EventTypes: ['StatusChange', 'Alert'],
        Protocol: 'Redfish',
        RegistryPrefixes: ['CrayTelemetry'],
      },
    ])
    assert.deepEqual(device.deleted, [`${subscriptions}/b`, `${subscriptions}/c`])
    await first.close()
    await (await restart(setup)).scrapeUntil((samples) => subscribed(samples, 'silent') === 1)
    assert.equal(device.made.length, 1, 'the next start knows it by its secret')
  })

  it('is accompanied by one for state changes, which no registry limits', async () => {
    const scrapeUntil = await start({ stateChanges: true, checkSeconds: 100 })
    await scrapeUntil((all) => subscribed(all, 'silent') === 1 && device.made.length === 2)
    const [, changes] = device.made as Record<string, unknown>[]
    assert.equal(changes?.['RegistryPrefixes'], undefined)
    assert.equal(changes?.['Destination'], destination(push, bmc))
  })

  it('is made anew when nothing comes of it', async () => {
    await start({ checkSeconds: 0.1 })
    await until(() => (device.made.length >= 2 ? true : undefined), 10)
    assert.equal(device.deleted[0], `${subscriptions}/1`)
  })

  it('is removed at the end, but none that has taken its place', async () => {
    const scrapeUntil = await start({
      keepSubscriptions: false,
      stateChanges: true,
      checkSeconds: 100,
    })
    await scrapeUntil((all) => subscribed(all, 'silent') === 1 && device.made.length === 2)
    give('1', theirs)
    await exporter.close()
    assert.deepEqual(has(), [`${subscriptions}/1`])
    assert.deepEqual(device.deleted, [`${subscriptions}/2`])
  })

  it('is left with a device that does not answer at the end, within seconds', async () => {
    const scrapeUntil = await start({ keepSubscriptions: false, checkSeconds: 100 })
    await scrapeUntil((all) => subscribed(all, 'silent') === 1 && device.made.length === 1)
    device.behaviour.hangs = true
    const began = performance.now()
    await exporter.close()
    assert.ok(performance.now() - began < 10_000)
    assert.equal(has().length, 1)
  }).timeout(30_000)

  it('is given up where the device has no telemetry, which is polled as ever', async () => {
    device.behaviour.refuses = refusal
    const scrapeUntil = await start()
    const samples = await scrapeUntil((all) => subscribed(all, 'unsupported') === 1)
    assert.equal(sampleValue(samples, 'cray_node_power_watts', { xname: node }), 100)
  })

  it('is asked for ever more seldom while the device has no room', async () => {
    device.behaviour.refuses = full
    const scrapeUntil = await start({ checkSeconds: 0.1 })
    const tries = () => device.requests.filter((each) => each === `POST ${subscriptions}`).length
    const samples = await scrapeUntil((all) => subscribed(all, 'full') === 1 && tries() >= 4)
    assert.equal(samplesOf(samples, 'cray_node_power_watts', { xname: node }).length, 1)
    const since = performance.now()
    const before = tries()
    await until(() => (tries() > before ? true : undefined), 10)
    assert.ok(performance.now() - since > 300, 'a pause of 0.1 s at first')
    device.behaviour.refuses = undefined
    await scrapeUntil((all) => subscribed(all, 'silent') === 1)
  })
})

function subscribed(samples: readonly Sample[], state: string): number {
  return sampleValue(samples, 'joulebridge_push_subscriptions', { state })
}
