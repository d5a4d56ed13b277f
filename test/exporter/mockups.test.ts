import assert from 'node:assert/strict'
import type { TestDevice } from '../support/device.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { measured } from '../support/measured.ts'
import { allRecorded, describeMockups, recorded, serveMockup } from '../support/mockups.ts'
import { rawReadings } from '../support/raw-readings.ts'

const kinds = {
  x1000c0b0: 'CMM',
  x1000c0s0b0: 'EX235a',
  x1000c0s1b0: 'EX425',
  x3000c0s1b0: 'DL325',
  x3000c0s2b1: 'Gigabyte',
  x3000m0: 'PDU-ServerTech-JAWS',
}

describeMockups('the recorded devices, scraped', () => {
  const servers: TestDevice[] = []
  let exporter: TestExporter
  let all: Sample[]

  before(async () => {
    const devices = []
    for (const [xname, kind] of Object.entries(kinds)) {
      const server = await serveMockup(kind)
      servers.push(server)
      devices.push({ xname, server })
    }
    exporter = await startTestExporter({ devices, poll: { fastSeconds: 1, slowSeconds: 5 } })
    const counts = new Map<string, number>()
    for (const [xname, kind] of Object.entries(kinds)) {
      counts.set(xname, rawReadings(kind, xname, await allRecorded(kind)).length)
    }
    all = await exporter.scrapeUntil((samples) => hasSlowReadings(samples, counts))
  })

  after(async () => {
    await exporter?.close()
    await Promise.all(servers.map((server) => server.close()))
  })

  /** Both `/metrics` and a probe of the device must show it. */
  async function both(xname: string, check: (samples: Sample[]) => Promise<void>) {
    await check(all)
    await check(await exporter.scrape(`/probe?target=${xname}`))
  }

  it('show the power of each rectifier of a chassis, and the sum', async () => {
    await both('x1000c0b0', async (samples) => {
      for (const side of ['Input', 'Output']) {
        let sum = 0
        for (const rectifier of ['0', '1', '2', '3']) {
          const watts = await sensorReading('CMM', 'Enclosure', `Rectifier${rectifier}${side}Power`)
          const labels = { xname: `x1000c0t${rectifier}`, bmc: 'x1000c0b0', rectifier, side }
          assert.equal(sampleValue(samples, 'cray_rectifier_power_watts', labels), watts)
          sum += watts
        }
        const labels = { xname: 'x1000c0', source: 'redfish', side }
        assert.equal(sampleValue(samples, 'cray_chassis_power_watts', labels), sum)
      }
    })
  })

  it('show the temperature and, in pascals, the pressure of the coolant', async () => {
    await both('x1000c0b0', async (samples) => {
      const psi = await sensorReading('CMM', 'Enclosure', 'ChassisLiquidOutlet0OutputPressure')
      const outlet = { xname: 'x1000c0', sensor: 'ChassisLiquidOutlet0OutputPressure' }
      const pascals = sampleValue(samples, 'cray_sensor_pressure_pascals', outlet)
      assert.ok(Math.abs(pascals / psi - 6894.757) < 0.001, `${psi} PSI shown as ${pascals} Pa`)
      const inlet = { xname: 'x1000c0', sensor: 'ChassisLiquidInlet0InputTemperature' }
      assert.equal(sampleValue(samples, 'cray_sensor_temperature_celsius', inlet), 22.78)
    })
  })

  it('show leak detectors, armed leak alarms and the power state of blades that are there', () => {
    const front = { xname: 'x1000c0', position: 'front' }
    assert.equal(sampleValue(all, 'cray_leak_detector_volts', front), 2.03)
    const alarm = { xname: 'x1000c0s0b0', alarm: 'LeakIndicatorFatal', severity: 'Critical' }
    assert.equal(sampleValue(all, 'cray_leak_alarm_state', { ...alarm, state: 'Armed' }), 1)
    assert.equal(sampleValue(all, 'cray_power_state', { xname: 'x1000c0s0', state: 'On' }), 1)
    assert.equal(sampleValue(all, 'cray_power_state', { xname: 'x1000c0s0', state: 'Off' }), 0)
    assert.deepEqual(samplesOf(all, 'cray_power_state', { xname: 'x1000c0r0' }), [])
  })

  it('show the energy and power of each node, and when the device read them', async () => {
    for (const [xname, kind, chassis] of [
      ['x1000c0s0b0n0', 'EX235a', 'Node0'],
      ['x1000c0s1b0n0', 'EX425', 'Node0'],
      ['x1000c0s1b0n1', 'EX425', 'Node1'],
    ] as const) {
      await both(xname.replace(/n\d$/, ''), async (samples) => {
        const id = 'ChassisVoltageRegulator0InputEnergy'
        const joules = await sensorReading(kind, chassis, id)
        assert.equal(sampleValue(samples, 'cray_node_energy_joules_total', { xname }), joules)
        const watts = await sensorReading(kind, chassis, 'ChassisVoltageRegulator0InputPower')
        assert.equal(sampleValue(samples, 'cray_node_power_watts', { xname }), watts)
        const sensor = { xname, chassis, sensor: id }
        const time = sampleValue(samples, 'cray_sensor_reading_timestamp_seconds', sensor)
        const { ReadingTime } = await sensorOf(kind, chassis, id)
        assert.equal(new Date(time * 1000).toISOString().slice(0, 19), ReadingTime?.slice(0, 19))
      })
    }
  })

  it('show domains, accelerators, power limits and temperatures of a node', async () => {
    await both('x1000c0s0b0', async (samples) => {
      const xname = 'x1000c0s0b0n0'
      const value = (name: string, labels: object) =>
        sampleValue(samples, name, { xname, ...labels })
      assert.equal(value('cray_domain_energy_joules_total', { domain: 'cpu' }), 50179758)
      assert.equal(value('cray_domain_power_watts', { domain: 'memory' }), 73)
      assert.equal(value('cray_accelerator_power_watts', { accelerator: '3' }), 115)
      const limit = { control: 'NodePowerLimit', mode: 'Disabled' }
      assert.equal(value('cray_power_limit_watts', limit), 0)
      assert.equal(value('cray_power_limit_min_watts', limit), 764)
      assert.equal(value('cray_power_limit_max_watts', limit), 2754)
      const celsius = await sensorReading('EX235a', 'Node0', 'CPU0Temperature')
      const sensor = { sensor: 'CPU0Temperature', chassis: 'Node0' }
      assert.equal(value('cray_sensor_temperature_celsius', sensor), celsius)
    })
  })

  it('show the idle power that a blade knows, and none for one that says 0', () => {
    assert.equal(sampleValue(all, 'cray_node_idle_power_watts', { xname: 'x1000c0s1b0n1' }), 105)
    assert.deepEqual(samplesOf(all, 'cray_node_idle_power_watts', { xname: 'x1000c0s0b0n0' }), [])
  })

  it('show each Cray sensor once, and count those that were never read', async () => {
    const ids = all.flatMap(({ labels }) => (labels['bmc'] === 'x1000c0b0' ? labels['sensor'] : []))
    assert.ok(!ids.includes('VoltageRegulator3Temperature'), 'a sensor without reading is shown')
    const labels = { bmc: 'x1000c0b0', reason: 'no_reading' }
    assert.equal(sampleValue(all, 'cray_sensors_without_reading', labels), 8)
    const series = all.map(({ name, labels }) => JSON.stringify([name, labels]))
    assert.equal(new Set(series).size, series.length)
  })

  it('show power, supplies, temperatures and fans of an iLO server, not absent ones', async () => {
    await both('x3000c0s1b0', async (samples) => {
      const xname = 'x3000c0s1b0n0'
      const value = (name: string, labels: object) =>
        sampleValue(samples, name, { xname, ...labels })
      assert.equal(value('cray_server_power_watts', {}), 97)
      const window = { stat: 'max', minutes: '20' }
      assert.equal(value('cray_server_power_window_watts', window), 130)
      assert.equal(value('cray_power_supply_output_watts', { bay: '2' }), 46)
      assert.equal(value('cray_power_supply_input_volts', { bay: '1' }), 203)
      const inlet = { name: '01-Inlet Ambient', context: 'Intake' }
      assert.equal(value('cray_server_temperature_celsius', inlet), 17)
      assert.equal(value('cray_fan_speed_ratio', { name: 'Fan 1' }), 0.35)
      assert.equal(samplesOf(samples, 'cray_fan_speed_ratio', { xname }).length, 6)
      const absent = { bmc: 'x3000c0s1b0', reason: 'absent' }
      assert.equal(sampleValue(samples, 'cray_sensors_without_reading', absent), 10)
      assert.equal(value('cray_power_state', { state: 'On' }), 1)
    })
  })

  it('show the three powers and the energy of a Gigabyte server as it gives them', () => {
    const xname = 'x3000c0s2b1n0'
    assert.equal(sampleValue(all, 'cray_server_power_watts', { xname }), 100)
    const average = { xname, stat: 'average' }
    assert.equal(sampleValue(all, 'cray_server_power_window_watts', average), 46)
    assert.equal(sampleValue(all, 'cray_sensor_power_watts', { xname, sensor: 'Power' }), 196)
    assert.equal(sampleValue(all, 'cray_server_energy_joules_total', { xname }), 468)
  })

  it('show outlets and phases of an iPDU in joules, by their xnames', async () => {
    const outlets = await list('outlets')
    const phases = await list('phases')
    await both('x3000m0', async (samples) => {
      for (const { id, energy, active_power } of outlets) {
        const xname = `x3000m0p${id.startsWith('A') ? 0 : 1}v${id.slice(2)}`
        const labels = { xname, outlet: id, bmc: 'x3000m0', source: 'jaws' }
        const joules = sampleValue(samples, 'cray_pdu_outlet_energy_joules_total', labels)
        assert.equal(joules, Number(energy) * 3600)
        assert.equal(sampleValue(samples, 'cray_pdu_outlet_power_watts', labels), active_power)
      }
      for (const { id, energy } of phases) {
        const labels = { xname: `x3000m0p${id.startsWith('A') ? 0 : 1}`, phase: id }
        const joules = sampleValue(samples, 'cray_pdu_phase_energy_joules_total', labels)
        assert.ok(Math.abs(joules / 3_600_000 - Number(energy)) < 1e-6, `${id}: ${joules} J`)
      }
    })
  })

  it('show temperature and humidity of the probes that are there', async () => {
    await both('x3000m0', async (samples) => {
      const temperatures = samplesOf(samples, 'cray_pdu_temperature_celsius')
      assert.deepEqual(
        temperatures.map(({ labels, value }) => [labels['xname'], labels['probe'], value]),
        [
          ['x3000m0p0', 'A1', 20.9],
          ['x3000m0p1', 'B1', 18.9],
        ],
      )
      const humidities = samplesOf(samples, 'cray_pdu_humidity_ratio')
      assert.deepEqual(
        humidities.map(({ labels, value }) => [labels['xname'], labels['name'], value]),
        [
          ['x3000m0p0', 'Humid_Sensor_A1', 0.49],
          ['x3000m0p1', 'Humid_Sensor_B1', 0.57],
        ],
      )
    })
  })

  it('are only ever read, and Cray controllers not by the old resources with their filler', () => {
    const cray = servers.slice(0, 3).flatMap(({ requests }) => requests)
    const old = cray.filter((request) => /\/(Power|Thermal)$/.test(request))
    const rectifiers = 'GET /redfish/v1/Chassis/Enclosure/Power'
    assert.deepEqual([...new Set(old)], [rectifiers], 'of it only the identity of the supplies')
    const others = servers.flatMap(({ requests }) => requests.filter((r) => !/^GET /.test(r)))
    assert.deepEqual(others, [])
  })
})

