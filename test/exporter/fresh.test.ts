import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { answer, serveDevice, serveResources, type TestDevice } from '../support/device.ts'
import {
  parseSamples,
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
  type TestExporterOptions,
} from '../support/exporter.ts'
import { collectionOf, link } from '../support/redfish.ts'

describe('what is shown of a device', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })

  async function served(server: Promise<TestDevice>): Promise<TestDevice> {
    const started = await server
    closing.push(started)
    return started
  }

  async function scraped(options: TestExporterOptions): Promise<TestExporter> {
    const exporter = await startTestExporter(options)
    closing.push(exporter)
    return exporter
  }

  const powers = (samples: readonly Sample[]) =>
    samplesOf(samples, 'cray_node_power_watts').map(({ labels }) => labels['xname'])
  const energies = (samples: readonly Sample[]) =>
    samplesOf(samples, 'cray_node_energy_joules_total')
  const up = (samples: readonly Sample[]) => samplesOf(samples, 'cray_device_up')[0]?.value

  it('loses the series of the one resource that fails, in time, and gets them back', async () => {
    let failing = ''
    const resources = nodeCard()
    const server = await served(
      serveDevice((request, response) => {
        const path = request.url ?? ''
        if (failing !== '' && path.endsWith(failing)) answer(response, 500, { error: {} })
        else answer(response, path in resources ? 200 : 404, resources[path] ?? {})
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x1000c0s1b0', server }] })
    await exporter.scrapeUntil((all) => powers(all).length === 2 && energies(all).length === 2)
    failing = 'Node0/Sensors/ChassisVoltageRegulator0InputPower'
    const without = await exporter.scrapeUntil((all) => powers(all).length < 2)
    assert.deepEqual(powers(without), ['x1000c0s1b0n1'])
    assert.equal(energies(without).length, 2)
    assert.equal(up(without), 1)
    failing = ''
    await exporter.scrapeUntil((all) => powers(all).length === 2)
  })

  it('goes with its own pace: what is read seldom stays longer than power', async () => {
    let broken = false
    const resources = nodeCard()
    const server = await served(
      serveDevice((request, response) => {
        const path = request.url ?? ''
        if (broken && /Input(Power|Energy)$/.test(path)) answer(response, 500, {})
        else answer(response, path in resources ? 200 : 404, resources[path] ?? {})
      }),
    )
    const devices = [{ xname: 'x1000c0s1b0', server }]
    const exporter = await scraped({ devices, poll: { slowSeconds: 60 } })
    const temperatures = (all: readonly Sample[]) =>
      samplesOf(all, 'cray_sensor_temperature_celsius').length
    await exporter.scrapeUntil((all) => powers(all).length === 2 && temperatures(all) === 1)
    broken = true
    await exporter.scrapeUntil((all) => powers(all).length === 0)
    const polls = (all: readonly Sample[]) =>
      sampleValue(all, 'cray_device_errors_total', { reason: 'malformed' })
    const then = polls(await exporter.scrape())
    const samples = await exporter.scrapeUntil((all) => polls(all) > then + 16)
    assert.equal(temperatures(samples), 1)
    assert.equal(up(samples), 0)
  })

  it('goes altogether when it dies, but for how it does', async () => {
    const server = await serveResources(nodeCard())
    const devices = [{ xname: 'x1000c0s1b0', server }]
    const exporter = await scraped({ devices, poll: { slowSeconds: 60, stateSeconds: 60 } })
    await exporter.scrapeUntil(
      (all) => samplesOf(all, 'cray_sensor_temperature_celsius').length === 1,
    )
    const before = await exporter.scrape()
    const answeredAt = sampleValue(before, 'cray_device_last_success_timestamp_seconds', {})
    await server.close()
    const samples = await exporter.scrapeUntil(
      (all) =>
        samplesOf(all, 'cray_sensor_temperature_celsius').length === 0 &&
        samplesOf(all, 'cray_device_backoff_until_timestamp_seconds').length === 1,
    )
    const names = new Set(samples.flatMap(({ name }) => (name.startsWith('cray_') ? [name] : [])))
    assert.deepEqual(
      [...names].filter((name) => !name.startsWith('cray_device_')),
      [],
    )
    assert.equal(up(samples), 0)
    const state = (name: string) => sampleValue(samples, 'joulebridge_devices', { state: name })
    assert.equal(state('backing_off'), 1)
    const last = sampleValue(samples, 'cray_device_last_success_timestamp_seconds', {})
    assert.ok(last >= answeredAt && last < Date.now() / 1000)
  })

  it('keeps its pace when it is back after a pause that grew', async () => {
    let broken = true
    const resources = nodeCard()
    const server = await served(
      serveDevice((request, response) => {
        const path = request.url ?? ''
        if (broken) request.destroy()
        else answer(response, path in resources ? 200 : 404, resources[path] ?? {})
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x1000c0s1b0', server }] })
    const backOff = 'cray_device_backoff_until_timestamp_seconds'
    await exporter.scrapeUntil((all) => samplesOf(all, backOff).length === 1)
    broken = false
    const samples = await exporter.scrapeUntil((all) => up(all) === 1)
    assert.deepEqual(samplesOf(samples, backOff), [])
  })

  it('is as of its last polls in a probe whose time is up, where pauses slow it down', async () => {
    const server = await served(serveResources(hpePdu(8)))
    const exporter = await scraped({
      devices: [{ xname: 'x3000m0', server }],
      poll: { fastSeconds: 60, gapSeconds: 0.2 },
    })
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_pdu_outlet_power_watts').length === 8)
    const before = server.requests.length
    const samples = await probed(exporter, 'x3000m0&module=power', 0.8)
    assert.equal(samplesOf(samples, 'cray_pdu_outlet_power_watts').length, 8)
    assert.equal(up(samples), 1)
    assert.ok(server.requests.length - before < 8, 'a probe asked for all anew')
  })

  it('is as of its last polls in a probe that hangs, unless it never was up', async () => {
    let hanging = false
    const resources = nodeCard()
    const server = await served(
      serveDevice((request, response) => {
        const path = request.url ?? ''
        if (!hanging) answer(response, path in resources ? 200 : 404, resources[path] ?? {})
      }),
    )
    const hung = await served(serveDevice(() => {}))
    const exporter = await scraped({
      devices: [
        { xname: 'x1000c0s1b0', server },
        { xname: 'x1000c0s2b0', server: hung },
      ],
      poll: { fastSeconds: 60, timeoutSeconds: 60 },
    })
    await exporter.scrapeUntil((all) => powers(all).length === 2)
    hanging = true
    const startedAt = performance.now()
    const [cached, none] = await Promise.all([
      probed(exporter, 'x1000c0s1b0', 1),
      probed(exporter, 'x1000c0s2b0', 1),
    ])
    assert.ok(performance.now() - startedAt < 5000)
    assert.equal(powers(cached).length, 2)
    assert.equal(up(none), 0)
    assert.deepEqual(powers(none), [])
  })
})

async function probed(exporter: TestExporter, target: string, seconds: number): Promise<Sample[]> {
  const headers = { 'x-prometheus-scrape-timeout-seconds': String(seconds) }
  return await until(async () => {
    const response = await fetch(`${exporter.url}/probe?target=${target}`, { headers })
    return parseSamples(await response.text())
  }, 20)
}

/** Two nodes, each with power and energy, and one temperature. */
function nodeCard(): Record<string, unknown> {
  const chassis = '/redfish/v1/Chassis'
  const node = (n: number) => {
    const sensors = `${chassis}/Node${n}/Sensors`
    return {
      [`${chassis}/Node${n}`]: { Sensors: link(sensors) },
      ...collectionOf(sensors, {
        ChassisVoltageRegulator0InputPower: { Reading: 400 + n, ReadingUnits: 'W' },
        ChassisVoltageRegulator0InputEnergy: { Reading: 1000, ReadingUnits: 'J' },
        ...(n === 0 && { CPU0Temperature: { Reading: 55, ReadingUnits: 'Cel' } }),
      }),
    }
  }
  return {
    [chassis]: {
      Members: ['Node0', 'Node1', 'Enclosure'].map((name) => link(`${chassis}/${name}`)),
    },
    [`${chassis}/Enclosure`]: {},
    ...node(0),
    ...node(1),
    '/redfish/v1/Systems': { Members: [] },
  }
}

function hpePdu(outlets: number): Record<string, unknown> {
  const pdus = '/redfish/v1/PowerEquipment/RackPDUs'
  const numbers = Array.from({ length: outlets }, (_, i) => i + 1)
  const list = numbers.map((n) => `${pdus}/1/Outlets/OUTLET${n}`)
  return {
    [pdus]: { Members: [link(`${pdus}/1`)] },
    [`${pdus}/1`]: { Manufacturer: 'CIS', Outlets: link(`${pdus}/1/Outlets`) },
    [`${pdus}/1/Outlets`]: { Outlets: list.map((path) => ({ Links: link(path) })) },
    ...Object.fromEntries(list.map((path) => [path, { PowerWatts: { Reading: 7 } }])),
  }
}
