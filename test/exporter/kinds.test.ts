import assert from 'node:assert/strict'
import fc from 'fast-check'
import { pmReadings } from '../../exporter/devices/pm-counters.ts'
import { createRandom } from '../../exporter/simulator/random.ts'
import { parseSamples, samplesOf, sampleValue } from '../support/exporter.ts'
import { madeUpPdu } from '../support/made-up-pdu.ts'
import { measured, readingKey } from '../support/measured.ts'
import { rawReadings } from '../support/raw-readings.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { textOf } from '../support/shown.ts'

const chassis = '/redfish/v1/Chassis'
const pdus = '/redfish/v1/PowerEquipment/RackPDUs'

async function shown(xname: string, tree: RedfishTree) {
  return parseSamples(await textOf(xname, new Map(Object.entries(tree))))
}

describe('what a device is', () => {
  it('is a Cray controller by its sensors, whatever its chassis are called', async () => {
    const sensor = (Id: string, ReadingType: string, Reading: number) => ({
      ...{ Id, ReadingType, Reading },
      ReadingTime: '2026-01-01T00:00:00.123456789Z',
    })
    const samples = await shown('x1000c0b0', {
      ...collectionOf(chassis, {
        Rack: { Manufacturer: 'Acme', Sensors: link(`${chassis}/Rack/Sensors`) },
      }),
      ...collectionOf(`${chassis}/Rack/Sensors`, {
        Rectifier0InputPower: sensor('Rectifier0InputPower', 'Power', 3433),
        water: sensor('ChassisLiquidInlet0InputPressure', 'Pressure', 1),
      }),
    })
    assert.equal(sampleValue(samples, 'cray_rectifier_power_watts', { xname: 'x1000c0t0' }), 3433)
    assert.equal(sampleValue(samples, 'cray_chassis_power_watts', { side: 'Input' }), 3433)
    assert.equal(sampleValue(samples, 'cray_sensor_pressure_pascals', {}), 6894.757293168)
  })

  it('is no Cray controller for having an Enclosure of another maker', async () => {
    const path = `${chassis}/Enclosure`
    const samples = await shown('x3000c0s1b0', {
      ...collectionOf(chassis, {
        Enclosure: { Manufacturer: 'Acme', Thermal: link(`${path}/Thermal`) },
      }),
      [`${path}/Thermal`]: { Temperatures: [{ Name: 'Inlet', ReadingCelsius: 22 }] },
    })
    assert.equal(sampleValue(samples, 'cray_server_temperature_celsius', { name: 'Inlet' }), 22)
  })

  it('is a translated ServerTech PDU by the names of its outlets', async () => {
    const samples = await shown('x3000m0', {
      ...collectionOf(pdus, { A: { Manufacturer: 'Acme', Outlets: link(`${pdus}/A/Outlets`) } }),
      ...collectionOf(`${pdus}/A/Outlets`, {
        AA01: { EnergySensor: { Reading: 2, ReadingUnits: 'J' } },
      }),
    })
    assert.equal(sampleValue(samples, 'cray_pdu_outlet_energy_joules_total', {}), 7200)
  })

  it('may be a PDU that has nothing but sensors of a chassis', async () => {
    const samples = await shown('x3000m0', {
      ...collectionOf(chassis, { pdu: { Sensors: link(`${chassis}/pdu/Sensors`) } }),
      ...collectionOf(`${chassis}/pdu/Sensors`, { Total: { Reading: 9, ReadingUnits: 'W' } }),
    })
    assert.equal(sampleValue(samples, 'cray_sensor_power_watts', { xname: 'x3000m0' }), 9)
  })
})

