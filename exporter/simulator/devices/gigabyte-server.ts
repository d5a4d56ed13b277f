import type { Seconds } from '../load.ts'
import type { Plant } from '../physics.ts'
import {
  addCollection,
  addFixed,
  addRoot,
  healthy,
  link,
  type Resources,
  resource,
  root,
  round,
  type SimulatedDevice,
} from '../resources.ts'
import { gigabyteServer } from '../system.ts'
import type { ResetType } from '../timeline.ts'
import type { Track } from '../track.ts'
import { isoTime } from '../truth.ts'
import { addResetInfo } from './node-controller.ts'
import { powerWindow } from './server-power.ts'
import { powerLimit, type SetLimit } from './writes.ts'

const chassis = `${root}/Chassis/Self`
const system = `${root}/Systems/Self`
const target = `${system}/Actions/ComputerSystem.Reset`

const allowed: readonly ResetType[] = ['GracefulShutdown', 'ForceRestart', 'ForceOff', 'On']

/** A Gigabyte H262-Z63 with AMI's BMC. */
export function gigabyteDevice(plant: Plant): SimulatedDevice {
  const machine = `${gigabyteServer}n0`
  const track = plant.timeline.track(machine)
  const resources: Resources = new Map()
  addRoot(resources, ['Chassis', 'Systems', 'Managers'], {
    Product: 'AMI Redfish Server',
    RedfishVersion: '1.7.0',
    Vendor: 'AMI',
  })
  addCollection(resources, `${root}/Chassis`, 'Chassis', ['Self'])
  addCollection(resources, `${root}/Systems`, 'ComputerSystem', ['Self'])
  addCollection(resources, `${root}/Managers`, 'Manager', ['Self'])
  addFixed(resources, `${root}/Managers/Self`, 'Manager.v1_5_2.Manager', {
    FirmwareVersion: '12.84.13',
    Id: 'Self',
    ManagerType: 'BMC',
    Name: 'Manager',
    Status: healthy,
  })
  addChassis(resources, track)
  addSystem(resources, track)
  const limit = { watts: 500, min: 1, max: 5000 }
  addReadings(resources, plant, track, limit)
  const resets = new Map([[target, { xname: machine, allowed }]])
  return {
    xname: gigabyteServer,
    kind: 'ami',
    resources,
    resets,
    writes: new Map([[`${chassis}/Power`, powerLimit(limit)]]),
    headers: { Server: 'AMI MegaRAC Redfish Service' },
  }
}

function addChassis(resources: Resources, track: Track): void {
  const fixed = resource(chassis, 'Chassis.v1_9_1.Chassis', {
    ChassisType: 'RackMount',
    Id: 'Self',
    Links: { ComputerSystems: [link(system)] },
    Manufacturer: 'GIGABYTE',
    Model: 'H262-Z63-00',
    Name: 'Computer System Chassis',
    Power: link(`${chassis}/Power`),
    Sensors: link(`${chassis}/Sensors`),
    Status: healthy,
    Thermal: link(`${chassis}/Thermal`),
  })
  resources.set(chassis, (at) => ({ ...fixed, PowerState: track.stateAt(at) }))
}

function addSystem(resources: Resources, track: Track): void {
  const fixed = resource(system, 'ComputerSystem.v1_7_0.ComputerSystem', {
    Actions: {
      '#ComputerSystem.Reset': { '@Redfish.ActionInfo': `${system}/ResetActionInfo`, target },
    },
    BiosVersion: 'C27',
    Id: 'Self',
    Manufacturer: 'GIGABYTE',
    MemorySummary: { TotalSystemMemoryGiB: 244 },
    Model: 'H262-Z63-00',
    Name: 'System',
    ProcessorSummary: { Count: 2, Model: 'AMD EPYC 7702 64-Core Processor' },
    Status: healthy,
    SystemType: 'Physical',
  })
  resources.set(system, (at) => ({ ...fixed, PowerState: track.stateAt(at) }))
  addResetInfo(resources, system, allowed)
}

function addReadings(resources: Resources, plant: Plant, track: Track, limit: SetLimit): void {
  const { epoch } = plant.timeline
  const power = resource(`${chassis}/Power`, 'Power.v1_5_3.Power', { Id: 'Power', Name: 'Power' })
  const thermal = resource(`${chassis}/Thermal`, 'Thermal.v1_5_2.Thermal', {
    Id: 'Thermal',
    Name: 'Thermal',
  })
  resources.set(`${chassis}/Power`, (at) => ({
    ...power,
    PowerControl: [powerControl(track, limit, { epoch, at })],
    PowerSupplies: [0, 1].map((index) => ({
      '@odata.id': `${chassis}/Power#/PowerSupplies/${index}`,
      MemberId: String(index),
      Name: 'nil',
    })),
    Voltages: voltages.map(voltage),
  }))
  resources.set(`${chassis}/Thermal`, (at) => ({
    ...thermal,
    Temperatures: temperatures.map((sensor) =>
      temperature(sensor, plant.intakeCelsius(at), track.wattsAt(at).node),
    ),
  }))
  addCollection(resources, `${chassis}/Sensors`, 'Sensor', ['Power', 'Energy'])
  addSensors(resources, track)
}

