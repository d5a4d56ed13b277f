import type { MetricName, Reading } from '../metrics.ts'
import { listedMembers } from '../redfish/collection.ts'
import { textAt } from '../redfish/parse.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { unitOf } from '../redfish/units.ts'
import { anySensorReadings } from './any-sensor.ts'
import { type CrayPlace, crayPlace } from './cray-place.ts'
import { keptOf, withKept } from './kept-readings.ts'
import { newWithout, withoutReadings } from './without-reading.ts'

/** The sensors among a controller's resources, as readings; `names`: see `nodeNames`. */
export function sensorReadings(
  bmc: string,
  resources: ReadonlyMap<string, unknown>,
  names: ReadonlyMap<string, string>,
): Reading[] {
  const without = newWithout()
  const found: Reading[] = []
  const own: Placed[] = []
  const made = madeOf(resources)
  for (const [path, body] of resources) {
    const before = made.get(path)
    const one =
      before !== undefined && before.body === body && isAt(before.where, bmc, names)
        ? before
        : madeAnew(bmc, path, { body, names, before })
    if (one === undefined) continue
    made.set(path, one)
    if (one.without !== undefined) without[one.without]++
    found.push(...one.any)
    if (one.own !== undefined) own.push(one.own)
  }
  found.push(...ownReadings(own, resources))
  const counts = withoutReadings({ xname: bmc, bmc, source: 'redfish' }, without)
  return [...found, ...counts, ...chassisPower(bmc, own, resources)]
}

/** What was made of an answer, to be made anew when there is another. */
interface Made {
  body: unknown
  where: Where
  without: Sensor['without']
  /** One of the two has its reading, if it has one. */
  own: Placed | undefined
  any: readonly Reading[]
}

/** By the map that a device's answers stand in: few of its 100 sensors are new at a poll. */
const madeBefore = new WeakMap<ReadonlyMap<string, unknown>, Map<string, Made>>()

function madeOf(resources: ReadonlyMap<string, unknown>): Map<string, Made> {
  const known = madeBefore.get(resources) ?? new Map<string, Made>()
  madeBefore.set(resources, known)
  for (const path of known.keys()) if (!resources.has(path)) known.delete(path)
  return known
}

function madeAnew(
  bmc: string,
  path: string,
  {
    body,
    names,
    before,
  }: { body: unknown; names: ReadonlyMap<string, string>; before: Made | undefined },
): Made | undefined {
  const chassis = sensorPath.exec(path)?.groups?.['chassis']
  if (chassis === undefined) return undefined
  const where = whereOf(bmc, { chassis }, names)
  const sensor = parsed(body, path)
  const made = { body, where, without: sensor.without, own: undefined, any: [] }
  if (sensor.reading === undefined) return made
  const found = ownReading(where, sensor)
  if (found === undefined) {
    return { ...made, any: withKept(before?.any ?? [], anyReading(where, sensor)) }
  }
  const reading = before?.own === undefined ? found : keptOf(before.own.reading, found)
  const time = timeReading(where, sensor, reading.metric)
  return { ...made, own: { path, where, reading, time: withKept(before?.own?.time ?? [], time) } }
}

function whereOf(
  bmc: string,
  { chassis }: Pick<Where, 'chassis'>,
  names: ReadonlyMap<string, string>,
): Where {
  return { bmc, chassis, part: names.get(`Chassis/${chassis}`) ?? chassis }
}

function isAt(before: Where, bmc: string, names: ReadonlyMap<string, string>): boolean {
  return before.bmc === bmc && before.part === whereOf(bmc, before, names).part
}

function parsed(body: unknown, path: string): Sensor {
  return parseSensor(withType(body), path)
}

interface Where {
  bmc: string
  /** As the controller calls it, and as nodes are mostly called. */
  chassis: string
  part: string
}

interface Placed {
  path: string
  where: Where
  reading: Reading
  /** When it was taken, where that is shown. */
  time: readonly Reading[]
}

