import assert from 'node:assert/strict'
import { parseSamples, type Sample, samplesOf, sampleValue } from '../support/exporter.ts'
import { measured } from '../support/measured.ts'
import { collectionOf, excerpt, link, type RedfishTree } from '../support/redfish.ts'
import { textOf } from '../support/shown.ts'

const root = '/redfish/v1'
const chassis = `${root}/Chassis`
const xname = 'x3000c0s1b0'

async function shown(tree: RedfishTree, bmc = xname): Promise<Sample[]> {
  return parseSamples(await textOf(bmc, new Map(Object.entries(tree))))
}

/** What is shown, as `celsius 20`. */
async function keys(tree: RedfishTree, bmc = xname): Promise<string[]> {
  return measured(await shown(tree, bmc), bmc)
    .map((key) => key.replace(/^\S+ /, ''))
    .sort()
}

/** A chassis `board` with these sensors and whatever else. */
function board(own: Record<string, object>, more: object = {}, rest: RedfishTree = {}) {
  return {
    ...collectionOf(chassis, { board: { Sensors: link(`${chassis}/board/Sensors`), ...more } }),
    ...collectionOf(`${chassis}/board/Sensors`, own),
    ...rest,
  }
}

describe('a cooling unit', () => {
  const units = `${root}/ThermalEquipment/CDUs`
  const unit = `${units}/1`
  const own: RedfishTree = {
    [root]: { ThermalEquipment: link(`${root}/ThermalEquipment`) },
    [`${root}/ThermalEquipment`]: { CDUs: link(units) },
    ...collectionOf(units, {
      1: {
        ...{ Model: 'C1', EnvironmentMetrics: link(`${unit}/EnvironmentMetrics`) },
        PrimaryCoolantConnectors: link(`${unit}/PrimaryCoolantConnectors`),
        ...{ Pumps: link(`${unit}/Pumps`), LeakDetection: link(`${unit}/LeakDetection`) },
      },
    }),
    [`${unit}/EnvironmentMetrics`]: {
      ...{ PowerWatts: { Reading: 900 }, HumidityPercent: { Reading: 40 } },
    },
    ...collectionOf(`${unit}/PrimaryCoolantConnectors`, {
      1: {
        SupplyTemperatureCelsius: excerpt(`${chassis}/board/Sensors/Supply`, 28),
        ...{ ReturnPressurekPa: { Reading: 145 }, HeatRemovedkW: { Reading: 21.5 } },
        ...{ RatedFlowLitersPerMinute: 35, SupplyTemperatureControlCelsius: { Reading: 27 } },
      },
    }),
    ...collectionOf(`${unit}/Pumps`, {
      1: {
        PumpSpeedPercent: { Reading: 38.5, SpeedRPM: 2004 },
        SpeedControlPercent: { SetPoint: 39, Reading: 38 },
      },
    }),
    [`${unit}/LeakDetection`]: { LeakDetectors: link(`${unit}/LeakDetectors`) },
    ...collectionOf(`${unit}/LeakDetectors`, { Floor: { DetectorState: 'Critical' } }),
  }
  const all = ['celsius 28', 'pascals 145000', 'ratio 0.385', 'ratio 0.4', 'rpm 2004']

  it('shows its pumps, connectors and leaks, and a sensor of its chassis once', async () => {
    const tree = { ...own, ...board({ Supply: { Reading: 28, ReadingUnits: 'Cel' } }) }
    assert.deepEqual(await keys(tree), [...all, 'watts 21500', 'watts 900'])
    const leak = { chassis: 'CDUs/1', detector: 'Floor', state: 'Critical' }
    const samples = await shown(tree)
    assert.equal(sampleValue(samples, 'cray_leak_detector_state', leak), 1)
    const info = { resource: 'ThermalEquipment/CDUs/1', model: 'C1' }
    assert.equal(sampleValue(samples, 'cray_component_info', info), 1)
  })

  it('shows them without a chassis too', async () => {
    assert.deepEqual(await keys(own), [...all, 'watts 21500', 'watts 900'])
  })
})

describe('a power shelf', () => {
  it('shows its mains, branches and totals', async () => {
    const shelf = `${root}/PowerEquipment/PowerShelves/1`
    const found = await keys({
      [root]: { PowerEquipment: link(`${root}/PowerEquipment`) },
      [`${root}/PowerEquipment`]: { PowerShelves: link(`${root}/PowerEquipment/PowerShelves`) },
      ...collectionOf(`${root}/PowerEquipment/PowerShelves`, {
        1: {
          ...{ Mains: link(`${shelf}/Mains`), Branches: link(`${shelf}/Branches`) },
          Metrics: link(`${shelf}/Metrics`),
        },
      }),
      ...collectionOf(`${shelf}/Mains`, {
        AC1: { PolyPhaseVoltage: { Line1ToNeutral: { Reading: 231 } }, RatedCurrentAmps: 40 },
      }),
      ...collectionOf(`${shelf}/Branches`, { A: { CurrentAmps: { Reading: 7 } } }),
      [`${shelf}/Metrics`]: { PowerWatts: { Reading: 6438 }, EnergykWh: { Reading: 2 } },
    })
    assert.deepEqual(found, ['amperes 7', 'joules_total 7200000', 'volts 231', 'watts 6438'])
  })
})

