import assert from 'node:assert/strict'
import { crayModels, crayTreeSensor } from '../support/cray-trees.ts'
import { parseSamples, samplesOf, sampleValue } from '../support/exporter.ts'
import { measured, readingKey } from '../support/measured.ts'
import { rawReadings } from '../support/raw-readings.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { textOf } from '../support/shown.ts'

const chassis = '/redfish/v1/Chassis'
const systems = '/redfish/v1/Systems'

async function shown(xname: string, tree: RedfishTree) {
  return parseSamples(await textOf(xname, new Map(Object.entries(tree))))
}

/** Chassis of these names with node sensors, and what each says besides. */
function nodeTree(nodes: Record<string, object>, more: RedfishTree = {}): RedfishTree {
  const bodies = Object.entries(nodes).map(([name, more]): [string, object] => [
    name,
    { Manufacturer: 'HPE', Sensors: link(`${chassis}/${name}/Sensors`), ...more },
  ])
  const card = { Manufacturer: 'HPE', Oem: { TriggeredAlarms: [] } }
  const tree = collectionOf(chassis, { Enclosure: card, ...Object.fromEntries(bodies) })
  for (const name of Object.keys(nodes)) {
    const ids = ['Energy', 'Power'].map((type) => `ChassisVoltageRegulator0Input${type}`)
    const sensors = ids.map((id) => [id, crayTreeSensor(id)])
    Object.assign(tree, collectionOf(`${chassis}/${name}/Sensors`, Object.fromEntries(sensors)))
  }
  return { ...tree, ...more }
}

/** The chassis by its node's xname: by the energy that is shown there. */
async function placesOf(xname: string, tree: RedfishTree): Promise<Record<string, string>> {
  const samples = await shown(xname, tree)
  const found = samplesOf(samples, 'cray_node_energy_joules_total').map(({ labels, value }) => {
    const body = Object.entries(tree).find(
      ([path, each]) => path.endsWith('Energy') && (each as { Reading?: number }).Reading === value,
    )
    return [labels['xname'], body?.[0].split('/')[4]]
  })
  return Object.fromEntries(found)
}

describe('a Cray controller of which no recording is here', () => {
  for (const { kind, xname, tree } of crayModels()) {
    it(`of ${kind} shows each reading exactly once, with its value, at its place`, async () => {
      const raw = rawReadings(kind, xname, new Map(Object.entries(tree))).map(readingKey)
      assert.ok(raw.length > 15, `only ${raw.length} readings`)
      assert.deepEqual(measured(await shown(xname, tree), xname), raw.sort())
    })
  }
})

describe('the chassis of a node that is not called NodeN', () => {
  const bmc = 'x1000c0s0b0'

  it('is known by its own Id or Name', async () => {
    const tree = nodeTree({ a: { Id: 'Node1' }, b: { Name: 'Node 0' } })
    assert.deepEqual(await placesOf(bmc, tree), { [`${bmc}n1`]: 'a', [`${bmc}n0`]: 'b' })
  })

  it('is known by its link to a system, and by the link of a system to it', async () => {
    const tree = nodeTree(
      { a: { Links: { ComputerSystems: [link(`${systems}/Node1`)] } }, b: {} },
      collectionOf(systems, {
        Node0: { PowerState: 'Off', Links: { Chassis: [link(`${chassis}/b/`)] } },
        Node1: { PowerState: 'On' },
      }),
    )
    assert.deepEqual(await placesOf(bmc, tree), { [`${bmc}n1`]: 'a', [`${bmc}n0`]: 'b' })
  })

  it('is known by its sensors and the number that it ends in, else by its order', async () => {
    const tree = nodeTree({ Sled1: {}, Sled0: {} })
    assert.deepEqual(await placesOf(bmc, tree), { [`${bmc}n1`]: 'Sled1', [`${bmc}n0`]: 'Sled0' })
    const letters = nodeTree({ left: {}, right: {} })
    assert.deepEqual(await placesOf(bmc, letters), {
      [`${bmc}n0`]: 'left',
      [`${bmc}n1`]: 'right',
    })
  })

  it('gives its system the same name, whatever that is called', async () => {
    const tree = nodeTree(
      { a: { Links: { ComputerSystems: [link(`${systems}/second`)] } }, b: {} },
      collectionOf(systems, {
        first: { PowerState: 'Off', Links: { Chassis: [link(`${chassis}/b`)] } },
        second: { PowerState: 'On' },
      }),
    )
    assert.deepEqual(await placesOf(bmc, tree), { [`${bmc}n1`]: 'a', [`${bmc}n0`]: 'b' })
    const samples = await shown(bmc, tree)
    const on = { state: 'On' }
    assert.equal(sampleValue(samples, 'cray_power_state', { ...on, xname: `${bmc}n1` }), 1)
    assert.equal(sampleValue(samples, 'cray_power_state', { ...on, xname: `${bmc}n0` }), 0)
  })
})

describe('a Cray chassis that lists no sensors', () => {
  const bmc = 'x1000c0s0b0'

  it('shows what its old Power and Thermal measure, without fillers', async () => {
    const node = `${chassis}/Node0`
    const old = (name: string, field: string, value: number, more: object = {}) => ({
      ...{ Name: name, [field]: value, UpperThresholdNonCritical: 85 },
      ...more,
    })
    const tree = {
      ...collectionOf(chassis, {
        Enclosure: { Manufacturer: 'HPE', Oem: { TriggeredAlarms: [] } },
        Node0: { Power: link(`${node}/Power`), Thermal: link(`${node}/Thermal`) },
      }),
      [`${node}/Power`]: {
        Voltages: [old('VCORE', 'ReadingVolts', 1.05), old('', 'ReadingVolts', 85)],
        PowerControl: [
          {
            ...{ Name: 'Node Power Control', PowerConsumedWatts: 700 },
            ...{ PowerLimit: { LimitInWatts: 900 } },
            Oem: { Cray: { PowerLimit: { Min: 350, Max: 925 } } },
          },
        ],
      },
      [`${node}/Thermal`]: {
        Temperatures: [
          old('CPU0', 'ReadingCelsius', 41),
          old('brick', 'ReadingCelsius', 85),
          { Name: 'cold', ReadingCelsius: -58.2, UpperThresholdNonCritical: 60 },
        ],
      },
    }
    const raw = rawReadings('EX425', bmc, new Map(Object.entries(tree)))
      .filter(({ value }) => value !== -58.2)
      .map(readingKey)
    const samples = await shown(bmc, tree)
    assert.deepEqual(measured(samples, bmc), raw.sort())
    assert.equal(raw.length, 6)
    const limit = { xname: `${bmc}n0`, control: 'NodePowerLimit' }
    assert.equal(sampleValue(samples, 'cray_power_limit_watts', limit), 900)
  })

  it('shows none of them once it lists sensors', async () => {
    const tree = nodeTree({ Node0: { Power: link(`${chassis}/Node0/Power`) } })
    tree[`${chassis}/Node0/Power`] = { Voltages: [{ Name: 'VCORE', ReadingVolts: 1.05 }] }
    assert.deepEqual(samplesOf(await shown(bmc, tree), 'cray_server_voltage_volts'), [])
  })
})
