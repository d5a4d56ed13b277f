import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { isDeepStrictEqual } from 'node:util'
import type { TestDevice } from '../support/device.ts'
import { type Sample, startTestExporter, type TestExporter } from '../support/exporter.ts'
import { derived, measured, readingKey } from '../support/measured.ts'
import {
  allRecorded,
  describeMockups,
  recordedPlaces as places,
  recordedKinds,
  serveMockup,
} from '../support/mockups.ts'
import { requireProgram } from '../support/prometheus.ts'
import { exclusions, rawReadings } from '../support/raw-readings.ts'

describeMockups('every recorded reading', () => {
  const servers: TestDevice[] = []
  let exporter: TestExporter

  before(async () => {
    const devices = []
    for (const kind of await recordedKinds()) {
      const server = await serveMockup(kind)
      servers.push(server)
      const xname = places[kind]
      assert.ok(xname, `the recorded device ${kind} has no place in this test`)
      devices.push({ xname, server })
    }
    exporter = await startTestExporter({ devices, poll: { slowSeconds: 5 } })
  })

  after(async () => {
    await exporter?.close()
    await Promise.all(servers.map((server) => server.close()))
  })

  for (const [kind, xname] of Object.entries(places)) {
    it(`of ${kind} is shown exactly once, with its value, at its place`, async () => {
      const raw = rawReadings(kind, xname, await allRecorded(kind))
      assert.ok(raw.length > 30, `only ${raw.length} readings`)
      const wanted = raw.map(readingKey).sort()
      const isWhole = (all: Sample[]) => isDeepStrictEqual(measured(all, xname), wanted)
      const last = await exporter.scrapeUntil(isWhole).catch(() => exporter.scrape())
      assert.deepEqual(measured(last, xname), wanted)
      const probed = await exporter.scrape(`/probe?target=${xname}`)
      assert.deepEqual(measured(probed, xname), wanted)
    })
  }

  it('leads to what is derived of it, and to nothing else', async () => {
    const shown = (all: Sample[]) => all.filter(({ name }) => derived.includes(name))
    const all = shown(await exporter.scrape())
    const [input = 0, output = 0] = await Promise.all(['Input', 'Output'].map(rectifierWatts))
    const wanted: [name: string, bmc: string, value: number][] = [
      ['cray_chassis_power_watts', 'x1000c0b0', input],
      ['cray_chassis_power_watts', 'x1000c0b0', output],
      ['cray_chassis_conversion_efficiency_ratio', 'x1000c0b0', output / input],
      // By the vapour pressure of Hyland and Wexler, of 20.9 Cel at 49 % and 18.9 Cel at 57 %.
      ...['x3000m0', 'x3000m1'].flatMap((bmc): [string, string, number][] => [
        ['cray_pdu_dew_point_celsius', bmc, 9.8],
        ['cray_pdu_dew_point_celsius', bmc, 10.2],
      ]),
    ]
    assert.equal(all.length, wanted.length)
    for (const [name, bmc, value] of wanted) {
      const near = all.filter(
        (each) =>
          each.name === name &&
          each.labels['bmc'] === bmc &&
          Math.abs(each.value - value) <= (name.endsWith('celsius') ? 0.1 : 1e-9 * value),
      )
      assert.equal(near.length, 1, `${name} of ${bmc}: expected one of ${value}`)
    }
  })

  it('is left out only for a listed reason, and each reason of the list is used', async () => {
    const used = new Set<string>()
    for (const [kind, xname] of Object.entries(places)) {
      rawReadings(kind, xname, await allRecorded(kind), (reason) => used.add(reason))
    }
    assert.deepEqual(
      exclusions.map(({ reason }) => reason).filter((reason) => !used.has(reason)),
      [],
    )
  })

  it('passes promtool check metrics, in one text and for each device', async function () {
    const promtool = await requireProgram('promtool', this)
    const probes = Object.values(places).map((xname) => `/probe?target=${xname}`)
    for (const path of ['/metrics', ...probes]) {
      const input = await (await fetch(exporter.url + path)).text()
      const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input })
      assert.equal(`${stdout}${stderr}`, '')
      assert.equal(status, 0)
    }
  })
})

async function rectifierWatts(side: string): Promise<number> {
  const all = await allRecorded('CMM')
  const rectifier = new RegExp(`/Rectifier\\d+${side}Power$`)
  const bodies = [...all].filter(([path]) => rectifier.test(path))
  assert.equal(bodies.length, 4)
  return bodies.reduce((sum, [, body]) => sum + (body as { Reading: number }).Reading, 0)
}
