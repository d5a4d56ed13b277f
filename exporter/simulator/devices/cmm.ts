import type { Seconds } from '../load.ts'
import { type Plant, rectifiers } from '../physics.ts'
import {
  addFixed,
  healthy,
  link,
  type Resources,
  resource,
  root,
  type SimulatedDevice,
  type Write,
  type WriteContext,
} from '../resources.ts'
import { addSensors, type Sensor } from '../sensor.ts'
import { cmm, computeNodes, nodeControllers } from '../system.ts'
import { addAlarms, addCrayService, crayHeaders, managerReset } from './cray.ts'
import { enclosureName, type Slots } from './slots.ts'
import { action, refused } from './writes.ts'

const enclosure = `${root}/Chassis/Enclosure`
/** The chassis controller: rectifiers, coolant, leak detectors, and the slots' power states. */
export function cmmDevice(plant: Plant, slots: Slots): SimulatedDevice {
  const resources: Resources = new Map()
  addCrayService(resources, [enclosureName, ...slots.names], [])
  const writes = new Map<string, Write>([managerReset])
  const chassis = { resources, writes, slots }
  addEnclosure(chassis)
  addFixed(resources, `${enclosure}/Power`, 'Power.v1_4_0.Power', powerProperties())
  addAlarms(resources, [
    { id: 'CabinetLeakConfirmed', severity: 'Critical' },
    { id: 'CabinetLeakDetected', severity: 'Warning' },
  ])
  for (const name of slots.names) addSlot(chassis, name)
  addSensors(resources, enclosure, cmmSensors(plant), 0.538)
  return {
    xname: cmm,
    kind: 'cray-controller',
    resources,
    resets: new Map(),
    writes,
    headers: crayHeaders,
  }
}

const enclosureProperties = {
  ChassisType: 'Enclosure',
  Description: 'CMM',
  Id: 'Enclosure',
  Manufacturer: 'HPE',
  Model: 'CMM',
  Name: 'Enclosure',
  Oem: { Alarms: link(`${enclosure}/Oem/Alarms`), TriggeredAlarms: [] },
  PartNumber: '101426404.D',
  Power: link(`${enclosure}/Power`),
  Sensors: link(`${enclosure}/Sensors`),
  SerialNumber: 'SIM21070007',
  Status: healthy,
}

function powerProperties(): object {
  const supplies = Array.from({ length: rectifiers }, (_, index) => ({
    '@odata.id': `${enclosure}/Power#/PowerSupplies/${200 + 100 * index}`,
    Manufacturer: 'ABB',
    Model: 'CC15000H3C380T',
    Name: `Rectifier ${index}`,
    SerialNumber: `SIM4900077${index}`,
    Status: { State: 'Enabled' },
  }))
  return {
    Description: 'Power sensor readings',
    Id: 'Power',
    Name: 'Power',
    PowerSupplies: supplies,
    'PowerSupplies@odata.count': supplies.length,
  }
}

const resetTypes = ['On', 'ForceOff', 'Off']

function resetOf(path: string): object {
  const target = `${path}/Actions/Chassis.Reset`
  return { '#Chassis.Reset': { 'ResetType@Redfish.AllowableValues': resetTypes, target } }
}

interface Chassis {
  resources: Resources
  writes: Map<string, Write>
  slots: Slots
}

/** The chassis goes off only when its slots are, unless it is forced. */
function addEnclosure({ resources, writes, slots }: Chassis): void {
  const fixed = resource(enclosure, 'Chassis.v1_5_1.Chassis', {
    Actions: resetOf(enclosure),
    ...enclosureProperties,
  })
  resources.set(enclosure, () => ({ ...fixed, PowerState: slots.stateOf(enclosureName) }))
  const reset = action('ResetType', resetTypes, async (type, context) => {
    const at = context.asOf()
    if (type === 'Off' && slots.names.some((name) => slots.stateOf(name) === 'On')) {
      return refused('ActionNotSupported', 'The action Reset is not supported: slots are on.')
    }
    slots.switch(enclosureName, type === 'On' ? 'On' : 'Off', at)
    if (type !== 'On') {
      for (const name of slots.names) slots.switch(name, 'Off', at)
      await dropNodes(computeNodes, context)
    }
    await context.save()
    return undefined
  })
  writes.set(`${enclosure}/Actions/Chassis.Reset`, reset)
}

/** Without its slot a node is off at once, with no shutdown. */
async function dropNodes(
  nodes: readonly { xname: string }[],
  { reset }: Pick<WriteContext, 'reset'>,
): Promise<void> {
  for (const { xname } of nodes) await reset(xname, 'ForceOff')
}

