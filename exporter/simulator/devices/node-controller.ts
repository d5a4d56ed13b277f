import type { Seconds } from '../load.ts'
import type { Plant } from '../physics.ts'
import {
  addCollection,
  addFixed,
  healthy,
  link,
  type Reset,
  type Resources,
  resource,
  root,
  type SimulatedDevice,
  type Write,
} from '../resources.ts'
import { addSensors, sampledAt } from '../sensor.ts'
import { computeNodes, type Machine, type Model, type nodeControllers } from '../system.ts'
import type { ResetType } from '../timeline.ts'
import type { Track } from '../track.ts'
import { addAlarms, addCrayService, crayHeaders, managerReset } from './cray.ts'
import { cardSensors, mezzSensors, nodeSensors } from './node-sensors.ts'
import { deepControls, type SetLimit } from './writes.ts'

const allowed: readonly ResetType[] = ['On', 'ForceOff', 'Off']

/** What tells the models apart in what their controllers say. */
const descriptions: Record<string, { card: string; system: string; cpu: string; bios: string }> = {
  EX235a: {
    card: 'BardPeakNC',
    system: 'HPE CRAY EX235a',
    cpu: 'AMD INSTINCT MI200 (MCM) OAM LC',
    bios: 'ex235a.bios-1.3.6',
  },
  EX425: {
    card: 'WNC',
    system: 'HPE CRAY EX425 (MILAN)',
    cpu: 'AMD EPYC 7763 64-Core Processor',
    bios: 'ex425.bios-1.6.3',
  },
}

/** The controller of a compute blade: its nodes, its card and a network card. */
export function nodeController(
  { xname, slot, model }: (typeof nodeControllers)[number],
  plant: Plant,
): SimulatedDevice {
  const resources: Resources = new Map()
  const resets = new Map<string, Reset>()
  const writes = new Map<string, Write>([managerReset])
  const nodes = computeNodes.filter(({ bmc }) => bmc === xname)
  const names = nodes.map(({ index }) => `Node${index}`)
  const offset = 0.061 + 0.1 * slot
  addCrayService(resources, ['Enclosure', ...names, 'Mezz0'], names)
  addCard(resources, model, slot)
  addSensors(resources, `${root}/Chassis/Enclosure`, cardSensors(plant, slot), offset)
  addMezz(resources)
  addSensors(resources, `${root}/Chassis/Mezz0`, mezzSensors(plant), offset)
  for (const machine of nodes) {
    const track = plant.timeline.track(machine.xname)
    const limits = addNodeChassis(resources, machine, track, offset)
    writes.set(`${chassisOf(machine)}/Controls.Deep`, deepControls(limits))
    addSensors(resources, chassisOf(machine), nodeSensors(plant, machine, track), offset)
    resets.set(addSystem(resources, machine, track), { xname: machine.xname, allowed })
  }
  return { xname, kind: 'cray-controller', resources, resets, writes, headers: crayHeaders }
}

function chassisOf({ index }: Machine): string {
  return `${root}/Chassis/Node${index}`
}

function addCard(resources: Resources, model: Model, slot: number): void {
  const path = `${root}/Chassis/Enclosure`
  addFixed(resources, path, 'Chassis.v1_5_1.Chassis', {
    ChassisType: 'Enclosure',
    Description: descriptions[model.name]?.card,
    Id: 'Enclosure',
    Manufacturer: 'HPE',
    Model: descriptions[model.name]?.card,
    Name: 'Enclosure',
    Oem: { Alarms: link(`${path}/Oem/Alarms`), TriggeredAlarms: [] },
    Sensors: link(`${path}/Sensors`),
    SerialNumber: `SIM2110007${slot}`,
    Status: healthy,
  })
  addAlarms(resources, [
    { id: 'LeakIndicatorEarly', severity: 'Warning' },
    { id: 'LeakIndicatorSustained', severity: 'Critical' },
    { id: 'LeakIndicatorFatal', severity: 'Critical' },
  ])
}

function addMezz(resources: Resources): void {
  addFixed(resources, `${root}/Chassis/Mezz0`, 'Chassis.v1_5_1.Chassis', {
    ChassisType: 'Card',
    Description: 'SS11 200Gb 2P NIC Mezz',
    Id: 'Mezz0',
    Manufacturer: 'HPE',
    Model: 'R4K44A',
    Name: 'Mezz0',
    PowerState: 'On',
    Sensors: link(`${root}/Chassis/Mezz0/Sensors`),
    Status: healthy,
  })
}

