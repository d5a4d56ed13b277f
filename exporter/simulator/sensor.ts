import type { Seconds } from './load.ts'
import { addCollection, type Resources, resource, round } from './resources.ts'

/** A sensor of a Cray controller; its `Id` is put together from its place. */
export interface Sensor {
  /** Human text, not unique. */
  name: string
  type: keyof typeof types
  /** ParentalContext and ParentalIndex, PhysicalContext and Index, ... of the schema. */
  parent?: string
  parentIndex?: number
  context?: string
  index?: number
  line?: string
  side?: 'Input' | 'Output'
  designator?: string
  digits?: number
  /** Upper caution, critical and fatal. */
  upper?: readonly [number, number, number]
  /** The value at an instant; absent on a sensor that is never read, which shows no `Reading`. */
  read?: (at: Seconds) => number
}

/** How values of a type are shown, and how often the controller takes them. */
const types = {
  Power: { type: 'Power', units: 'W', digits: 0, every: 1 },
  Energy: { type: 'EnergyJoules', units: 'J', digits: 0, every: 1 },
  Voltage: { type: 'Voltage', units: 'V', digits: 3, every: 5 },
  Current: { type: 'Current', units: 'A', digits: 2, every: 5 },
  Temperature: { type: 'Temperature', units: 'Cel', digits: 1, every: 5 },
  Pressure: { type: 'Pressure', units: 'PSI', digits: 2, every: 5 },
} as const

/**
 * Adds the sensors of a chassis and their collection. Each is read on whole seconds plus `offset`
 * (0 up to 1), as its `ReadingTime` says.
 */
export function addSensors(
  resources: Resources,
  chassis: string,
  sensors: readonly Sensor[],
  offset: Seconds,
): void {
  const path = `${chassis}/Sensors`
  addCollection(resources, path, 'Sensor', sensors.map(sensorId))
  for (const sensor of sensors) {
    const sensorPath = `${path}/${sensorId(sensor)}`
    resources.set(sensorPath, sensorResource(sensorPath, sensor, offset))
  }
}

/** When a sensor that is read `every` seconds was last read. */
export function sampledAt(at: Seconds, every: Seconds, offset: Seconds): Seconds {
  return Math.floor((at - offset) / every) * every + offset
}

function sensorId(sensor: Sensor): string {
  const { parent, parentIndex, context, index, line, side, type } = sensor
  return [parent, parentIndex, context, index, line, side, type].join('')
}

function sensorResource(path: string, sensor: Sensor, offset: Seconds) {
  const fixed = { ...resource(path, 'Sensor.v1_1_0.Sensor', fixedProperties(sensor)) }
  const { read } = sensor
  if (!read) return () => fixed
  const { digits, every } = types[sensor.type]
  const fraction = offset.toFixed(9).slice(1)
  const shown =
    sensor.type === 'Energy' ? Math.floor : (value: number) => round(value, sensor.digits ?? digits)
  return (at: Seconds) => {
    const sampled = sampledAt(at, every, offset)
    return {
      ...fixed,
      Reading: shown(read(sampled)),
      ReadingTime: `${secondText(Math.floor(sampled))}${fraction}Z`,
    }
  }
}

function fixedProperties(sensor: Sensor): object {
  const { type, units } = types[sensor.type]
  const { parent, parentIndex, index, designator, upper } = sensor
  return definedOf({
    ElectricalContext: sensor.line,
    Id: sensorId(sensor),
    Name: sensor.name,
    Oem: definedOf({
      Index: index,
      ParentalContext: parent,
      ParentalIndex: parentIndex,
      ReferenceDesignator: designator,
    }),
    PhysicalContext: sensor.context,
    PhysicalSubContext: sensor.side,
    ReadingType: type,
    ReadingUnits: units,
    Thresholds: upper && thresholds(upper),
  })
}

function thresholds([caution, critical, fatal]: readonly [number, number, number]): object {
  const rising = (reading: number) => ({ Activation: 'Increasing', Reading: reading })
  return {
    UpperCaution: rising(caution),
    UpperCritical: rising(critical),
    UpperFatal: rising(fatal),
  }
}

function definedOf(properties: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}

let lastSecond = { second: Number.NaN, text: '' }

/** `2026-01-31T12:00:00`; most sensors ask for the second that was asked for last. */
function secondText(second: number): string {
  if (lastSecond.second !== second) {
    lastSecond = { second, text: new Date(second * 1000).toISOString().slice(0, 19) }
  }
  return lastSecond.text
}
