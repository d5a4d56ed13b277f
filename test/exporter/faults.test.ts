import assert from 'node:assert/strict'
import { answer, login, serveDevice, serveResources, type TestDevice } from '../support/device.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
  type TestExporterOptions,
} from '../support/exporter.ts'

describe('a device with faults', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })

  async function device(server: Promise<TestDevice>): Promise<TestDevice> {
    const started = await server
    closing.push(started)
    return started
  }

  async function scraped(options: TestExporterOptions): Promise<TestExporter> {
    const exporter = await startTestExporter(options)
    closing.unshift(exporter)
    return exporter
  }

  it('is shown as down when nothing answers, and keeps no other device waiting', async () => {
    const dead = await serveResources({})
    await dead.close()
    const server = await device(serveResources(nodeCard()))
    const devices = [
      { xname: 'x1000c0s0b0', server: dead },
      { xname: 'x1000c0s1b0', server },
    ]
    const exporter = await scraped({ devices, poll: { inFlight: 1 } })
    const samples = await exporter.scrapeUntil(
      (all) => isUp(all, 'x1000c0s0b0') === 0 && isUp(all, 'x1000c0s1b0') === 1,
    )
    assert.equal(sampleValue(samples, 'cray_node_power_watts', { xname: 'x1000c0s1b0n0' }), 412)
    const unreachable = { xname: 'x1000c0s0b0', reason: 'unreachable' }
    assert.ok(sampleValue(samples, 'cray_device_errors_total', unreachable) > 0)
  })

  it('is shown as down when it refuses the password, and is not asked for more', async () => {
    const server = await device(serveResources(nodeCard()))
    const devices = [{ xname: 'x1000c0s1b0', server }]
    const exporter = await scraped({ devices, password: 'wrong', poll: { fastSeconds: 5 } })
    const samples = await exporter.scrape('/probe?target=x1000c0s1b0')
    assert.equal(isUp(samples, 'x1000c0s1b0'), 0)
    assert.deepEqual(samplesOf(samples, 'cray_node_power_watts'), [])
    const unauthorized = { xname: 'x1000c0s1b0', reason: 'unauthorized' }
    assert.ok(sampleValue(samples, 'cray_device_errors_total', unauthorized) > 0)
    assert.deepEqual([...new Set(server.requests)], ['GET /redfish/v1/Chassis'])
  })

  it('is asked with a changed password without a restart', async () => {
    const server = await device(serveResources(nodeCard()))
    const env = { BMC_PASSWORD: 'yesterday' }
    const exporter = await scraped({ devices: [{ xname: 'x1000c0s1b0', server }], env })
    await exporter.scrapeUntil((all) => isUp(all, 'x1000c0s1b0') === 0)
    env.BMC_PASSWORD = login.password
    await exporter.scrapeUntil((all) => isUp(all, 'x1000c0s1b0') === 1)
  })

  it('loses its readings when it stops to answer, and has them again when it does', async () => {
    let broken = false
    const resources = nodeCard()
    const server = await device(
      serveDevice((request, response) => {
        if (broken) request.destroy()
        else answer(response, 200, resources[request.url ?? ''] ?? {})
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x1000c0s1b0', server }] })
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_node_power_watts').length === 1)
    broken = true
    const down = await exporter.scrapeUntil(
      (all) => samplesOf(all, 'cray_node_power_watts').length === 0,
    )
    assert.equal(isUp(down, 'x1000c0s1b0'), 0)
    broken = false
    const again = await exporter.scrapeUntil((all) => isUp(all, 'x1000c0s1b0') === 1)
    assert.equal(samplesOf(again, 'cray_node_energy_joules_total').length, 1)
  })

  it('loses only the resources that are broken', async () => {
    const resources = nodeCard()
    const server = await device(
      serveDevice((request, response) => {
        const path = request.url ?? ''
        if (path.endsWith('Alarms/LeakIndicatorEarly')) {
          response.writeHead(500, { 'content-type': 'text/html' }).end('<h1>stack trace</h1>')
        } else if (path.endsWith('Controls')) answer(response, 404, { error: {} })
        else if (path.endsWith('InputEnergy')) response.end('{"Reading": 12')
        else if (path.endsWith('CPU0Temperature')) return
        else if (path in resources) answer(response, 200, resources[path])
        else answer(response, 404, { error: {} })
      }),
    )
    const devices = [{ xname: 'x1000c0s1b0', server }]
    const exporter = await scraped({ devices, poll: { timeoutSeconds: 0.3 } })
    const samples = await exporter.scrapeUntil(
      (all) =>
        failures(all, 'malformed') > 1 &&
        failures(all, 'timeout') > 0 &&
        samplesOf(all, 'cray_leak_alarm_state').length > 0,
    )
    assert.equal(isUp(samples, 'x1000c0s1b0'), 1)
    assert.equal(sampleValue(samples, 'cray_node_power_watts', { xname: 'x1000c0s1b0n0' }), 412)
    assert.deepEqual(samplesOf(samples, 'cray_node_energy_joules_total'), [])
    assert.deepEqual(
      samplesOf(samples, 'cray_leak_alarm_state').map(({ labels }) => labels['alarm']),
      ['LeakIndicatorFatal'],
    )
  })

  it('shows no sample for a sensor that was never read', async () => {
    const path = '/redfish/v1/Chassis/Node0/Sensors/'
    const server = await device(
      serveResources({
        ...nodeCard(),
        [`${path}ChassisVoltageRegulator0InputEnergy`]: {
          Reading: 0,
          ReadingTime: '1970-01-01T00:00:00.000000000Z',
          ReadingUnits: 'J',
        },
        [`${path}CPU0Temperature`]: { ReadingUnits: 'Cel' },
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x1000c0s1b0', server }] })
    const samples = await exporter.scrape('/probe?target=x1000c0s1b0')
    assert.deepEqual(samplesOf(samples, 'cray_node_energy_joules_total'), [])
    assert.deepEqual(samplesOf(samples, 'cray_sensor_temperature_celsius'), [])
    const count = (reason: string) =>
      sampleValue(samples, 'cray_sensors_without_reading', { reason, xname: 'x1000c0s1b0' })
    assert.deepEqual([count('never_read'), count('no_reading')], [1, 1])
  })

  it('that lists a rectifier without reading has no chassis power', async () => {
    const server = await device(serveResources(chassisController([3400.5, undefined])))
    const exporter = await scraped({ devices: [{ xname: 'x1000c0b0', server }] })
    const samples = await exporter.scrape('/probe?target=x1000c0b0')
    const first = { xname: 'x1000c0t0', side: 'Output' }
    assert.equal(sampleValue(samples, 'cray_rectifier_power_watts', first), 3400.5)
    assert.deepEqual(samplesOf(samples, 'cray_chassis_power_watts'), [])
  })

  it('that repeats itself is shown once, with labels escaped', async () => {
    const fan = { Name: 'Fan "1"\\\n', Reading: 35, ReadingUnits: 'Percent' }
    const server = await device(
      serveResources({
        '/redfish/v1/Chassis': { Members: [{ '@odata.id': '/redfish/v1/Chassis/1/' }] },
        '/redfish/v1/Systems': { Members: [] },
        '/redfish/v1/Chassis/1/Power': {
          PowerControl: [
            { MemberId: '0', PowerConsumedWatts: 90 },
            { MemberId: '0', PowerConsumedWatts: 91 },
          ],
        },
        '/redfish/v1/Chassis/1/Thermal': { Fans: [fan, fan] },
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x3000c0s1b0', server }] })
    const samples = await exporter.scrape('/probe?target=x3000c0s1b0')
    const series = samples.map(({ name, labels }) => JSON.stringify([name, labels]))
    assert.equal(new Set(series).size, series.length)
    const [ratio] = samplesOf(samples, 'cray_fan_speed_ratio')
    assert.equal(ratio?.labels['name'], 'Fan "1"\\')
    assert.equal(samplesOf(samples, 'cray_server_power_watts')[0]?.value, 90)
  })

  it('gets one request at a time when it is an iPDU', async () => {
    let inFlight = 0
    let most = 0
    const server = await device(
      serveDevice((_request, response) => {
        most = Math.max(most, ++inFlight)
        setImmediate(() => {
          inFlight--
          answer(response, 200, [])
        })
      }),
    )
    const exporter = await scraped({ devices: [{ xname: 'x3000m0', server }] })
    await Promise.all([
      exporter.scrape('/probe?target=x3000m0'),
      exporter.scrape('/probe?target=x3000m0&module=power'),
      exporter.scrapeUntil((all) => isUp(all, 'x3000m0') === 1),
    ])
    assert.equal(most, 1)
  })

  it('is asked no longer than the scraper waits', async () => {
    const server = await device(serveDevice(() => {}))
    const devices = [{ xname: 'x1000c0s1b0', server }]
    const exporter = await scraped({ devices, poll: { fastSeconds: 60, timeoutSeconds: 60 } })
    const response = await fetch(`${exporter.url}/probe?target=x1000c0s1b0`, {
      headers: { 'x-prometheus-scrape-timeout-seconds': '0.8' },
    })
    assert.match(await response.text(), /^cray_device_up\{.*\} 0$/m)
  })
})

function isUp(samples: readonly Sample[], xname: string): number | undefined {
  return samplesOf(samples, 'cray_device_up', { xname })[0]?.value
}

function failures(samples: readonly Sample[], reason: string): number {
  return sampleValue(samples, 'cray_device_errors_total', { reason })
}

/** A node controller with one node of 412 W, two leak alarms and a power limit. */
function nodeCard(): Record<string, unknown> {
  const chassis = '/redfish/v1/Chassis'
  const sensors = `${chassis}/Node0/Sensors`
  const alarms = `${chassis}/Enclosure/Oem/Alarms`
  const ReadingTime = '2026-01-01T00:00:00.123456789Z'
  return {
    [chassis]: members(`${chassis}/Node0`, `${chassis}/Enclosure`),
    [`${chassis}/Node0`]: {
      Sensors: { '@odata.id': sensors },
      Controls: { '@odata.id': `${chassis}/Node0/Controls` },
    },
    [`${chassis}/Enclosure`]: { Oem: { Alarms: { '@odata.id': alarms } } },
    [alarms]: members(`${alarms}/LeakIndicatorFatal`, `${alarms}/LeakIndicatorEarly`),
    [`${alarms}/LeakIndicatorFatal`]: alarm('LeakIndicatorFatal'),
    [`${alarms}/LeakIndicatorEarly`]: alarm('LeakIndicatorEarly'),
    [sensors]: members(
      `${sensors}/ChassisVoltageRegulator0InputPower`,
      `${sensors}/ChassisVoltageRegulator0InputEnergy`,
      `${sensors}/CPU0Temperature`,
    ),
    [`${sensors}/ChassisVoltageRegulator0InputPower`]: { Reading: 412, ReadingUnits: 'W' },
    [`${sensors}/ChassisVoltageRegulator0InputEnergy`]: {
      Reading: 1222273783,
      ReadingUnits: 'J',
      ReadingTime,
    },
    [`${sensors}/CPU0Temperature`]: { Reading: 55, ReadingUnits: 'Cel' },
    '/redfish/v1/Systems': members(),
  }
}

/** A CMM with these rectifiers, by their output in watts. */
function chassisController(watts: readonly (number | undefined)[]): Record<string, unknown> {
  const chassis = '/redfish/v1/Chassis'
  const sensors = `${chassis}/Enclosure/Sensors`
  const paths = watts.map((_, index) => `${sensors}/Rectifier${index}OutputPower`)
  const bodies = watts.map((Reading) => ({ Reading, ReadingUnits: 'W' }))
  return {
    [chassis]: members(`${chassis}/Enclosure`),
    [`${chassis}/Enclosure`]: { Model: 'CMM', Sensors: { '@odata.id': sensors } },
    [sensors]: members(...paths),
    ...Object.fromEntries(paths.map((path, index) => [path, bodies[index]])),
  }
}

function alarm(Id: string): unknown {
  return { Id, Severity: 'Critical', AlarmState: 'Armed' }
}

function members(...paths: string[]): unknown {
  return { Members: paths.map((path) => ({ '@odata.id': path })) }
}
