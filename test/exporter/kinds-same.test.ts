import assert from 'node:assert/strict'
import { parseSamples, samplesOf } from '../support/exporter.ts'
import { measured } from '../support/measured.ts'
import { collectionOf, excerpt, link, type RedfishTree } from '../support/redfish.ts'
import { textOf } from '../support/shown.ts'

const chassis = '/redfish/v1/Chassis'
const board = `${chassis}/board`
const sensors = `${board}/Sensors`
const xname = 'x3000c0s1b0'

async function shown(bmc: string, tree: RedfishTree) {
  return parseSamples(await textOf(bmc, new Map(Object.entries(tree))))
}

const serverPower = 'cray_server_power_watts'

/** A server with these sensors and these older resources. */
function treeOf(own: Record<string, object>, power: object, thermal: object = {}): RedfishTree {
  return {
    ...collectionOf(chassis, {
      board: {
        ...{ Sensors: link(sensors), Power: link(`${board}/Power`) },
        Thermal: link(`${board}/Thermal`),
      },
    }),
    ...collectionOf(sensors, own),
    [`${board}/Power`]: power,
    [`${board}/Thermal`]: thermal,
  }
}

/** What it shows, as `watts 200`. */
async function both(own: Record<string, object>, power: object, thermal: object = {}) {
  const samples = await shown(xname, treeOf(own, power, thermal))
  return measured(samples, xname).map((key) => key.replace(/^\S+ /, ''))
}

const watts = (Reading: number, more: object) => ({ ...more, Reading, ReadingUnits: 'W' })

describe('a supply that sensors and the old Power tell of', () => {
  const old = {
    '@odata.id': `${board}/Power/#PowerSupplies/0`,
    ...{ Name: 'PSU 1', PowerInputWatts: 210, PowerOutputWatts: 200, LineInputVoltage: 230 },
  }

  it('is shown once where the sensors say that they belong to it', async () => {
    const RelatedItem = [link(`${board}/Power#/PowerSupplies/0`)]
    const own = {
      a: watts(211, { Name: 'psu0 input', RelatedItem }),
      b: watts(201, { Name: 'other', PhysicalSubContext: 'Output', RelatedItem }),
    }
    const found = await both(own, { PowerSupplies: [old] })
    assert.deepEqual(found, ['volts 230', 'watts 201', 'watts 211'])
  })

  it('is shown once where it names its sensors', async () => {
    const supply = { ...old, RelatedItem: [link(`${sensors}/psu0_pin/`)] }
    const found = await both({ psu0_pin: watts(211, {}) }, { PowerSupplies: [supply] })
    assert.deepEqual(found, ['volts 230', 'watts 200', 'watts 211'])
  })

  it('loses nothing where the source or the side is not known', async () => {
    const RelatedItem = [link(`${board}/Power#/PowerSupplies/0`)]
    const own = { a: watts(211, { Name: 'psu0', RelatedItem }), b: watts(5, { Name: 'pin' }) }
    const found = await both(own, { PowerSupplies: [old] })
    const all = ['volts 230', 'watts 200', 'watts 210', 'watts 211', 'watts 5']
    assert.deepEqual(found, all)
  })
})

