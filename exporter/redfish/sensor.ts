import { fieldAt, numberAt, textAt } from './parse.ts'
import { fromUnit, isImplausible, type Quantity, readingAt, unitOf } from './units.ts'

/**
 * Why a sensor gives no value: `absent` (not fitted), `no_reading` (none in the answer),
 * `never_read` (0 with a time of 1970) or `implausible`.
 */
export type WithoutReason = 'absent' | 'no_reading' | 'never_read' | 'implausible'

/** A Redfish `Sensor` resource. */
export interface Sensor {
  id: string
  /** What it measures; undefined for what we have no unit for. */
  quantity: Quantity | undefined
  /** In base units: see `Unit`. */
  reading: { value: number; takenAt: Date | undefined } | undefined
  /** Why there is no reading; see the metric `cray_sensors_without_reading`. */
  without: WithoutReason | undefined
  /** What tells it from its like: the labels of `cray_sensor_*`, those that it has. */
  place: Record<string, string>
}

/**
 * Parses a Sensor; `path` names it where it has no `Id`. A sensor that was never sampled has no
 * `Reading` at all, or the reading 0 of 1 January 1970 (seen on EX420, CMM, sC).
 */
export function parseSensor(body: unknown, path: string): Sensor {
  const unit = unitOf(body)
  const raw = readingAt(body, 'Reading')
  const takenAt = timeAt(body, 'ReadingTime')
  const value = raw === undefined || unit === undefined ? raw : fromUnit(raw, unit)
  const without = withoutReason(body, { raw, value, takenAt, quantity: unit?.quantity })
  const isRead = value !== undefined && without === undefined
  return {
    id: textAt(body, 'Id') ?? path.slice(path.lastIndexOf('/') + 1),
    quantity: unit?.quantity,
    reading: isRead ? { value, takenAt: plausible(takenAt) } : undefined,
    without,
    place: placeOf(body),
  }
}

interface Parsed {
  raw: number | undefined
  value: number | undefined
  takenAt: Date | undefined
  quantity: Quantity | undefined
}

function withoutReason(
  body: unknown,
  { raw, value, takenAt, quantity }: Parsed,
): WithoutReason | undefined {
  if (textAt(body, 'Status', 'State') === 'Absent') return 'absent'
  if (raw === 0 && takenAt?.getUTCFullYear() === 1970) return 'never_read'
  if (value === undefined) return 'no_reading'
  return quantity !== undefined && isImplausible(quantity, value) ? 'implausible' : undefined
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
