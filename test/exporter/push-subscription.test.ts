import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { type Sample, sampleValue, startTestExporter } from '../support/exporter.ts'
import { contextOf, destination, pushSetup } from '../support/push.ts'
import { bmc, node, serveController, subscriptions } from '../support/push-controller.ts'

describe('the subscription of a device', () => {
  const theirs = { Context: bmc, Destination: `http://10.0.0.1/${bmc}`, Protocol: 'Redfish' }

  it('is made once; stale ones of ours go, those of others stay', async () => {
    const device = await serveController()
    const { push, env } = await pushSetup({ checkSeconds: 100 })
    const old = (id: string, body: object) => device.resources.set(`${subscriptions}/${id}`, body)
    old('a', theirs)
    old('b', { ...theirs, Destination: `${push.advertisedUrl}/old/x1000c0s7b0` })
    old('c', { ...theirs, Destination: 'http://10.0.0.2/x', Context: contextOf('x1000c0s7b0') })
    old('d', { ...theirs, Destination: 'http://10.0.0.2/x', Context: 'joulebridge/x1000c0s7b0/z' })
    const ids = ['a', 'b', 'c', 'd'].map((id) => ({ '@odata.id': `${subscriptions}/${id}` }))
    device.resources.set(subscriptions, { Members: ids })
    device.resources.set('/redfish/v1/EventService', {
      EventTypesForSubscription: ['Alert', 'StatusChange'],
    })
    const devices = [{ xname: bmc, server: device }]
    const exporter = await startTestExporter({ devices, env, settings: { push } })
    await exporter.scrapeUntil(
      (samples) => subscribed(samples, 'silent') === 1 && device.made.length > 0,
    )
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
    await exporter.close()
    const next = await startTestExporter({ devices, env, settings: { push } })
    await next.scrapeUntil((samples) => subscribed(samples, 'silent') === 1)
    await next.close()
    assert.equal(device.made.length, 1, 'the next start knows it by its secret')
    await device.close()
  })

  it('is made anew when nothing comes of it', async () => {
    const device = await serveController()
    const { push, env } = await pushSetup({ checkSeconds: 0.1 })
    const devices = [{ xname: bmc, server: device }]
    const exporter = await startTestExporter({ devices, env, settings: { push } })
    await until(() => (device.made.length >= 2 ? true : undefined), 10)
    assert.equal(device.deleted[0], `${subscriptions}/1`)
    await exporter.close()
    await device.close()
  })

  it('is given up where the device has no telemetry, which is polled as ever', async () => {
    const device = await serveController({ refuses: true })
    const { push, env } = await pushSetup()
    const devices = [{ xname: bmc, server: device }]
    const exporter = await startTestExporter({ devices, env, settings: { push } })
    const samples = await exporter.scrapeUntil((all) => subscribed(all, 'unsupported') === 1)
    assert.equal(sampleValue(samples, 'cray_node_power_watts', { xname: node }), 100)
    await exporter.close()
    await device.close()
  })
})

function subscribed(samples: readonly Sample[], state: string): number {
  return sampleValue(samples, 'joulebridge_push_subscriptions', { state })
}