function addNodeChassis(
  resources: Resources,
  machine: Machine,
  track: Track,
  offset: Seconds,
): Map<string, SetLimit> {
  const path = chassisOf(machine)
  const name = `Node${machine.index}`
  addFixed(resources, path, 'Chassis.v1_5_1.Chassis', {
    ChassisType: 'Blade',
    Controls: link(`${path}/Controls`),
    Id: name,
    Manufacturer: 'HPE',
    Name: name,
    Sensors: link(`${path}/Sensors`),
    Status: healthy,
  })
  const accelerators = Array.from({ length: machine.model.accelerators }, (_, index) => index)
  const limits = accelerators.map((index) => `Accelerator${index}PowerLimit`)
  addCollection(resources, `${path}/Controls`, 'Controls', ['NodePowerLimit', ...limits])
  return new Map([
    addNodeLimit(resources, path, machine, track, offset),
    ...accelerators.map((index) => addAcceleratorLimit(resources, path, index)),
  ])
}

/** The idle power is what energy of shared nodes is divided by. */
function addNodeLimit(
  resources: Resources,
  chassis: string,
  { model, idleWatts }: Machine,
  track: Track,
  offset: Seconds,
): [string, SetLimit] {
  const path = `${chassis}/Controls/NodePowerLimit`
  const most = model.accelerators > 0 ? 2754 : 925
  const limit = { watts: 0, min: model.accelerators > 0 ? 764 : 350, max: most }
  const properties = {
    ControlDelaySeconds: 6,
    ControlType: 'Power',
    Id: 'NodePowerLimit',
    Name: 'Node Power Limit',
    Oem: { Hpe: limitDetails(most, idleWatts) },
    PhysicalContext: 'Chassis',
    SettingRangeMax: limit.max,
    SettingRangeMin: limit.min,
    Status: { Health: 'OK' },
  }
  const fixed = resource(path, 'Control.v1_0_0.Control', properties)
  const uri = `${chassis}/Sensors/ChassisVoltageRegulator0InputPower`
  resources.set(path, (at) => {
    const watts = track.wattsAt(sampledAt(at, 1, offset)).node
    const sensor = { DataSourceUri: uri, Reading: Math.round(watts) }
    return { ...fixed, ...setPoint(limit), Sensor: sensor }
  })
  return [path, limit]
}

function setPoint({ watts }: SetLimit): object {
  return { ControlMode: watts === 0 ? 'Disabled' : 'Automatic', SetPoint: watts }
}

/** Numbers as text, as the controllers have them. */
function limitDetails(allocated: number, idle: number): object {
  return {
    LimitException: 'NoAction',
    PowerAllocatedWatts: String(allocated),
    PowerIdleWatts: String(idle),
    PowerLimitFactor: '1.000000',
    PowerResetWatts: '250',
  }
}

function addAcceleratorLimit(
  resources: Resources,
  chassis: string,
  index: number,
): [string, SetLimit] {
  const path = `${chassis}/Controls/Accelerator${index}PowerLimit`
  const limit = { watts: 0, min: 100, max: 560 }
  const fixed = resource(path, 'Control.v1_0_0.Control', {
    ControlDelaySeconds: 6,
    ControlType: 'Power',
    Id: `Accelerator${index}PowerLimit`,
    Name: `Accelerator${index} Power Limit`,
    Oem: { Hpe: { LimitException: 'NoAction', PowerLimitFactor: '1.000000' } },
    PhysicalContext: 'Accelerator',
    SettingRangeMax: limit.max,
    SettingRangeMin: limit.min,
    Status: { Health: 'OK' },
  })
  resources.set(path, () => ({ ...fixed, ...setPoint(limit) }))
  return [path, limit]
}

/** Adds a node's system; answers the target of its reset action. */
function addSystem(resources: Resources, { index, model }: Machine, track: Track): string {
  const path = `${root}/Systems/Node${index}`
  const target = `${path}/Actions/ComputerSystem.Reset`
  const facts = descriptions[model.name]
  const fixed = resource(path, 'ComputerSystem.v1_5_0.ComputerSystem', {
    Actions: {
      '#ComputerSystem.Reset': { '@Redfish.ActionInfo': `${path}/ResetActionInfo`, target },
    },
    BiosVersion: facts?.bios,
    Description: facts?.card,
    Id: `Node${index}`,
    Manufacturer: 'HPE',
    MemorySummary: { TotalSystemMemoryGiB: 512 },
    Model: facts?.system,
    Name: `Node${index}`,
    ProcessorSummary: { Count: model.accelerators > 0 ? 9 : 2, Model: facts?.cpu },
    Status: healthy,
    SystemType: 'Physical',
  })
  resources.set(path, (at) => ({ ...fixed, PowerState: track.stateAt(at) }))
  addResetInfo(resources, path, allowed)
  return target
}

/** Adds the list of reset types that a system obeys. */
export function addResetInfo(
  resources: Resources,
  system: string,
  types: readonly ResetType[],
): void {
  addFixed(resources, `${system}/ResetActionInfo`, 'ActionInfo.v1_0_3.ActionInfo', {
    Description: 'This action is used to reset the Systems',
    Id: 'ResetAction',
    Name: 'ResetAction',
    Parameters: [{ AllowableValues: types, DataType: 'String', Name: 'ResetType', Required: true }],
  })
}