describe('a power that sensors and the old Power tell of', () => {
  const control = (Name: string, PowerConsumedWatts: number) => ({ Name, PowerConsumedWatts })

  it('is shown once where both are of the whole server', async () => {
    for (const name of ['total power', 'Sys Power', 'System Board Pwr Consumption']) {
      const power = { PowerControl: [control('Chassis Power Control', 200)] }
      assert.deepEqual(await both({ a: watts(201, { Name: name }) }, power), ['watts 200'])
    }
  })

  it('is shown once where the newer schema tells of the whole without its sensor', async () => {
    const own = { a: watts(201, { Name: 'Total Power' }), b: watts(51, { Name: 'CPU Power' }) }
    const path = `${board}/EnvironmentMetrics`
    const tree: RedfishTree = { ...treeOf(own, {}), [path]: { PowerWatts: { Reading: 200 } } }
    Object.assign(tree[board] as object, { EnvironmentMetrics: link(path) })
    const found = measured(await shown(xname, tree), xname)
    assert.deepEqual(found, [`${xname}n0 watts 200`, `${xname}n0 watts 51`])
  })

  it('is shown once for each share, and told apart by name', async () => {
    const own = {
      a: watts(201, { Name: 'Sys Power' }),
      b: watts(51, { Name: 'CPU Power' }),
      c: watts(31, { Name: 'MEM Power' }),
      d: watts(9, { Name: 'Fan Power' }),
    }
    const PowerControl = [
      control('Server Power Control', 200),
      control('CPU Sub-system Power', 50),
      control('Memory Sub-system Power', 30),
    ]
    const found = await both(own, { PowerControl })
    assert.deepEqual(found, ['watts 200', 'watts 30', 'watts 50', 'watts 9'])
    const shares = samplesOf(await shown(xname, treeOf(own, { PowerControl })), serverPower)
    assert.deepEqual(
      shares.map(({ labels }) => labels['name']).sort(),
      PowerControl.map(({ Name }) => Name).sort(),
    )
  })

  it('loses nothing where it may be either of two', async () => {
    const own = { a: watts(201, { Name: 'Node Power' }), b: watts(202, { Name: 'Board Power' }) }
    const found = await both(own, { PowerControl: [control('Server Power', 200)] })
    assert.deepEqual(found, ['watts 200', 'watts 201', 'watts 202'])
  })

  it('is that of a supply by its name and side', async () => {
    const own = {
      a: watts(211, { Name: 'PSU1 Input Power' }),
      b: watts(201, { Name: 'PSU1 Output Power' }),
      c: watts(99, { Name: 'PSU2 Output Power' }),
      d: { Name: 'PSU1 Input Voltage', Reading: 231, ReadingUnits: 'V' },
    }
    const supply = { PowerInputWatts: 210, PowerOutputWatts: 200, LineInputVoltage: 230 }
    const found = await both(own, { PowerSupplies: [{ Name: 'PSU1', ...supply }] })
    assert.deepEqual(found, ['volts 231', 'watts 201', 'watts 211', 'watts 99'])
  })
})

describe('a fan of the old Thermal and a newer one', () => {
  const newer = (SpeedPercent: object) => ({
    ...{ [`${board}/ThermalSubsystem`]: { Fans: link(`${board}/ThermalSubsystem/Fans`) } },
    ...collectionOf(`${board}/ThermalSubsystem/Fans`, { A: { Name: 'bay A', SpeedPercent } }),
  })
  const found = async (speed: object, ...old: object[]) => {
    const tree = {
      ...collectionOf(chassis, {
        board: {
          Thermal: link(`${board}/Thermal`),
          ThermalSubsystem: link(`${board}/ThermalSubsystem`),
        },
      }),
      ...newer(speed),
      [`${board}/Thermal`]: { Fans: old },
    }
    return measured(await shown(xname, tree), xname).map((key) => key.replace(/^\S+ /, ''))
  }
  const rpm = (Name: string, Reading: number) => ({ Name, Reading, ReadingUnits: 'RPM' })

  it('are the same where both tell of turns, whatever their names', async () => {
    const both = await found({ Reading: 40, SpeedRPM: 4000 }, rpm('System Fan', 4010))
    assert.deepEqual(both, ['ratio 0.4', 'rpm 4000'])
  })

  it('lose nothing where only the old one tells of turns, or there are more of them', async () => {
    assert.deepEqual(await found({ Reading: 40 }, rpm('System Fan', 4010)), [
      'ratio 0.4',
      'rpm 4010',
    ])
    const more = await found({ SpeedRPM: 4000 }, rpm('one', 4010), rpm('two', 4020))
    assert.deepEqual(more, ['rpm 4000', 'rpm 4010', 'rpm 4020'])
  })
})