/** Sensors of this kind have no `ReadingUnits`, and blanks in their `Id`. */
function addSensors(resources: Resources, track: Track): void {
  const power = resource(`${chassis}/Sensors/Power`, 'Sensor.v1_0_0.Sensor', {
    Id: 'Power Consumption Monitor',
    Name: 'Power Consumption Monitor',
    ReadingType: 'Power',
  })
  const energy = resource(`${chassis}/Sensors/Energy`, 'Sensor.v1_0_0.Sensor', {
    Id: 'Power Energy Monitor',
    Name: 'Power Energy Monitor',
    ReadingType: 'EnergyJoules',
  })
  resources.set(`${chassis}/Sensors/Power`, (at) => ({
    ...power,
    Reading: Math.round(track.wattsAt(at).node),
  }))
  resources.set(`${chassis}/Sensors/Energy`, (at) => ({
    ...energy,
    Oem: { Vendor: { ReadingTime: vendorTime(at) } },
    Reading: energyJoules(track, at),
  }))
}

/** The joules of the whole second that the controller took last. */
function energyJoules(track: Track, at: Seconds): number {
  return Math.floor(track.joulesAt(Math.floor(at)).node)
}

function vendorTime(at: Seconds): string {
  return isoTime(Math.floor(at)).replace('Z', '+00:00')
}

/** The state of the control is nonsense on the real machine as well. */
function powerControl(
  track: Track,
  { watts }: SetLimit,
  { epoch, at }: { epoch: Seconds; at: Seconds },
): object {
  const energy = { AccumulatedEnergyJoules: energyJoules(track, at), Timestamp: vendorTime(at) }
  return {
    '@odata.id': `${chassis}/Power#/PowerControl/0`,
    MemberId: '0',
    Name: 'Chassis Power Control',
    Oem: { Vendor: { PowerIdleWatts: track.machine.idleWatts, PowerMetrics: energy } },
    PhysicalContext: 'Intake',
    PowerCapacityWatts: 0,
    PowerConsumedWatts: Math.round(track.wattsAt(at).node),
    PowerLimit: {
      CorrectionInMs: 1000,
      LimitException: 'HardPowerOff',
      LimitInWatts: watts || null,
    },
    PowerMetrics: { ...powerWindow(track, epoch, at, 5), IntervalInMin: 0 },
    Status: { Health: 'Critical', State: 'Disabled' },
  }
}

const voltages = [
  { number: 64, name: 'P_12V', volts: 12.155 },
  { number: 65, name: 'P_5V', volts: 5.1143 },
  { number: 66, name: 'P_3V3', volts: 3.3735 },
  { number: 68, name: 'P0_VDDCR_SOC', volts: 0.945 },
] as const

function voltage({ number, name, volts }: (typeof voltages)[number], index: number): object {
  return {
    '@odata.id': `${chassis}/Power#/Voltages/${index}`,
    MemberId: `VoltageSensor${number}`,
    Name: name,
    PhysicalContext: 'VoltageRegulator',
    ReadingVolts: volts,
    SensorNumber: number,
    Status: healthy,
  }
}

interface TemperatureSensor {
  number: number
  name: string
  /** Above the air at the intake: fixed, and per watt. Absent: not fitted, no reading. */
  above?: readonly [number, number]
}

const temperatures: readonly TemperatureSensor[] = [
  { number: 1, name: 'CPU0_TEMP', above: [9, 0.09] },
  { number: 2, name: 'CPU1_TEMP', above: [11, 0.095] },
  { number: 4, name: 'DIMMG0_TEMP', above: [9, 0.03] },
  { number: 8, name: 'MB_TEMP1', above: [12, 0.02] },
  { number: 14, name: 'VR_P0_TEMP', above: [8, 0.04] },
  { number: 29, name: 'M2_G1_AMB_TEMP' },
]

function temperature(
  { number, name, above }: TemperatureSensor,
  intake: number,
  watts: number,
): object {
  const fixed = {
    '@odata.id': `${chassis}/Thermal#/Temperatures/${number}`,
    MemberId: `TemperatureSensor${number}`,
    Name: name,
    PhysicalContext: 'Intake',
    SensorNumber: number,
  }
  if (!above) return { ...fixed, Status: { State: 'Absent' } }
  const celsius = round(intake + above[0] + above[1] * watts)
  return { ...fixed, ReadingCelsius: celsius, Status: healthy }
}
