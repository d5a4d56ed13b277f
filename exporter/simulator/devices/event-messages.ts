import { parentXname } from '../../inventory/xname.ts'
import { numberAt, textAt } from '../../redfish/parse.ts'
import type { Seconds } from '../load.ts'
import { root, type SimulatedDevice } from '../resources.ts'

/** A controller keeps no more than its last minute. */
const longestTale = 60

/**
 * The bodies that a controller posts at `to` about what its sensors took after `from`: all samples,
 * so most sensors come several times. As hms-hmcollector takes them: a body for each kind of sensor
 * with the subscription's context; switch controllers post one for all and leave the context out.
 */
export function eventBodies(
  device: Pick<SimulatedDevice, 'xname' | 'resources'>,
  { context, from, to }: { context: string; from: Seconds; to: Seconds },
): object[] {
  const byType = new Map<string, object[]>()
  for (const [path, read] of device.resources) {
    const [, chassis = '', type = ''] = sensorPath.exec(path) ?? []
    if (type === '') continue
    const taken = samplesOf(read, Math.max(from, to - longestTale), to)
    const sensors = byType.get(type) ?? []
    byType.set(type, sensors)
    sensors.push(...taken.map((sample) => message(sample, locationOf(device.xname, chassis))))
  }
  const source = sourceOf(device.xname)
  const events = [...byType]
    .filter(([, sensors]) => sensors.length > 0)
    .map(([type, sensors]) => ({
      EventTimestamp: new Date(to * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
      MessageId: `CrayTelemetry.${type}`,
      Message: 'See Oem/CrayPayload property',
      MessageArgs: [],
      Severity: 'OK',
      Oem: { Sensors: sensors, TelemetrySource: source },
    }))
  if (source === 'sC') return events.length > 0 ? [bodyOf(events)] : []
  return events.map((event) => ({ Context: context, ...bodyOf([event]) }))
}

/** The power state of each part of a controller that has one, by path. */
export function powerStates(
  { resources }: Pick<SimulatedDevice, 'resources'>,
  at: Seconds,
): Map<string, string> {
  const found = new Map<string, string>()
  for (const [path, read] of resources) {
    const state = partPath.test(path) ? textAt(read(at), 'PowerState') : undefined
    if (state !== undefined) found.set(path, state)
  }
  return found
}

const partPath = new RegExp(`^${root}/(?:Chassis|Systems)/[^/]+$`)

/** The body of what a controller tells when a part was turned on or off, as hms-smd takes it. */
export function powerStateBody(path: string, state: string, told: { context: string }): object {
  const event = {
    Severity: 'OK',
    Message: `The power state of resource ${path} has changed to type ${state}.`,
    MessageId: 'CrayAlerts.1.0.ResourcePowerStateChanged',
    MessageArgs: [path, state],
    OriginOfCondition: { '@odata.id': path },
  }
  return { Context: told.context, ...bodyOf([event]) }
}

const sensorPath = new RegExp(
  `^${root}/Chassis/([^/]+)/Sensors/[^/]*(Power|Energy|Voltage|Current|Temperature|Pressure)$`,
)

function bodyOf(events: readonly object[]): object {
  return { Events: events, 'Events@odata.count': events.length }
}

/** What a sensor showed at each second from `from` to `to`, as often as it was read anew. */
function samplesOf(read: (at: Seconds) => unknown, from: Seconds, to: Seconds): unknown[] {
  const found = new Map<string, unknown>()
  for (let at = to; at > from; at--) {
    const sensor = read(at)
    const time = textAt(sensor, 'ReadingTime') ?? ''
    if (Date.parse(time) > from * 1000) found.set(time, sensor)
  }
  return [...found.values()].reverse()
}

function message(sensor: unknown, location: string): object {
  const reading = numberAt(sensor, 'Reading') ?? 0
  return {
    Timestamp: textAt(sensor, 'ReadingTime'),
    Location: location,
    ParentalContext: textAt(sensor, 'Oem', 'ParentalContext'),
    ParentalIndex: numberAt(sensor, 'Oem', 'ParentalIndex'),
    PhysicalContext: textAt(sensor, 'PhysicalContext') ?? '',
    Index: numberAt(sensor, 'Oem', 'Index'),
    PhysicalSubContext: textAt(sensor, 'PhysicalSubContext'),
    DeviceSpecificContext: textAt(sensor, 'ElectricalContext'),
    Value: Number.isInteger(reading) ? String(reading) : reading.toFixed(4),
  }
}

/** Sensors of the chassis are at `x1000c0`, those of a card at its controller. */
function locationOf(xname: string, chassis: string): string {
  const node = /^Node(\d+)$/.exec(chassis)?.[1]
  if (node !== undefined) return `${xname}n${node}`
  return sourceOf(xname) === 'cC' ? (parentXname(xname) ?? xname) : xname
}

function sourceOf(xname: string): 'cC' | 'nC' | 'sC' {
  if (/^x\d+c\d+b\d+$/.test(xname)) return 'cC'
  return /r\d+b\d+$/.test(xname) ? 'sC' : 'nC'
}