describe('a temperature, voltage or fan under two names', () => {
  it('is shown once by the end of its MemberId, as Dell has them', async () => {
    const own = {
      PS1Voltage: { Name: 'x', Reading: 230, ReadingUnits: 'V' },
      'Fan.Embedded.1A': { Name: 'y', Reading: 900, ReadingUnits: 'RPM' },
    }
    const found = await both(
      own,
      { Voltages: [{ Name: 'v', ReadingVolts: 231, MemberId: 'iDRAC.Embedded.1#PS1Voltage' }] },
      { Fans: [{ Name: 'f', Reading: 901, MemberId: '0x17||Fan.Embedded.1A' }] },
    )
    assert.deepEqual(found, ['rpm 900', 'volts 230'])
  })

  it('is shown once where the newer is a copy of the older', async () => {
    const tree = treeOf(
      {},
      {},
      {
        Temperatures: [
          { '@odata.id': `${board}/Thermal#Temperatures/0`, Name: '01-Inlet', ReadingCelsius: 21 },
          { '@odata.id': `${board}/Thermal#Temperatures/1`, Name: '02-CPU', ReadingCelsius: 40 },
        ],
      },
    )
    Object.assign(tree[board] as object, {
      EnvironmentMetrics: link(`${board}/EnvironmentMetrics`),
    })
    tree[`${board}/EnvironmentMetrics`] = {
      TemperatureCelsius: excerpt(`${board}/Thermal#/Temperatures/0`, 22),
    }
    const found = measured(await shown(xname, tree), xname)
    assert.deepEqual(found, [`${xname}n0 celsius 22`, `${xname}n0 celsius 40`])
  })

  it('is one sensor where names differ by blanks and case alone, but not by numbers', async () => {
    const own = {
      a: { Name: 'CPU1Temp', Reading: 20, ReadingUnits: 'Cel' },
      b: { Name: 'DIMM 1 1', Reading: 30, ReadingUnits: 'Cel' },
    }
    const old = [
      { Name: 'CPU1 Temperature', ReadingCelsius: 21 },
      { Name: 'DIMM 11', ReadingCelsius: 31 },
    ]
    const found = await both(own, {}, { Temperatures: old })
    assert.deepEqual(found, ['celsius 20', 'celsius 30', 'celsius 31'])
  })

  it('is shown once by DataSourceUri, by MemberId or by RelatedItem', async () => {
    const own = {
      one: { Reading: 20, ReadingUnits: 'Cel' },
      TempSensor7: { Id: 'TempSensor7', Name: 'x', Reading: 30, ReadingUnits: 'Cel' },
      three: {
        ...{ Reading: 900, ReadingUnits: 'RPM' },
        RelatedItem: [link(`${board}/Thermal#/Fans/0`)],
      },
    }
    const found = await both(
      own,
      { Voltages: [{ Name: 'rail', ReadingVolts: 12, MemberId: 'TempSensor7' }] },
      {
        Temperatures: [
          { Name: 'inlet', ReadingCelsius: 21, DataSourceUri: `${sensors}/one` },
          { Name: 'outlet', ReadingCelsius: 31, MemberId: 'TempSensor7' },
          { Name: 'third', ReadingCelsius: 41, MemberId: '7' },
        ],
        Fans: [{ '@odata.id': `${board}/Thermal#Fans/0`, Name: 'fan', Reading: 901 }],
      },
    )
    assert.deepEqual(found, ['celsius 20', 'celsius 30', 'celsius 41', 'rpm 900', 'volts 12'])
  })
})

describe('the probes of a PDU', () => {
  const pdus = '/redfish/v1/PowerEquipment/RackPDUs'
  const probe = (Reading: number) => ({ Reading, ReadingUnits: 'Cel', Name: 'probe' })

  it('are told apart by chassis where their ids are the same', async () => {
    const tree: RedfishTree = {
      ...collectionOf(pdus, { 1: { Outlets: link(`${pdus}/1/Outlets`) } }),
      ...collectionOf(`${pdus}/1/Outlets`, { 1: { PowerWatts: { Reading: 1 } } }),
      ...collectionOf(chassis, {
        A: { Sensors: link(`${chassis}/A/Sensors`) },
        B: { Sensors: link(`${chassis}/B/Sensors`) },
      }),
      ...collectionOf(`${chassis}/A/Sensors`, { T1: probe(21) }),
      ...collectionOf(`${chassis}/B/Sensors`, { T1: probe(22) }),
    }
    const found = samplesOf(await shown('x3000m0', tree), 'cray_pdu_temperature_celsius')
    assert.deepEqual(found.map(({ labels, value }) => [labels['chassis'], value]).sort(), [
      ['A', 21],
      ['B', 22],
    ])
  })

  it('are told apart by their ids where those differ by what they measure alone', async () => {
    const tree: RedfishTree = {
      ...collectionOf(pdus, { 1: { Sensors: link(`${pdus}/1/Sensors`) } }),
      ...collectionOf(`${pdus}/1/Sensors`, { A1: probe(21), TemperatureA1: probe(22) }),
    }
    const found = samplesOf(await shown('x3000m0', tree), 'cray_pdu_temperature_celsius')
    assert.deepEqual(found.map(({ labels, value }) => [labels['probe'], value]).sort(), [
      ['A1', 21],
      ['TemperatureA1', 22],
    ])
  })
})