describe('what a service measures beside its chassis', () => {
  it('is shown of managers and of storage controllers', async () => {
    const system = `${root}/Systems/1`
    const metrics = (path: string) => ({ EnvironmentMetrics: link(`${path}/EnvironmentMetrics`) })
    const controller = `${system}/Storage/1/Controllers/NVMe`
    const tree = {
      ...board({}),
      ...collectionOf(`${root}/Managers`, { bmc: metrics(`${root}/Managers/bmc`) }),
      [`${root}/Managers/bmc/EnvironmentMetrics`]: { PowerWatts: { Reading: 9 } },
      ...collectionOf(`${root}/Systems`, { 1: { Storage: link(`${system}/Storage`) } }),
      ...collectionOf(`${system}/Storage`, {
        1: { Controllers: link(`${system}/Storage/1/Controllers`) },
      }),
      ...collectionOf(`${system}/Storage/1/Controllers`, { NVMe: metrics(controller) }),
      [`${controller}/EnvironmentMetrics`]: { TemperatureCelsius: { Reading: 41 } },
    }
    assert.deepEqual(await keys(tree), ['celsius 41', 'watts 9'])
    const manager = { xname, sensor: 'Managers/bmc/PowerWatts' }
    assert.equal(sampleValue(await shown(tree), 'cray_sensor_power_watts', manager), 9)
  })

  it('is shown of memory behind places that are empty', async () => {
    const list = `${root}/Systems/1/Memory`
    const empty = { Status: { State: 'Absent' } }
    const places = Object.fromEntries(['A', 'B', 'C', 'D', 'E'].map((id) => [id, empty]))
    const tree = {
      ...board({}),
      ...collectionOf(`${root}/Systems`, { 1: { Memory: link(list) } }),
      ...collectionOf(list, { ...places, F: { EnvironmentMetrics: link(`${list}/F/Metrics`) } }),
      [`${list}/F/Metrics`]: { TemperatureCelsius: { Reading: 41 } },
    }
    assert.deepEqual(await keys(tree), ['celsius 41'])
  })

  it('is shown of a chassis that only a system or a manager links to', async () => {
    const hidden = (name: string, Reading: number) => ({
      [`${chassis}/${name}`]: { Sensors: link(`${chassis}/${name}/Sensors`) },
      ...collectionOf(`${chassis}/${name}/Sensors`, { s: { Reading, ReadingUnits: 'V' } }),
    })
    const found = await keys({
      ...board({}),
      ...hidden('a', 5),
      ...hidden('b', 6),
      ...collectionOf(`${root}/Systems`, { 1: { Links: { Chassis: [link(`${chassis}/a`)] } } }),
      ...collectionOf(`${root}/Managers`, {
        1: { Links: { ManagerForChassis: [link(`${chassis}/b/`), link(`${chassis}/a`)] } },
      }),
    })
    assert.deepEqual(found, ['volts 5', 'volts 6'])
  })

  it('is shown of a Cray controller by the newer schemas, but for copies of sensors', async () => {
    const node = `${chassis}/Node0`
    const id = 'ChassisVoltageRegulator0InputPower'
    const tree = {
      ...collectionOf(chassis, {
        Enclosure: { Oem: { TriggeredAlarms: [] } },
        Node0: {
          ...{ Sensors: link(`${node}/Sensors`), LeakDetection: link(`${node}/LeakDetection`) },
          EnvironmentMetrics: link(`${node}/EnvironmentMetrics`),
        },
      }),
      ...collectionOf(`${node}/Sensors`, { [id]: { Id: id, Reading: 747, ReadingUnits: 'W' } }),
      [`${node}/EnvironmentMetrics`]: {
        ...{ PowerWatts: excerpt(`${node}/Sensors/${id}`, 746) },
        TemperatureCelsius: { Reading: 31 },
      },
      [`${node}/LeakDetection`]: { LeakDetectors: link(`${node}/LeakDetection/LeakDetectors`) },
      ...collectionOf(`${node}/LeakDetection/LeakDetectors`, { Tray: { DetectorState: 'OK' } }),
    }
    const bmc = 'x1000c0s0b0'
    assert.deepEqual(await keys(tree, bmc), ['celsius 31', 'watts 747'])
    const leak = { xname: `${bmc}n0`, detector: 'Tray', state: 'OK' }
    assert.equal(sampleValue(await shown(tree, bmc), 'cray_leak_detector_state', leak), 1)
  })

  it('is the limits of the zones of an Apollo 6500', async () => {
    const power = `${chassis}/1/Power`
    const samples = await shown({
      ...collectionOf(chassis, { 1: { Manufacturer: 'HPE', Power: link(power) } }),
      [power]: { Oem: { Hpe: { Links: { AccPowerService: link(`${power}/Service`) } } } },
      [`${power}/Service`]: { Links: { PowerLimit: link(`${power}/Service/PowerLimit`) } },
      [`${power}/Service/PowerLimit`]: {
        ActualPowerLimits: [{ PowerLimitInWatts: 3500, ZoneNumber: 0 }],
        PowerLimitRanges: [{ MinimumPowerLimit: 3250, MaximumPowerLimit: 3750, ZoneNumber: 0 }],
        PowerLimits: [{ PowerLimitInWatts: 3400, ZoneNumber: 0 }],
      },
    })
    const limits = ['', '_min', '_max'].map((end) =>
      sampleValue(samples, `cray_power_limit${end}_watts`, { control: 'Zone0' }),
    )
    assert.deepEqual(limits, [3500, 3250, 3750])
  })

  it('is the kind of its power that a PDU tells in its totals', async () => {
    const pdus = `${root}/PowerEquipment/RackPDUs`
    const samples = await shown(
      {
        ...collectionOf(pdus, { 1: { Metrics: link(`${pdus}/1/Metrics`) } }),
        [`${pdus}/1/Metrics`]: {
          PowerWatts: { Reading: 6438, ApparentVA: 6922, PowerFactor: 0.93 },
        },
      },
      'x3000m0',
    )
    assert.equal(sampleValue(samples, 'cray_pdu_power_watts', {}), 6438)
    assert.equal(sampleValue(samples, 'cray_pdu_apparent_power_voltamperes', {}), 6922)
    assert.equal(sampleValue(samples, 'cray_pdu_power_factor_ratio', {}), 0.93)
  })
})

