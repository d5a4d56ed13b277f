import { addCrayService, crayHeaders } from '../../exporter/simulator/devices/cray.ts'
import { wave } from '../../exporter/simulator/load.ts'
import {
  addFixed,
  link,
  type Resources,
  root,
  type SimulatedDevice,
} from '../../exporter/simulator/resources.ts'
import { addSensors, type Sensor } from '../../exporter/simulator/sensor.ts'

const nodes = 4
/** As many as an EX4252's node controller has, on its card and its four nodes. */
const sensors = 737
const cardSensors = 53

/** A node controller as large as that of an EX4252: 4 nodes, 737 sensors. */
export function controllerOf737(): SimulatedDevice {
  const resources: Resources = new Map()
  const names = Array.from({ length: nodes }, (_, node) => `Node${node}`)
  addCrayService(resources, ['Enclosure', ...names], [])
  addChassis(resources, 'Enclosure', cardOf(cardSensors))
  const each = (sensors - cardSensors) / nodes
  for (const [index, name] of names.entries()) addChassis(resources, name, nodeOf(index, each))
  const xname = 'x1000c0s0b0'
  return { xname, kind: 'cray-controller', resources, resets: new Map(), headers: crayHeaders }
}

function addChassis(resources: Resources, name: string, of: readonly Sensor[]): void {
  const path = `${root}/Chassis/${name}`
  addFixed(resources, path, 'Chassis.v1_5_1.Chassis', {
    ChassisType: name === 'Enclosure' ? 'Enclosure' : 'Component',
    Id: name,
    Name: name,
    PowerState: 'On',
    Sensors: link(`${path}/Sensors`),
  })
  addSensors(resources, path, of, 0.25)
}

/** Power and energy of the node and of its domains, and temperatures to make up the number. */
function nodeOf(index: number, number: number): Sensor[] {
  const load = wave(800 + 50 * index, 100, 600)
  const feed = { name: 'Node', parent: 'Chassis', context: 'VoltageRegulator', index: 0 } as const
  const domain = (context: string, part: number): Sensor[] => {
    const of = { name: context, parent: 'Chassis', context, index: 0, side: 'Output' } as const
    return [
      { ...of, type: 'Power', read: (at) => load.watts(at) * part },
      { ...of, type: 'Energy', read: (at) => load.joules(at % 1e6) * part },
    ]
  }
  const measured: Sensor[] = [
    { ...feed, side: 'Input', type: 'Power', read: (at) => load.watts(at) },
    { ...feed, side: 'Input', type: 'Energy', read: (at) => load.joules(at % 1e6) },
    ...domain('CPUSubsystem', 0.6),
    ...domain('MemorySubsystem', 0.2),
  ]
  return [...measured, ...temperatures(number - measured.length)]
}

function cardOf(number: number): Sensor[] {
  const of = { name: 'SIVOC CTLR1', parent: 'Chassis', context: 'VoltageRegulator', index: 1 }
  const output: Sensor = { ...of, side: 'Output', type: 'Power', read: (at) => 3300 + (at % 10) }
  return [output, ...temperatures(number - 1)]
}

function temperatures(number: number): Sensor[] {
  return Array.from({ length: number }, (_, index): Sensor => {
    const context = 'VoltageRegulator'
    const read = (at: number) => 40 + (index % 20) + (at % 7)
    return { name: `VR ${index}`, parent: 'CPU', context, index, type: 'Temperature', read }
  })
}
