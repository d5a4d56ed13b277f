import { fieldAt, numberAt, textAt } from './parse.ts'
import { inBaseUnits, type Quantity, unitOf } from './units.ts'

/** A Redfish `Sensor` resource. */
export interface Sensor {
  id: string
  /** What it measures; undefined for what we have no unit for. */
  quantity: Quantity | undefined
  /** In base units: see `Unit`. */
  reading: { value: number; takenAt: Date | undefined } | undefined
  /** Why there is no reading; see the metric `cray_sensors_without_reading`. */
  without: 'absent' | 'no_reading' | 'never_read' | undefined
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
  const absent = textAt(body, 'Status', 'State') === 'Absent'
  const read = value !== undefined && !neverRead && !absent
  return {
    id: textAt(body, 'Id') ?? path.slice(path.lastIndexOf('/') + 1),
    quantity,
    reading: read ? { value: inBaseUnits(value, factor), takenAt: plausible(takenAt) } : undefined,
    without: read ? undefined : absent ? 'absent' : neverRead ? 'never_read' : 'no_reading',
    place: placeOf(body),
  }
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
