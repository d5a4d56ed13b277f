import type { Reading } from '../metrics.ts'
import { excerptAt } from '../redfish/excerpt.ts'
import { fieldAt, listAt, textAt } from '../redfish/parse.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { readingAt } from '../redfish/units.ts'
import { anySensorReadings } from './any-sensor.ts'
import { type Context, otherExcerpts, ShownSensors } from './excerpts.ts'
import { partReadings } from './health.ts'
import { hpeReadings } from './hpe-oem.ts'
import { type Known, powerThermalReadings, type Supply } from './power-thermal.ts'
import { SameSource } from './same-source.ts'
import { SensorNames, shareOf } from './sensor-names.ts'
import { serverLabels } from './server-place.ts'
import { controlLimitReadings, moduleReadings } from './standard-modules.ts'
import { nodesOf, systemReadings, systemsPath } from './standard-systems.ts'
import { newWithout, withoutReadings } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>
type Labels = Record<string, string>

/**
 * Whatever the standard schemas tell of a server or other device. A value that stands in several
 * resources is shown once: excerpts before the sensor that they are copied from, newer resources
 * before `Power` and `Thermal`, only the whole power by its older name. `mainChassis` is the one
 * whose readings carry no label `chassis`.
 */
export function standardReadings(bmc: string, all: Resources, mainChassis?: string): Reading[] {
  const without = newWithout()
  const sensors = new Set([...all.keys()].filter((path) => sensorPath.test(path)))
  const context = { shown: new ShownSensors(), without, sensors }
  const systems = systemReadings(bmc, all, context)
  const chassis = [...byChassis(all)].map(([path, resources]) => {
    const name = path.replace(chassisRoot, '')
    const place = serverLabels(bmc)
    const labels = name === mainChassis ? place : { ...place, chassis: name }
    const modules = moduleReadings(labels, resources, { ...context, chassisPath: path })
    return { path, name, labels, resources, modules }
  })
  const found = chassis.flatMap((one) => chassisReadings(one, all, context))
  const nodes = nodesOf(all)
  return [
    ...found,
    ...systems,
    ...managerReadings(bmc, all, context),
    ...hpeReadings(bmc, all, without),
    ...withoutReadings({ ...serverLabels(bmc), xname: bmc }, without),
    ...partReadings(all, (path) => placeOfPart(bmc, path, nodes)),
  ]
}

/** What a controller measures of itself. */
function managerReadings(bmc: string, all: Resources, context: Omit<Context, 'body'>): Reading[] {
  const labels = { ...serverLabels(bmc), xname: bmc }
  return [...all].flatMap(([path, body]) => {
    const prefix = /^\/redfish\/v1\/(Managers\/[^/]+)\/\w*Metrics$/.exec(path)?.[1]
    return prefix === undefined ? [] : otherExcerpts(labels, { ...context, body }, { prefix })
  })
}

/** A manager is the controller; what no system has as its own belongs to the first node. */
function placeOfPart(bmc: string, path: string, nodes: readonly string[]): Labels {
  if (path.startsWith('/redfish/v1/Managers/')) return { ...serverLabels(bmc), xname: bmc }
  const system = path.startsWith(`${systemsPath}/`) ? path.split('/')[4] : undefined
  return serverLabels(bmc, Math.max(0, nodes.indexOf(system ?? '')))
}

interface Chassis {
  path: string
  name: string
  labels: Labels
  resources: Resources
  /** What its newer resources show. */
  modules: readonly Reading[]
}

