import assert from 'node:assert/strict'
import { parseSamples, samplesOf } from '../support/exporter.ts'
import { measured } from '../support/measured.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { textOf } from '../support/shown.ts'

const chassis = '/redfish/v1/Chassis'
const board = `${chassis}/board`
const sensors = `${board}/Sensors`
const xname = 'x3000c0s1b0'

async function shown(bmc: string, tree: RedfishTree) {
  return parseSamples(await textOf(bmc, new Map(Object.entries(tree))))
}

/** What a server with these sensors and these older resources shows, as `watts 200`. */
async function both(own: Record<string, object>, power: object, thermal: object = {}) {
  const tree = {
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
  return measured(await shown(xname, tree), xname).map((key) => key.replace(/^\S+ /, ''))
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

describe('a temperature, voltage or fan under two names', () => {
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