function addSlot({ resources, writes, slots }: Chassis, name: string): void {
  const path = `${root}/Chassis/${name}`
  const present = slots.isPresent(name)
  const fixed = resource(path, 'Chassis.v1_5_1.Chassis', {
    Actions: resetOf(path),
    ChassisType: 'Blade',
    Id: name,
    Manufacturer: 'HPE',
    Name: name,
    Status: present ? healthy : { Health: 'OK', State: 'Absent' },
  })
  resources.set(path, () => ({ ...fixed, PowerState: slots.stateOf(name) }))
  const bmc = nodeControllers.find(({ slot }) => name === `Blade${slot}`)?.xname
  const nodes = computeNodes.filter((node) => node.bmc === bmc)
  const reset = action('ResetType', resetTypes, async (type, context) => {
    if (!present) return refused('ActionNotSupported', `The slot ${name} is empty.`)
    slots.switch(name, type === 'On' ? 'On' : 'Off', context.asOf())
    if (type !== 'On') await dropNodes(nodes, context)
    await context.save()
    return undefined
  })
  writes.set(`${path}/Actions/Chassis.Reset`, reset)
}

function cmmSensors(plant: Plant): Sensor[] {
  return [
    ...Array.from({ length: rectifiers }, (_, index) => rectifierSensors(plant, index)).flat(),
    ...coolantSensors(plant),
    ...leakDetectors,
    ...boardSensors(plant),
  ]
}

function rectifierSensors(plant: Plant, index: number): Sensor[] {
  const of = { name: 'Rectifier', context: 'Rectifier', index }
  const watts = (at: Seconds) => plant.rectifierWatts(index, at)
  const outputVolts = 382.7 + 0.06 * index
  const lines = [1, 2, 3].flatMap((line): Sensor[] => [
    {
      ...of,
      type: 'Current',
      line: `Line${line}`,
      side: 'Input',
      read: (at) => watts(at).input / (Math.sqrt(3) * lineVolts(line) * 0.985),
    },
    {
      ...of,
      type: 'Voltage',
      line: `Line${line}ToLine${(line % 3) + 1}`,
      side: 'Input',
      digits: 2,
      read: () => lineVolts(line),
    },
  ])
  return [
    { ...of, type: 'Power', side: 'Input', read: (at) => watts(at).input },
    { ...of, type: 'Power', side: 'Output', digits: 2, read: (at) => watts(at).output },
    { ...of, type: 'Current', side: 'Output', read: (at) => watts(at).output / outputVolts },
    { ...of, type: 'Voltage', side: 'Output', digits: 2, read: () => outputVolts },
    {
      ...of,
      type: 'Temperature',
      digits: 0,
      read: (at) => plant.coolant(at).supplyCelsius + 5 + watts(at).input / 2500,
    },
    ...lines,
  ]
}

/** Three lines that differ a little, as they did in every capture. */
function lineVolts(line: number): number {
  return 483.5 + 0.9 * line
}

function coolantSensors(plant: Plant): Sensor[] {
  const supply = {
    name: 'cabinet_supply_water',
    parent: 'Chassis',
    context: 'LiquidInlet',
    index: 0,
  }
  const back = {
    name: 'cabinet_return_water',
    parent: 'Chassis',
    context: 'LiquidOutlet',
    index: 0,
  }
  const inlet = { ...supply, side: 'Input' as const }
  const outlet = { ...back, side: 'Output' as const }
  return [
    { ...inlet, type: 'Temperature', digits: 2, read: (at) => plant.coolant(at).supplyCelsius },
    { ...inlet, type: 'Pressure', read: () => 33.92 },
    { ...outlet, type: 'Temperature', digits: 2, read: (at) => plant.coolant(at).returnCelsius },
    { ...outlet, type: 'Pressure', read: () => 16.89 },
  ]
}

const leakDetectors: Sensor[] = [
  { name: 'rear', volts: 0 },
  { name: 'front', volts: 2.03 },
  { name: 'top', volts: 0 },
].map(({ name, volts }, index) => ({
  name: `cabinet_${name}_leak_detect`,
  context: 'Chassis',
  index,
  type: 'Voltage',
  read: () => volts,
}))

/** The controller's own board, with two converters that no chassis has fitted. */
function boardSensors(plant: Plant): Sensor[] {
  const regulator = (index: number, name: string) => ({ name, context: 'VoltageRegulator', index })
  const auxiliary = regulator(5, '12V AUX ECB')
  return [
    {
      name: 'controller',
      context: 'SystemBoard',
      index: 0,
      type: 'Temperature',
      digits: 0,
      upper: [85, 90, 105],
      read: (at) => plant.coolant(at).supplyCelsius + 6,
    },
    { ...auxiliary, type: 'Voltage', side: 'Input', read: () => 11.98 },
    {
      ...auxiliary,
      type: 'Current',
      side: 'Input',
      digits: 3,
      read: (at) => plant.cmmWatts(at) / 11.98,
    },
    ...[3, 4].flatMap((index): Sensor[] => [
      { ...regulator(index, `IVOC12_${index - 3}`), type: 'Voltage', side: 'Output' },
      { ...regulator(index, `IVOC12_${index - 3}`), type: 'Temperature', upper: [85, 90.9, 101] },
    ]),
  ]
}
