import type { Seconds } from '../load.ts'
import { type Plant, supplyShares } from '../physics.ts'
import {
  addCollection,
  addFixed,
  addRoot,
  healthy,
  link,
  type Resources,
  resource,
  root,
  type SimulatedDevice,
} from '../resources.ts'
import { iloServer } from '../system.ts'
import type { ResetType } from '../timeline.ts'
import type { Track } from '../track.ts'
import { powerWindow } from './server-power.ts'
import { powerLimit, type SetLimit } from './writes.ts'

const chassis = `${root}/Chassis/1`
const system = `${root}/Systems/1`
const target = `${system}/Actions/ComputerSystem.Reset`
const model = 'ProLiant DL325 Gen10 Plus'

const allowed: readonly ResetType[] = [
  'On',
  'ForceOff',
  'GracefulShutdown',
  'ForceRestart',
  'GracefulRestart',
]

/** A ProLiant with iLO 5. */
export function iloDevice(plant: Plant): SimulatedDevice {
  const machine = `${iloServer}n0`
  const track = plant.timeline.track(machine)
  const resources: Resources = new Map()
  addRoot(resources, ['Chassis', 'Systems', 'Managers'], {
    Name: 'HPE RESTful Root Service',
    Oem: { Hpe: { Manager: [{ ManagerFirmwareVersion: '2.46', ManagerType: 'iLO 5' }] } },
    Product: model,
    RedfishVersion: '1.6.0',
    Vendor: 'HPE',
  })
  for (const [path, type] of [
    ['Chassis', 'Chassis'],
    ['Systems', 'ComputerSystem'],
    ['Managers', 'Manager'],
  ] as const) {
    addCollection(resources, `${root}/${path}`, type, ['1'])
  }
  addManager(resources)
  addChassis(resources, track)
  addSystem(resources, track)
  const resets = new Map([[target, { xname: machine, allowed }]])
  const limit = { watts: 0, min: 1, max: 1000 }
  addReadings(resources, plant, track, limit)
  return {
    xname: iloServer,
    kind: 'ilo',
    resources,
    resets,
    writes: new Map([[`${chassis}/Power`, powerLimit(limit)]]),
    headers: { Server: 'HPE-iLO-Server/1.30' },
  }
}

function addManager(resources: Resources): void {
  addFixed(resources, `${root}/Managers/1`, 'Manager.v1_5_1.Manager', {
    FirmwareVersion: 'iLO 5 v2.46',
    Id: '1',
    ManagerType: 'BMC',
    Model: 'iLO 5',
    Name: 'Manager',
    Status: healthy,
  })
}

function addChassis(resources: Resources, track: Track): void {
  const fixed = resource(chassis, 'Chassis.v1_10_2.Chassis', {
    ChassisType: 'RackMount',
    Id: '1',
    Links: { ComputerSystems: [link(system)] },
    Manufacturer: 'HPE',
    Model: model,
    Name: 'Computer System Chassis',
    Power: link(`${chassis}/Power`),
    SerialNumber: 'SIM019020B',
    Status: healthy,
    Thermal: link(`${chassis}/Thermal`),
  })
  resources.set(chassis, (at) => ({ ...fixed, PowerState: track.stateAt(at) }))
}

function addSystem(resources: Resources, track: Track): void {
  const fixed = resource(system, 'ComputerSystem.v1_10_0.ComputerSystem', {
    Actions: {
      '#ComputerSystem.Reset': { 'ResetType@Redfish.AllowableValues': allowed, target },
    },
    BiosVersion: 'A43 v2.52 (10/29/2021)',
    Id: '1',
    Links: { Chassis: [link(chassis)] },
    Manufacturer: 'HPE',
    MemorySummary: { TotalSystemMemoryGiB: 64 },
    Model: model,
    Name: 'Computer System',
    ProcessorSummary: { Count: 1, Model: 'AMD EPYC 7302P 16-Core Processor' },
    Status: healthy,
    SystemType: 'Physical',
  })
  resources.set(system, (at) => ({ ...fixed, PowerState: track.stateAt(at) }))
}