/** Whether each device has told as much as it measures, and the last of its states. */
function hasSlowReadings(samples: Sample[], counts: ReadonlyMap<string, number>): boolean {
  const late = [
    ['cray_leak_alarm_state', { xname: 'x1000c0s0b0', alarm: 'LeakIndicatorFatal' }],
    ['cray_power_state', { xname: 'x1000c0s0' }],
    ['cray_power_state', { xname: 'x3000c0s1b0n0' }],
    ['cray_power_state', { xname: 'x3000c0s2b1n0' }],
  ] as const
  return (
    [...counts].every(([xname, count]) => measured(samples, xname).length >= count) &&
    late.every(([name, labels]) => samplesOf(samples, name, labels).length > 0)
  )
}

interface RawSensor {
  Reading?: number
  ReadingTime?: string
}

async function sensorOf(kind: string, chassis: string, id: string): Promise<RawSensor> {
  return (await recorded(kind, `/redfish/v1/Chassis/${chassis}/Sensors/${id}`)) as RawSensor
}

async function sensorReading(kind: string, chassis: string, id: string): Promise<number> {
  const { Reading } = await sensorOf(kind, chassis, id)
  assert.equal(typeof Reading, 'number', `${kind} ${chassis} ${id} has no Reading`)
  return Number(Reading)
}

async function list(name: string) {
  const body = await recorded('PDU-ServerTech-JAWS', `/jaws/monitor/${name}`)
  return body as { id: string; energy: number; active_power: number }[]
}
