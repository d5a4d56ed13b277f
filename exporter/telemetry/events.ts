import { fieldAt, listAt, numericTextAt, textAt } from '../redfish/parse.ts'

/** One sample of one sensor, as a device pushed it. */
export interface PushedSample {
  /** The xname of the place that the sensor is of, in lower case. */
  location: string
  /** The `Id` of the same sensor when it is polled. */
  sensor: string
  /** By the device's clock. */
  deviceMs: number
  /** In the unit that the sensor has when it is polled. */
  value: number
}

export type PushFault = 'not_telemetry' | 'no_value' | 'no_time' | 'too_many'

/** What a device posted to us. */
export interface PushedBody {
  /** That of the subscription; some devices leave it out. */
  context: string | undefined
  events: number
  samples: PushedSample[]
  /** What could not be used, by reason: events without telemetry, and samples. */
  faults: ReadonlyMap<PushFault, number>
}

/** A controller pushes some hundred sensors, each a few times in a body. */
const mostSamples = 20_000
const mostEvents = 1000

/**
 * Reads the body of a CrayTelemetry event: HPE's hms-hmcollector. Sensors come several times in one
 * body, values as text; `Events` may be one object; events of other registries come as well.
 */
export function parsePush(body: unknown): PushedBody {
  const faults = new Map<PushFault, number>()
  const refuse = (fault: PushFault, count = 1) =>
    faults.set(fault, (faults.get(fault) ?? 0) + count)
  const samples: PushedSample[] = []
  const events = eventsOf(body)
  if (events.length > mostEvents) refuse('too_many', events.length - mostEvents)
  for (const event of events.slice(0, mostEvents)) {
    const type = telemetryType(event)
    if (type === undefined) {
      refuse('not_telemetry')
      continue
    }
    const sensors = listAt(event, 'Oem', 'Sensors')
    const room = mostSamples - samples.length
    if (sensors.length > room) refuse('too_many', sensors.length - room)
    for (const sensor of sensors.slice(0, room)) {
      const sample = parseSample(sensor, type)
      if (typeof sample === 'string') refuse(sample)
      else samples.push(sample)
    }
  }
  return { context: textAt(body, 'Context'), events: events.length, samples, faults }
}

/** OpenBMC sends one event without a list around it. */
function eventsOf(body: unknown): readonly unknown[] {
  const events = fieldAt(body, 'Events')
  if (Array.isArray(events)) return events
  return typeof events === 'object' && events !== null ? [events] : []
}

/** `CrayTelemetry.Power` -> `Power`; a version may stand between them. */
function telemetryType(event: unknown): string | undefined {
  return /^CrayTelemetry\.(?:[\d.]+\.)?(\w+)$/.exec(textAt(event, 'MessageId') ?? '')?.[1]
}

function parseSample(sensor: unknown, type: string): PushedSample | PushFault {
  const value = numericTextAt(sensor, 'Value')
  if (value === undefined) return 'no_value'
  const deviceMs = Date.parse(textAt(sensor, 'Timestamp') ?? '')
  if (Number.isNaN(deviceMs)) return 'no_time'
  const location = (textAt(sensor, 'Location') ?? '').toLowerCase()
  return { location, sensor: sensorId(sensor, type), deviceMs, value }
}

/** What an `Id` is put together from, by the names that an event has for it, in that order. */
function sensorId(sensor: unknown, type: string): string {
  const text = (name: string) => textAt(sensor, name) ?? ''
  const index = (name: string) => numericTextAt(sensor, name) ?? ''
  return [
    text('ParentalContext') + index('ParentalIndex'),
    text('PhysicalContext') + index('Index'),
    text('DeviceSpecificContext'),
    text('PhysicalSubContext') + index('SubIndex'),
    type,
  ].join('')
}
