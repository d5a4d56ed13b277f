import type { MetricName, Reading } from '../metrics.ts'
import { listedMembers } from '../redfish/collection.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { anySensorReadings } from './any-sensor.ts'
import { crayPlace } from './cray-place.ts'

/** The sensors among a controller's resources, as readings. */
export function sensorReadings(bmc: string, resources: ReadonlyMap<string, unknown>): Reading[] {
  const found: Reading[] = []
  const without = { absent: 0, no_reading: 0, never_read: 0 }
  for (const [path, body] of resources) {
    const chassis = sensorPath.exec(path)?.groups?.['chassis']
    if (chassis === undefined) continue
    const sensor = parseSensor(body, path)
    if (sensor.without !== undefined) without[sensor.without]++
    found.push(...readingsOf(bmc, chassis, sensor))
  }
  const labels = { xname: bmc, bmc, source: 'redfish' }
  for (const [reason, value] of Object.entries(without)) {
    found.push({ metric: 'cray_sensors_without_reading', labels: { ...labels, reason }, value })
  }
  return [...found, ...chassisPower(bmc, found, resources)]
}

const sensorPath = /^\/redfish\/v1\/Chassis\/(?<chassis>[^/]+)\/Sensors\/(?<sensor>[^/]+)$/

/** Power and energy that a system is watched by; regulators deep in a node can wait. */
export function isFastSensor(path: string): boolean {
  const { chassis = '', sensor = '' } = sensorPath.exec(path)?.groups ?? {}
  if (!/(Power|Energy)$/.test(sensor)) return false
  return chassis === 'Enclosure' || ownMetric(chassis, sensor) !== undefined
}

/** Sensors that have a metric of their own; what the pattern names becomes a label. */
const ownMetrics: readonly { chassis: RegExp; sensor: RegExp; metric: MetricName }[] = [
  {
    chassis: /^Node\d+$/,
    sensor: /^ChassisVoltageRegulator0InputEnergy$/,
    metric: 'cray_node_energy_joules_total',
  },
  {
    chassis: /^Node\d+$/,
    sensor: /^ChassisVoltageRegulator0InputPower$/,
    metric: 'cray_node_power_watts',
  },
  {
    chassis: /^Node\d+$/,
    sensor: /^Chassis(?<domain>CPU|Memory)Subsystem0OutputEnergy$/,
    metric: 'cray_domain_energy_joules_total',
  },
  {
    chassis: /^Node\d+$/,
    sensor: /^Chassis(?<domain>CPU|Memory)Subsystem0OutputPower$/,
    metric: 'cray_domain_power_watts',
  },
  {
    chassis: /^Node\d+$/,
    sensor: /^GPUSubsystem(?:Accelerator|GPU)(?<accelerator>\d+)Power$/,
    metric: 'cray_accelerator_power_watts',
  },
  {
    chassis: /^Enclosure$/,
    sensor: /^Rectifier(?<rectifier>\d+)(?<side>Input|Output)Power$/,
    metric: 'cray_rectifier_power_watts',
  },
  {
    chassis: /^Enclosure$/,
    sensor: /^Rectifier(?<rectifier>\d+)(?<line>Line\d)?(?<side>Input|Output)Current$/,
    metric: 'cray_rectifier_current_amperes',
  },
  {
    chassis: /^Enclosure$/,
    sensor: /^Rectifier(?<rectifier>\d+)(?<line>Line\dToLine\d)?(?<side>Input|Output)Voltage$/,
    metric: 'cray_rectifier_voltage_volts',
  },
]

function ownMetric(chassis: string, sensor: string) {
  for (const own of ownMetrics) {
    const match = own.chassis.test(chassis) ? own.sensor.exec(sensor) : null
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

function readingsOf(bmc: string, chassis: string, sensor: Sensor): Reading[] {
  if (sensor.reading === undefined) return []
  const { value, takenAt } = sensor.reading
  const place = crayPlace(bmc, chassis, sensor.id)
  const leak = /^cabinet_(.+)_leak_detect$/.exec(sensor.place['name'] ?? '')?.[1]
  if (leak !== undefined && sensor.quantity === 'voltage') {
    return [{ metric: 'cray_leak_detector_volts', labels: { ...place, position: leak }, value }]
  }
  const own = ownMetric(chassis, sensor.id)
  const names = { chassis, sensor: sensor.id }
  if (own === undefined) return anySensorReadings({ ...place, ...names }, sensor)
  const reading = { metric: own.metric, labels: { ...place, ...own.labels }, value }
  if (takenAt === undefined || !own.metric.startsWith('cray_node_')) return [reading]
  const time = {
    metric: 'cray_sensor_reading_timestamp_seconds',
    labels: { ...place, ...names },
    value: takenAt.getTime() / 1000,
  } as const
  return [reading, time]
}

/**
 * A CMM has no sensor for its whole chassis. The sum of the rectifiers is given only when each
 * that the chassis lists has a reading: a sum with one missing would look like less power.
 */
function chassisPower(
  bmc: string,
  found: readonly Reading[],
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const listed = listedMembers('/redfish/v1/Chassis/Enclosure/Sensors', resources)
  return ['Input', 'Output'].flatMap((side) => {
    const rectifier = new RegExp(`/Rectifier\\d+${side}Power$`)
    const expected = listed.filter((member) => rectifier.test(member)).length
    const parts = found.filter(
      ({ metric, labels }) => metric === 'cray_rectifier_power_watts' && labels['side'] === side,
    )
    if (expected === 0 || parts.length < expected) return []
    const value = parts.reduce((sum, part) => sum + part.value, 0)
    const labels = { ...crayPlace(bmc, 'Enclosure'), side }
    return [{ metric: 'cray_chassis_power_watts', labels, value }]
  })
}