describe('a sensor', () => {
  const sensor = (Reading: number, ReadingUnits: string, ReadingType: string) => ({
    ...{ Reading, ReadingUnits, ReadingType },
  })

  it('is none of watts for being called power, if it tells of VA', async () => {
    assert.deepEqual(await keys(board({ a: sensor(5, 'VA', 'Power') })), [])
  })

  it('is a fan in percent where its type is turning', async () => {
    assert.deepEqual(await keys(board({ a: sensor(5, '%', 'Rotational') })), ['ratio 0.05'])
  })

  it('is known by units that are written out', async () => {
    const own = {
      a: sensor(20, 'degrees C', 'Other'),
      b: sensor(212, 'deg F', 'Other'),
      c: sensor(2, 'Kilowatt-hours', 'Other'),
    }
    assert.deepEqual(await keys(board(own)), ['celsius 100', 'celsius 20', 'joules_total 7200000'])
  })

  it('is found on a page linked from here, and on one with the name of the host', async () => {
    const list = `${chassis}/board/Sensors`
    const page = (id: string, nextLink?: string) => ({
      ...{ Members: [link(`${list}/${id}`)], 'Members@odata.nextLink': nextLink },
    })
    const tree = {
      ...board({ a: sensor(1, 'V', ''), b: sensor(2, 'V', ''), c: sensor(3, 'V', '') }),
      [list]: page('a', '?$skip=1'),
      [`${list}?$skip=1`]: page('b', `https://10.0.0.1${list}?$skip=2`),
      [`${list}?$skip=2`]: page('c'),
    }
    assert.deepEqual(await keys(tree), ['volts 1', 'volts 2', 'volts 3'])
  })

  it('of a list of fans or supplies may tell turns beside its share', async () => {
    const path = `${chassis}/board/EnvironmentMetrics`
    const found = await shown(
      board(
        {},
        { EnvironmentMetrics: link(path) },
        {
          [path]: { FanSpeedsPercent: [{ DeviceName: 'Fan 1', Reading: 45, SpeedRPM: 1900 }] },
        },
      ),
    )
    for (const [name, value] of [
      ['cray_fan_speed_ratio', 0.45],
      ['cray_fan_speed_rpm', 1900],
    ] as const) {
      assert.equal(sampleValue(found, name, { name: 'Fan 1' }), value)
    }
    assert.equal(samplesOf(found, 'cray_fan_speed_rpm').length, 1)
  })
})