function addReadings(resources: Resources, plant: Plant, track: Track, limit: SetLimit): void {
  const power = resource(`${chassis}/Power`, 'Power.v1_3_0.Power', {
    Id: 'Power',
    Name: 'PowerMetrics',
  })
  const thermal = resource(`${chassis}/Thermal`, 'Thermal.v1_6_2.Thermal', {
    Id: 'Thermal',
    Name: 'Thermal',
  })
  resources.set(`${chassis}/Power`, (at) => ({
    ...power,
    PowerControl: [powerControl(track, limit, { epoch: plant.timeline.epoch, at })],
    PowerSupplies: supplyShares.map((share, bay) => supply(bay, share * track.wattsAt(at).node)),
  }))
  resources.set(`${chassis}/Thermal`, (at) => ({
    ...thermal,
    Fans: fans.map((name, index) => fan(name, index, track.wattsAt(at).node)),
    Temperatures: temperatures.map((sensor, index) =>
      temperature(sensor, index, plant.intakeCelsius(at), track.wattsAt(at).node),
    ),
  }))
}

function powerControl(
  track: Track,
  { watts }: SetLimit,
  { epoch, at }: { epoch: Seconds; at: Seconds },
): object {
  return {
    '@odata.id': `${chassis}/Power#PowerControl/0`,
    MemberId: '0',
    PowerCapacityWatts: 1000,
    PowerConsumedWatts: Math.round(track.wattsAt(at).node),
    PowerLimit: { LimitInWatts: watts || null },
    PowerMetrics: powerWindow(track, epoch, at, 20),
  }
}

function supply(bay: number, watts: number): object {
  return {
    '@odata.id': `${chassis}/Power#PowerSupplies/${bay}`,
    FirmwareVersion: '1.00',
    LastPowerOutputWatts: Math.round(watts),
    LineInputVoltage: 208,
    LineInputVoltageType: 'ACHighLine',
    Manufacturer: 'LTEON',
    MemberId: String(bay),
    Model: '865408-B21',
    Name: 'HpeServerPowerSupply',
    Oem: { Hpe: { AveragePowerOutputWatts: Math.round(watts), BayNumber: bay + 1 } },
    PowerCapacityWatts: 500,
    PowerSupplyType: 'AC',
    Status: healthy,
  }
}

/** Fans 2 and 7 of this model are not fitted; iLO lists them all the same, with 0. */
const fans = Array.from({ length: 8 }, (_, index) => `Fan ${index + 1}`)

function fan(name: string, index: number, watts: number): object {
  const absent = index === 1 || index === 6
  return {
    '@odata.id': `${chassis}/Thermal#Fans/${index}`,
    MemberId: String(index),
    Name: name,
    Reading: absent ? 0 : Math.round(12 + watts / 5),
    ReadingUnits: 'Percent',
    Status: absent ? { State: 'Absent' } : healthy,
  }
}

interface TemperatureSensor {
  name: string
  context: string
  /** Above the air at the intake: fixed, and per watt. Absent: not fitted, told as 0. */
  above?: readonly [number, number]
}

const temperatures: readonly TemperatureSensor[] = [
  { name: '01-Inlet Ambient', context: 'Intake', above: [0, 0] },
  { name: '02-CPU 1', context: 'CPU', above: [12, 0.1] },
  { name: '03-P1 DIMM 1-8', context: 'SystemBoard' },
  { name: '04-P1 DIMM 9-16', context: 'SystemBoard', above: [9, 0.02] },
  { name: '05-HD Max', context: 'SystemBoard' },
  { name: '07-VR P1', context: 'SystemBoard', above: [11, 0.05] },
  { name: '11-BMC', context: 'SystemBoard', above: [36, 0] },
  { name: '28-P/S 1 Inlet', context: 'PowerSupply', above: [3, 0] },
  { name: '30-P/S 1', context: 'PowerSupply', above: [17, 0.06] },
  { name: '24-Sys Exhaust', context: 'SystemBoard', above: [8, 0.07] },
]

function temperature(
  { name, context, above }: TemperatureSensor,
  index: number,
  intake: number,
  watts: number,
): object {
  return {
    '@odata.id': `${chassis}/Thermal#Temperatures/${index}`,
    MemberId: String(index),
    Name: name,
    PhysicalContext: context,
    ReadingCelsius: above ? Math.round(intake + above[0] + above[1] * watts) : 0,
    SensorNumber: index + 1,
    Status: above ? healthy : { State: 'Absent' },
  }
}
