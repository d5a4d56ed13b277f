import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../support/command.ts'
import { type Sample, samplesOf, sampleValue, startTestExporter } from '../support/exporter.ts'
import { allRecorded, describeMockups, mockupFolder, serveMockup } from '../support/mockups.ts'
import { contextOf, destination, post, pushSetup } from '../support/push.ts'

describeMockups('the recorded events', () => {
  for (const [xname, kind] of [
    ['x1000c0b0', 'CMM'],
    ['x1000c0s0b0', 'EX235a'],
  ] as const) {
    it(`of a ${kind} are of sensors that are polled, and change nothing but values`, async () => {
      const device = await serveMockup(kind)
      const { push, env } = await pushSetup({ intervalSeconds: 60 })
      const devices = [{ xname, server: device }]
      const exporter = await startTestExporter({ devices, env, settings: { push } })
      const paths = [...(await allRecorded(kind)).keys()].filter((path) =>
        /\/Chassis\/[^/]+\/Sensors\/./.test(path),
      )
      const asked = (path: string) =>
        device.requests.filter((each) => each === `GET ${path}`).length
      await until(() => (paths.every((path) => asked(path) > 1) ? true : undefined), 20)
      const before = readings(await exporter.scrape())
      let sent = 0
      for (const body of await recordedEvents(xname)) {
        sent += body.Events[0]?.Oem.Sensors.length ?? 0
        assert.equal(await post(destination(push, xname), doubled(body, contextOf(xname))), 204)
      }
      const samples = await exporter.scrape()
      const after = readings(samples)
      assert.deepEqual(samplesOf(samples, 'joulebridge_push_refused_samples_total'), [])
      assert.equal(sampleValue(samples, 'joulebridge_push_samples_total', {}), sent)
      assert.deepEqual([...after.keys()], [...before.keys()])
      const changed = [...after].filter(([key, value]) => value !== before.get(key))
      for (const [key, value] of changed) {
        // The recorded events have three digits, some recorded sensors four.
        assert.ok(Math.abs(value - 2 * (before.get(key) ?? 0)) < 0.0021, key)
      }
      assert.ok(changed.length > sent / 2, `${changed.length} of ${sent} changed`)
      await exporter.close()
      await device.close()
    })
  }
})

interface RecordedEvent {
  Context: string
  Events: { Oem: { Sensors: { Timestamp: string; Value: string }[] } }[]
}

async function recordedEvents(xname: string): Promise<RecordedEvent[]> {
  const folder = join(mockupFolder, 'push-events')
  const files = (await readdir(folder)).filter((file) => file.startsWith(`${xname}.`))
  return await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8'))),
  )
}

/** As if an hour later every sensor had twice as much. */
function doubled(body: RecordedEvent, context: string): RecordedEvent {
  const later = (text: string) => new Date(Date.parse(text) + 3600_000).toISOString()
  const events = body.Events.map((event) => ({
    ...event,
    Oem: {
      Sensors: event.Oem.Sensors.map((sensor) => ({
        ...sensor,
        Timestamp: later(sensor.Timestamp),
        Value: String(2 * Number(sensor.Value)),
      })),
    },
  }))
  return { Context: context, Events: events }
}

/** What devices measure, but for the times of the readings. */
function readings(samples: readonly Sample[]): Map<string, number> {
  const found = samples
    .filter(({ name }) => name.startsWith('cray_') && !/^cray_device_|_timestamp_/.test(name))
    .map(({ name, labels, value }) => [`${name} ${JSON.stringify(labels)}`, value] as const)
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}