/** Of two sensors that would be one series the first by path is it, the other is any sensor. */
function ownReadings(own: readonly Placed[], resources: ReadonlyMap<string, unknown>): Reading[] {
  const taken = new Set<string>()
  const sorted = [...own].sort((a, b) => (a.path < b.path ? -1 : 1))
  return sorted.flatMap(({ path, where, reading, time }) => {
    const key = JSON.stringify([reading.metric, reading.labels])
    if (taken.has(key)) return anyReading(where, parsed(resources.get(path), path))
    taken.add(key)
    return [reading, ...time]
  })
}

const sensorPath = /^\/redfish\/v1\/Chassis\/(?<chassis>[^/]+)\/Sensors\/(?<sensor>[^/]+)$/

/** What a sensor measures is the end of its id too; a pressure without a unit is in PSI here. */
function withType(body: unknown): unknown {
  const isPressure = /^pressure$/i.test(textAt(body, 'ReadingType') ?? '')
  const isUnnamed = textAt(body, 'ReadingUnits') === undefined
  if (isUnnamed && isPressure) return { ...Object(body), ReadingUnits: 'PSI' }
  if (unitOf(body) !== undefined) return body
  const type = /(Power|Energy|Voltage|Current|Temperature|Pressure)$/.exec(textAt(body, 'Id') ?? '')
  return type === null ? body : { ...Object(body), ReadingUnits: idUnits[type[0]] }
}

const idUnits: Record<string, string> = {
  Power: 'W',
  Energy: 'J',
  Voltage: 'V',
  Current: 'A',
  Temperature: 'Cel',
  Pressure: 'PSI',
}

/**
 * Power and energy that a system is watched by; regulators deep in a node can wait. `names`: see
 * `nodeNames`.
 */
export function isFastSensor(path: string, names: ReadonlyMap<string, string>): boolean {
  const { chassis = '', sensor = '' } = sensorPath.exec(path)?.groups ?? {}
  if (!/(Power|Energy)$/.test(sensor)) return false
  const part = names.get(`Chassis/${chassis}`) ?? chassis
  return isEnclosure(part) || ownMetric(part, sensor) !== undefined
}

/** A controller's own chassis is mostly `Enclosure`: it is none of those that are numbered. */
function isEnclosure(chassis: string): boolean {
  return !/^(Node|Mezz|Blade|Perif)[ _-]?\d+$/i.test(chassis)
}

function isNode(chassis: string): boolean {
  return /^Node[ _-]?\d+$/i.test(chassis)
}

/** Sensors that have a metric of their own; what the pattern names becomes a label. */
const ownMetrics: readonly {
  chassis: (name: string) => boolean
  sensor: RegExp
  metric: MetricName
}[] = [
  {
    chassis: isNode,
    sensor: /^ChassisVoltageRegulator0InputEnergy$/,
    metric: 'cray_node_energy_joules_total',
  },
  {
    chassis: isNode,
    sensor: /^ChassisVoltageRegulator0InputPower$/,
    metric: 'cray_node_power_watts',
  },
  {
    chassis: isNode,
    sensor: /^Chassis(?<domain>CPU|Memory)Subsystem0OutputEnergy$/,
    metric: 'cray_domain_energy_joules_total',
  },
  {
    chassis: isNode,
    sensor: /^Chassis(?<domain>CPU|Memory)Subsystem0OutputPower$/,
    metric: 'cray_domain_power_watts',
  },
  {
    chassis: isNode,
    sensor: /^GPUSubsystem(?:Accelerator|GPU)(?<accelerator>\d+)Power$/,
    metric: 'cray_accelerator_power_watts',
  },
  {
    chassis: isEnclosure,
    sensor: /^Rectifier(?<rectifier>\d+)(?<side>Input|Output)Power$/,
    metric: 'cray_rectifier_power_watts',
  },
  {
    chassis: isEnclosure,
    sensor: /^Rectifier(?<rectifier>\d+)(?<line>Line\d)?(?<side>Input|Output)Current$/,
    metric: 'cray_rectifier_current_amperes',
  },
  {
    chassis: isEnclosure,
    sensor: /^Rectifier(?<rectifier>\d+)(?<line>Line\dToLine\d)?(?<side>Input|Output)Voltage$/,
    metric: 'cray_rectifier_voltage_volts',
  },
]

