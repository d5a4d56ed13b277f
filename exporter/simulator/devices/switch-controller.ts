import type { Seconds } from '../load.ts'
import type { Plant } from '../physics.ts'
import {
  addFixed,
  healthy,
  link,
  type Resources,
  root,
  type SimulatedDevice,
} from '../resources.ts'
import { addSensors, type Sensor } from '../sensor.ts'
import { addAlarms, addCrayService, crayHeaders, managerReset } from './cray.ts'

const enclosure = `${root}/Chassis/Enclosure`

/** What a Slingshot switch draws at 380 V, by the rail that its converter feeds. */
const rails = [
  { index: 1, name: 'VDD_CORE', part: 0.42 },
  { index: 2, name: 'VDD_SERDES_A', part: 0.15 },
  { index: 3, name: 'VDD_SERDES_B', part: 0.14 },
] as const

/** The controller of switch blade `index` (0 or 1); there is no total but its 12 V brick. */
export function switchController(xname: string, index: number, plant: Plant): SimulatedDevice {
  const resources: Resources = new Map()
  addCrayService(resources, ['Enclosure'], [])
  addFixed(resources, enclosure, 'Chassis.v1_5_1.Chassis', {
    ChassisType: 'Enclosure',
    Description: 'ColumbiaNC',
    Id: 'Enclosure',
    Manufacturer: 'HPE',
    Model: 'HPE_Slingshot_1_Switch_Blade',
    Name: 'Enclosure',
    Oem: { Alarms: link(`${enclosure}/Oem/Alarms`), TriggeredAlarms: [] },
    PowerState: 'On',
    Sensors: link(`${enclosure}/Sensors`),
    SerialNumber: `SIM2100040${index}`,
    Status: healthy,
  })
  addAlarms(resources, [
    { id: 'LeakIndicatorEarly', severity: 'Warning' },
    { id: 'LeakIndicatorSustained', severity: 'Critical' },
  ])
  addSensors(resources, enclosure, switchSensors(plant, index), 0.21 + 0.13 * index)
  const writes = new Map([managerReset])
  const device = { xname, kind: 'cray-controller' as const, resources, resets: new Map() }
  return { ...device, writes, headers: crayHeaders }
}

function switchSensors(plant: Plant, index: number): Sensor[] {
  const watts = (at: Seconds) => plant.switchWatts(index, at)
  const brick = watts12(watts)
  return [
    ...rails.flatMap((rail) => railSensors(rail, brick)),
    { ...regulator(7, 'IVOC12'), type: 'Power', side: 'Output', read: brick },
    {
      name: 'VCC 12v0 HSS',
      parent: 'PowerSupplySubsystem',
      context: 'VoltageRegulator',
      index: 0,
      side: 'Input',
      type: 'Power',
      read: (at) => watts(at) - brick(at),
    },
    {
      name: 'switch asic',
      context: 'ASIC',
      index: 0,
      type: 'Temperature',
      upper: [95, 100, 110],
      read: (at) => plant.coolant(at).supplyCelsius + watts(at) / 9,
    },
    ...cages(plant),
  ]
}

/** The brick gives 12 V to all rails; what it loses and what goes past it is the rest. */
function watts12(watts: (at: Seconds) => number): (at: Seconds) => number {
  return (at) => 0.93 * watts(at)
}

function railSensors(
  { index, name, part }: (typeof rails)[number],
  brick: (at: Seconds) => number,
) {
  const input = (at: Seconds) => part * brick(at)
  const sensors: Sensor[] = [
    { ...regulator(index, name), type: 'Power', side: 'Input', read: input },
    { ...regulator(index, name), type: 'Power', side: 'Output', read: (at) => 0.9 * input(at) },
  ]
  return sensors
}

function regulator(index: number, name: string) {
  return { name, parent: 'ASIC', context: 'VoltageRegulator', index }
}

/** Cable cages; in the last two of eight no cable is plugged. */
function cages(plant: Plant): Sensor[] {
  return Array.from({ length: 8 }, (_, cage): Sensor => {
    const place = { name: `j${cage + 1}`, context: 'NetworkingDevice', index: cage + 1 }
    const sensor: Sensor = { ...place, type: 'Temperature', upper: [60, 65, 70] }
    if (cage >= 6) return sensor
    return { ...sensor, read: (at) => plant.coolant(at).supplyCelsius + 14 + cage }
  })
}