describe('a reading that cannot be', () => {
  it('is left out and counted: lines of Intel supplies, air of 200 %, -300 Cel', async () => {
    const board = `${chassis}/RackMount/Baseboard`
    const samples = await shown('x3000c0s1b0', {
      ...collectionOf(chassis, {}),
      [chassis]: { Members: [link(`${chassis}/RackMount`)] },
      [board]: { Power: link(`${board}/Power`), Sensors: link(`${board}/Sensors`) },
      [`${board}/Power`]: {
        PowerSupplies: [572, 13, 0, 230].map((LineInputVoltage) => ({ LineInputVoltage })),
      },
      ...collectionOf(`${board}/Sensors`, {
        Wet: { Reading: 200, ReadingType: 'Humidity' },
        Cold: { Reading: -300, ReadingUnits: 'Cel' },
      }),
    })
    const volts = samplesOf(samples, 'cray_power_supply_input_volts')
    assert.deepEqual(
      volts.map(({ labels, value }) => [labels['bay'], value]),
      [
        ['2', 0],
        ['3', 230],
      ],
    )
    assert.equal(sampleValue(samples, 'cray_sensors_without_reading', { reason: 'implausible' }), 4)
    assert.deepEqual(samplesOf(samples, 'cray_sensor_temperature_celsius'), [])
  })

  it('is that of a probe which its PDU does not find', async () => {
    const samples = await shown('x3000m0', {
      '/jaws/monitor/units': [{ id: 'A', status: 'Warning' }],
      '/jaws/monitor/sensors/temp': [
        { id: 'A1', status: 'Not Found', temperature_celsius: 0 },
        { id: 'A2', status: 'Normal', temperature_celsius: '21.5' },
      ],
    })
    const celsius = samplesOf(samples, 'cray_pdu_temperature_celsius')
    assert.deepEqual(
      celsius.map(({ labels, value }) => [labels['probe'], value]),
      [['A2', 21.5]],
    )
    assert.equal(sampleValue(samples, 'cray_sensors_without_reading', { reason: 'absent' }), 1)
    const unit = { resource: 'units/A', state: 'Warning' }
    assert.equal(sampleValue(samples, 'cray_health_state', unit), 1)
  })
})

describe('a device with more than a device has', () => {
  it('shows 10000 series and tells how many it does not show', async () => {
    const members = Object.fromEntries(
      Array.from({ length: 10_100 }, (_, n) => [`S${n}`, { Reading: n, ReadingUnits: 'V' }]),
    )
    const samples = await shown('x3000c0s1b0', {
      ...collectionOf(chassis, { big: { Sensors: link(`${chassis}/big/Sensors`) } }),
      ...collectionOf(`${chassis}/big/Sensors`, members),
    })
    const cut = sampleValue(samples, 'cray_device_series_cut', { xname: 'x3000c0s1b0' })
    assert.ok(cut >= 100, `${cut} cut`)
    assert.ok(samples.length <= 10_001, `${samples.length} shown`)
  })

  it('keeps two sensors apart that would be one series of their own', async () => {
    const node = `${chassis}/Node0`
    const samples = await shown('x1000c0s0b0', {
      ...collectionOf(chassis, { Enclosure: {}, Node0: { Sensors: link(`${node}/Sensors`) } }),
      ...collectionOf(`${node}/Sensors`, {
        GPUSubsystemGPU0Power: { Id: 'GPUSubsystemGPU0Power', Reading: 2, ReadingUnits: 'W' },
        GPUSubsystemAccelerator0Power: { Reading: 1, ReadingUnits: 'W' },
      }),
    })
    assert.equal(sampleValue(samples, 'cray_accelerator_power_watts', { accelerator: '0' }), 1)
    assert.equal(sampleValue(samples, 'cray_sensor_power_watts', { xname: 'x1000c0s0b0n0' }), 2)
  })
})

describe('a PDU of the standard schema that no one made', () => {
  it('shows each thing that it measures exactly once, with its value', async () => {
    const place = (key: string) => key.replace(/^\S+ /, '')
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const tree = new Map(Object.entries(madeUpPdu(createRandom(seed).next)))
        const raw = rawReadings('made up', 'x3000m0', tree).map((each) => place(readingKey(each)))
        const all = measured(parseSamples(await textOf('x3000m0', tree)), 'x3000m0').map(place)
        assert.deepEqual(all.sort(), [...new Set(raw)].sort())
      }),
      { numRuns: 100 },
    )
  })
})

describe('a file of /sys/cray/pm_counters', () => {
  it('is read by the unit that stands in it', () => {
    const files = { energy: '12 kJ 1 us', cpu_power: '500 mW', cpu0_temp: '48 C 1 us', power: '7' }
    const found = pmReadings('x1000c0s0b0n0', new Map(Object.entries(files)))
    assert.deepEqual(
      found.map(({ labels, value }) => [labels['domain'], value]),
      [
        ['node', 12_000],
        ['cpu', 0.5],
        ['cpu0', 48],
        ['node', 7],
      ],
    )
  })
})
