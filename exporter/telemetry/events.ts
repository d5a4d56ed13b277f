import { fieldAt, linkAt, listAt, numericTextAt, textAt } from '../redfish/parse.ts'

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

export type PushFault = 'no_value' | 'no_time' | 'too_many'

/**
 * power_state: a part was turned on or off; alert: of an alarm; resource: a part changed, came or
 * went.
 */
export const eventKinds = ['telemetry', 'power_state', 'alert', 'resource', 'other'] as const
export type EventKind = (typeof eventKinds)[number]

/** What a device posted to us. */
export interface PushedBody {
  /** That of the subscription; some devices leave it out. */
  context: string | undefined
  /** How many events, by kind. */
  events: ReadonlyMap<EventKind, number>
  samples: PushedSample[]
  /** Paths of resources that events other than telemetry are about. */
  changed: string[]
  /** What could not be used, by reason: samples, and events that were too many. */
  faults: ReadonlyMap<PushFault, number>
}

/** A controller pushes some hundred sensors, each a few times in a body. */
const mostSamples = 20_000
const mostEvents = 1000
const mostChanged = 16

/**
 * Reads the body of a CrayTelemetry event: HPE's hms-hmcollector. Sensors come several times in one
 * body, values as text; `Events` may be one object; events of other registries come as well.
 */
export function parsePush(body: unknown): PushedBody {
  const faults = new Map<PushFault, number>()
  const refuse = (fault: PushFault, count = 1) =>
    faults.set(fault, (faults.get(fault) ?? 0) + count)
  const samples: PushedSample[] = []
  const kinds = new Map<EventKind, number>()
  const changed = new Set<string>()
  const events = eventsOf(body)
  if (events.length > mostEvents) refuse('too_many', events.length - mostEvents)
  for (const event of events.slice(0, mostEvents)) {
    const type = telemetryType(event)
    const kind = type === undefined ? kindOf(event) : 'telemetry'
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    if (type === undefined) {
      for (const path of originsOf(event)) if (changed.size < mostChanged) changed.add(path)
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
  return { context: textAt(body, 'Context'), events: kinds, samples, changed: [...changed], faults }
}

/**
 * By the last part of its MessageId. `CrayAlerts.1.0.ResourcePowerStateChanged` comes of Cray
 * controllers, as hms-smd reads it; others say `ResourceEvent.1.0.ResourceChanged` (DSP8011).
 */
function kindOf(event: unknown): EventKind {
  const id = textAt(event, 'MessageId') ?? ''
  if (/PowerState|Powered(?:On|Off)/i.test(id)) return 'power_state'
  if (/^(?:ResourceEvent|TaskEvent)\./i.test(id)) return 'resource'
  return /Alert|Alarm|Leak/i.test(`${id} ${textAt(event, 'EventType')}`) ? 'alert' : 'other'
}

/**
 * What an event is about: a link, its text, or the first argument of its message. The power state
 * of a node stands in its system and in its chassis.
 */
function originsOf(event: unknown): string[] {
  const [argument] = listAt(event, 'MessageArgs')
  const path =
    linkAt(event, 'OriginOfCondition') ??
    [textAt(event, 'OriginOfCondition'), argument].find((text) => typeof text === 'string')
  if (typeof path !== 'string' || !path.startsWith('/')) return []
  const [, part] = /^\/redfish\/v1\/(?:Systems|Chassis)\/([^/]+)\/?$/.exec(path) ?? []
  if (part === undefined) return [path]
  return [`/redfish/v1/Systems/${part}`, `/redfish/v1/Chassis/${part}`]
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