function chassisReadings(
  { path: chassis, name, labels, resources, modules }: Chassis,
  all: Resources,
  { shown, without }: Omit<Context, 'body'>,
): Reading[] {
  const sensors = sensorsOf(resources)
  const own = [...sensors].flatMap(([path, sensor]) => {
    const place = { ...labels, chassis: name, sensor: path.slice(path.lastIndexOf('/') + 1) }
    const isTurning = sensor.quantity === 'rotation' || shown.has(path, 'rotation')
    const turns = isTurning ? [] : turnReadings(place, sensor, resources.get(path))
    if (sensor.quantity !== undefined && shown.has(path, sensor.quantity)) return turns
    if (sensor.without !== undefined) without[sensor.without]++
    return [...anySensorReadings(place, sensor), ...turns]
  })
  const limits = controlLimitReadings(labels, resources, all)
  const newer = [...modules, ...own, ...limits]
  const { power, thermal } = oldResources(resources)
  const known = knownOf(newer, sensors, { resources, shown })
  const old = powerThermalReadings({ labels, power, thermal, without, known })
  const hasPower = old.some(({ metric }) => metric === wholePower)
  const environment = resources.get(`${chassis}/EnvironmentMetrics`)
  const copies = powerCopies(toldPowers(power, environment), sensors)
  return [
    ...old,
    ...newer.filter(({ metric, labels: { sensor = '' } }) =>
      metric === wholePower ? !hasPower : metric !== sensorPower || !copies.has(sensor),
    ),
    ...vendorEnergy(labels, power, newer),
  ]
}

/** A sensor of a share of full speed may tell of turns a minute too. */
function turnReadings(labels: Labels, sensor: Sensor, body: unknown): Reading[] {
  const value = readingAt(body, 'SpeedRPM')
  if (value === undefined || sensor.without === 'absent') return []
  return [{ metric: 'cray_fan_speed_rpm', labels: { ...labels, ...sensor.place }, value }]
}

const wholePower = 'cray_server_power_watts'
const sensorPower = 'cray_sensor_power_watts'

/** The shares of power that `PowerControl` tells of, or `EnvironmentMetrics` without a source. */
function toldPowers(power: unknown, environment: unknown): string[] {
  const told = listAt(power, 'PowerControl')
    .filter((member) => readingAt(member, 'PowerConsumedWatts') !== undefined)
    .map((control) => shareOf(textAt(control, 'Name') ?? ''))
  const watts = excerptAt(environment, 'PowerWatts')
  const isOther = watts === undefined || watts.source !== undefined || told.includes('')
  return isOther ? told : [...told, '']
}

/** Ids of the sensors that tell such a share again: each is the only one of it. */
function powerCopies(told: readonly string[], sensors: ReadonlyMap<string, Sensor>): Set<string> {
  const measured = [...sensors].flatMap(([path, { quantity, id, place, reading }]) => {
    if (quantity !== 'power' || reading === undefined) return []
    const own = path.slice(path.lastIndexOf('/') + 1)
    return [[shareOf(place['name'] ?? id), own] as const]
  })
  const shares = onlyOnes(told.map((share) => [share, share]))
  return new Set([...onlyOnes(measured)].flatMap(([share, id]) => (shares.has(share) ? id : [])))
}

/** Those that share their key with no other. */
function onlyOnes<T>(pairs: readonly (readonly [key: string, value: T])[]): Map<string, T> {
  const found = new Map(pairs)
  const seen = new Set<string>()
  for (const [key] of pairs) {
    if (seen.has(key)) found.delete(key)
    seen.add(key)
  }
  return found
}

/** What the older resources need not tell again. */
function knownOf(
  readings: readonly Reading[],
  sensors: ReadonlyMap<string, Sensor>,
  { resources, shown }: { resources: Resources; shown: ShownSensors },
): Known {
  const names = new SensorNames()
  const sources = new SameSource(shown)
  for (const [path, sensor] of sensors) {
    const { quantity, id, place, reading, without } = sensor
    if (reading === undefined && without !== 'absent') continue
    names.add(quantity, place['name'] ?? id)
    sources.add(path, sensor, resources.get(path))
  }
  for (const { metric, labels } of readings) {
    const quantity = /_celsius$/.test(metric) ? 'temperature' : undefined
    names.add(/_volts$/.test(metric) ? 'voltage' : quantity, labels['name'])
    if (metric.startsWith('cray_fan_')) names.add('fan', labels['name'])
  }
  return { names, sources, fans: fansOf(resources), readings, supplies: suppliesOf(resources) }
}

