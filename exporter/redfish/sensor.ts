import { fieldAt, numberAt, textAt } from './parse.ts'

export type Quantity = 'power' | 'energy' | 'voltage' | 'current' | 'temperature' | 'pressure'

/** A Redfish `Sensor` resource. */
export interface Sensor {
  id: string
  /** What it measures; undefined for what we have no unit for. */
  quantity: Quantity | undefined
  /** In base units: W, J, V, A, degrees Celsius, Pa. */
  reading: { value: number; takenAt: Date | undefined } | undefined
  /** Why there is no reading; see the metric `cray_sensors_without_reading`. */
  without: 'no_reading' | 'never_read' | undefined
  /** What tells it from its like: the labels of `cray_sensor_*`, those that it has. */
  place: Record<string, string>
}

/**
 * Parses a Sensor; `path` names it where it has no `Id`. A sensor that was never sampled has no
 * `Reading` at all, or the reading 0 of 1 January 1970 (seen on EX420, CMM, sC).
 */
export function parseSensor(body: unknown, path: string): Sensor {
  const { quantity, factor } = unitOf(body) ?? { quantity: undefined, factor: 1 }
  const value = numberAt(body, 'Reading')
  const takenAt = timeAt(body, 'ReadingTime')
  const neverRead = value === 0 && takenAt !== undefined && takenAt.getUTCFullYear() === 1970
  const read = value !== undefined && !neverRead
  return {
    id: textAt(body, 'Id') ?? path.slice(path.lastIndexOf('/') + 1),
    quantity,
    reading: read ? { value: value * factor, takenAt: plausible(takenAt) } : undefined,
    without: read ? undefined : neverRead ? 'never_read' : 'no_reading',
    place: placeOf(body),
  }
}

/** By its unit (UCUM, and the PSI of Cray controllers), else by its reading type. */
function unitOf(body: unknown): Unit | undefined {
  const unit = textAt(body, 'ReadingUnits')
  return (unit && units[unit]) || readingTypes[textAt(body, 'ReadingType') ?? '']
}

interface Unit {
  quantity: Quantity
  factor: number
}

const units: Record<string, Unit> = {
  W: { quantity: 'power', factor: 1 },
  J: { quantity: 'energy', factor: 1 },
  'kW.h': { quantity: 'energy', factor: 3.6e6 },
  'W.h': { quantity: 'energy', factor: 3600 },
  V: { quantity: 'voltage', factor: 1 },
  A: { quantity: 'current', factor: 1 },
  Cel: { quantity: 'temperature', factor: 1 },
  PSI: { quantity: 'pressure', factor: 6894.757293168 },
  kPa: { quantity: 'pressure', factor: 1000 },
  Pa: { quantity: 'pressure', factor: 1 },
}

/** Redfish Sensor schema, `ReadingType`, with the unit that the schema says goes with each. */
const readingTypes: Record<string, Unit> = {
  Power: { quantity: 'power', factor: 1 },
  EnergyJoules: { quantity: 'energy', factor: 1 },
  EnergykWh: { quantity: 'energy', factor: 3.6e6 },
  EnergyWh: { quantity: 'energy', factor: 3600 },
  Voltage: { quantity: 'voltage', factor: 1 },
  Current: { quantity: 'current', factor: 1 },
  Temperature: { quantity: 'temperature', factor: 1 },
  PressurekPa: { quantity: 'pressure', factor: 1000 },
  PressurePa: { quantity: 'pressure', factor: 1 },
}

function placeOf(body: unknown): Record<string, string> {
  const place: Record<string, string> = {}
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined) place[name] = value
  }
  const oem = fieldAt(body, 'Oem')
  const parent = textAt(oem, 'ParentalContext')
  add('name', textAt(body, 'Name'))
  add('parent', parent && `${parent}${numberAt(oem, 'ParentalIndex') ?? ''}`)
  add('context', textAt(body, 'PhysicalContext'))
  add('index', numberAt(oem, 'Index')?.toString())
  add('side', textAt(body, 'PhysicalSubContext'))
  add('line', textAt(body, 'ElectricalContext'))
  return place
}

/** Nine digits of nanoseconds are cut to milliseconds. */
function timeAt(body: unknown, name: string): Date | undefined {
  const text = textAt(body, name)
  const time = new Date(text ?? Number.NaN)
  return Number.isNaN(time.getTime()) ? undefined : time
}

/** A clock that was never set tells no time. */
function plausible(time: Date | undefined): Date | undefined {
  return time === undefined || time.getUTCFullYear() < 2000 ? undefined : time
}