function ownMetric(chassis: string, sensor: string) {
  for (const own of ownMetrics) {
    const match = own.chassis(chassis) ? own.sensor.exec(sensor) : null
    if (match) return { metric: own.metric, labels: namedLabels(match.groups ?? {}) }
  }
  return undefined
}

/** Domains are called as in `/sys/cray/pm_counters`, all else as Redfish spells it. */
function namedLabels(groups: Record<string, string | undefined>): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const [name, value] of Object.entries(groups)) {
    if (value !== undefined) labels[name] = name === 'domain' ? value.toLowerCase() : value
  }
  return labels
}

function anyReading(where: Where, sensor: Sensor): Reading[] {
  const place = placeOf(where, sensor)
  return anySensorReadings({ ...place, chassis: where.chassis, sensor: sensor.id }, sensor)
}

function placeOf({ bmc, part }: Where, { id }: Sensor): CrayPlace {
  return crayPlace(bmc, part, id)
}

/** The reading under a metric of its own, if the sensor has one and measures what it says. */
function ownReading(where: Where, sensor: Sensor): Reading | undefined {
  if (sensor.reading === undefined) return undefined
  const { value } = sensor.reading
  const place = placeOf(where, sensor)
  const leak = /^cabinet_(.+)_leak_detect$/.exec(sensor.place['name'] ?? '')?.[1]
  if (leak !== undefined && sensor.quantity === 'voltage') {
    return { metric: 'cray_leak_detector_volts', labels: { ...place, position: leak }, value }
  }
  const own = ownMetric(where.part, sensor.id)
  if (own === undefined || !own.metric.includes(`_${sensor.quantity}_`)) return undefined
  return { metric: own.metric, labels: { ...place, ...own.labels }, value }
}

/** When the device took the reading, for what nodes are billed by. */
function timeReading(where: Where, sensor: Sensor, metric: MetricName): Reading[] {
  const { id, reading } = sensor
  if (reading?.takenAt === undefined || !metric.startsWith('cray_node_')) return []
  const labels = { ...placeOf(where, sensor), chassis: where.chassis, sensor: id }
  const value = reading.takenAt.getTime() / 1000
  return [{ metric: 'cray_sensor_reading_timestamp_seconds', labels, value }]
}

/**
 * A CMM has no sensor for its whole chassis. The sum of the rectifiers is given only when each
 * that the chassis lists has a reading: a sum with one missing would look like less power.
 */
function chassisPower(
  bmc: string,
  own: readonly Placed[],
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const rectifiers = own.filter(({ reading }) => reading.metric === 'cray_rectifier_power_watts')
  const lists = new Set(rectifiers.map(({ path }) => path.slice(0, path.lastIndexOf('/'))))
  const listed = [...lists].flatMap((list) => listedMembers(list, resources))
  return ['Input', 'Output'].flatMap((side) => {
    const pattern = new RegExp(`/Rectifier\\d+${side}Power$`)
    const expected = listed.filter((member) => pattern.test(member)).length
    const parts = rectifiers.filter(({ reading }) => reading.labels['side'] === side)
    if (expected === 0 || parts.length < expected) return []
    const value = parts.reduce((sum, { reading }) => sum + reading.value, 0)
    const labels = { ...crayPlace(bmc, 'Enclosure'), side }
    return [{ metric: 'cray_chassis_power_watts', labels, value }]
  })
}