/** How many of the newer fans tell of each speed, whether they know it now or not. */
function fansOf(resources: Resources): Known['fans'] {
  const speeds = [...resources].flatMap(([path, body]) => {
    const isFan = /\/Fans\/[^/]+$/.test(path) && textAt(body, 'Status', 'State') !== 'Absent'
    return isFan ? [fieldAt(body, 'SpeedPercent')] : []
  })
  const telling = (field: string) =>
    speeds.filter((speed) => fieldAt(speed, field) !== undefined).length
  return { cray_fan_speed_ratio: telling('Reading'), cray_fan_speed_rpm: telling('SpeedRPM') }
}

function suppliesOf(resources: Resources): Supply[] {
  return [...resources].flatMap(([path, body]) => {
    const bay = /\/PowerSupplies\/([^/]+)$/.exec(path)?.[1]
    if (bay === undefined) return []
    return [{ bay, name: textAt(body, 'Name'), serial: textAt(body, 'SerialNumber') }]
  })
}

/** Gigabyte's figure of energy in the older `Power`, where no sensor has the same. */
function vendorEnergy(labels: Labels, power: unknown, newer: readonly Reading[]): Reading[] {
  if (newer.some(({ metric }) => metric.endsWith('_energy_joules_total'))) return []
  const path = ['Oem', 'Vendor', 'PowerMetrics', 'AccumulatedEnergyJoules']
  const value = readingAt(listAt(power, 'PowerControl')[0], ...path)
  return value === undefined ? [] : [{ metric: 'cray_server_energy_joules_total', labels, value }]
}

const chassisRoot = /^\/redfish\/v1\/((Chassis|ThermalEquipment|PowerEquipment)\/)?/
const sensorPath = /\/Sensors\/[^/]+$/

const chassisParts =
  'Power Thermal Sensors EnvironmentMetrics Metrics PowerSubsystem ThermalSubsystem Controls ' +
  'NetworkAdapters PCIeDevices Drives Memory LeakDetection LeakDetectors Pumps PowerSupplies ' +
  'PrimaryCoolantConnectors SecondaryCoolantConnectors Mains Branches Feeders Subfeeds Outlets ' +
  'OutletGroups'

/**
 * A resource of a chassis, or of equipment that is read like one, lies behind one of these; a
 * chassis may lie within another.
 */
const withinChassis = new RegExp(
  '^(/redfish/v1/(?:(?:Chassis|PowerEquipment)/.+?|ThermalEquipment(?:/.+?)?))/' +
    `(?:${chassisParts.replaceAll(' ', '|')})(?:/|$)`,
)

function byChassis(all: Resources): Map<string, Map<string, unknown>> {
  const found = new Map<string, Map<string, unknown>>()
  for (const [path, body] of all) {
    const chassis = withinChassis.exec(path)?.[1]
    if (chassis === undefined) continue
    const own = found.get(chassis) ?? new Map<string, unknown>()
    found.set(chassis, own.set(path, body))
  }
  return found
}

/** In the order of their paths: devices answer in any. */
function sensorsOf(resources: Resources): Map<string, Sensor> {
  const paths = [...resources.keys()].filter((path) => sensorPath.test(path)).sort()
  return new Map(paths.map((path) => [path, parseSensor(resources.get(path), path)]))
}

/** Told by what is in them: a sensor may be called `Power` too. */
function oldResources(resources: Resources): { power: unknown; thermal: unknown } {
  const having = (...lists: string[]) =>
    [...resources].find(([path, body]) => {
      if (sensorPath.test(path)) return false
      return lists.some((name) => Array.isArray(fieldAt(body, name)))
    })?.[1]
  return {
    power: having('PowerControl', 'Voltages', 'PowerSupplies'),
    thermal: having('Temperatures', 'Fans'),
  }
}
