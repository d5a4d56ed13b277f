import type { MetricName, Reading } from '../metrics.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'
import { isImplausible, type Quantity, readingAt } from '../redfish/units.ts'
import type { SameSource, Side } from './same-source.ts'
import type { SensorNames } from './sensor-names.ts'
import type { Without } from './without-reading.ts'

type Labels = Record<string, string>

/** The older Redfish `Power` and `Thermal` of one chassis. */
export interface PowerThermal {
  labels: Labels
  power: unknown
  thermal: unknown
  /** Learns of members without a value. */
  without: Without
  /** What newer resources of the same chassis have shown. */
  known?: Known
}

export interface Known {
  names: SensorNames
  sources: SameSource
  /** How many newer fans tell of each speed. */
  fans: Record<FanMetric, number>
  /** The newer readings of supplies, and of limits. */
  readings: readonly Reading[]
  /** `Id`, `Name` and serial number of each newer supply, in order. */
  supplies: readonly Supply[]
}

export interface Supply {
  bay: string
  name: string | undefined
  serial: string | undefined
}

/**
 * What is in them. Members with the state `Absent` are left out: iLO sends 0 for them. What has
 * a newer twin is left out too.
 */
export function powerThermalReadings(old: PowerThermal): Reading[] {
  const { labels, power, thermal, known } = old
  const named = (list: unknown, quantity: Quantity, reading: (member: unknown) => Wanted) => {
    const isKnown = (member: unknown) =>
      known?.names.has(quantity, givenName(member)) || known?.sources.has(quantity, member)
    const lone = listAt(list).filter((member) => !isKnown(member))
    return namedReadings(lone, quantity, old.without, reading)
  }
  const controls = listAt(power, 'PowerControl')
  return [
    ...withIds(controls).flatMap(([control, member]) => {
      const name = controls.length > 1 ? givenName(member) : undefined
      const of = name === undefined ? { control } : { control, name }
      return controlReadings(labels, of, member, known)
    }),
    ...supplyReadings(old),
    ...named(fieldAt(power, 'Voltages'), 'voltage', (member) => ({
      metric: 'cray_server_voltage_volts',
      labels: withContext(labels, member),
      value: readingAt(member, 'ReadingVolts'),
    })),
    ...named(fieldAt(thermal, 'Temperatures'), 'temperature', (member) => ({
      metric: 'cray_server_temperature_celsius',
      labels: withContext(labels, member),
      value: readingAt(member, 'ReadingCelsius') ?? readingAt(member, 'CurrentReading'),
    })),
    ...named(ownFans(listAt(thermal, 'Fans'), known), 'fan', (fan) => fanReading(labels, fan)),
  ]
}

interface Control {
  control: string
  /** Where there are several. */
  name?: string
}

/** Live power and its limits, and the mean, least and most of a window. */
function controlReadings(labels: Labels, of: Control, member: unknown, known?: Known): Reading[] {
  if (isAbsent(member)) return []
  const own = { ...labels, ...of }
  const vendor = fieldAt(member, 'Oem', 'Vendor')
  const minutes = numberAt(member, 'PowerMetrics', 'IntervalInMin')
  const window = minutes === undefined ? own : { ...own, minutes: String(minutes) }
  const idle = readingAt(vendor, 'PowerIdleWatts') || undefined
  const limit = (metric: MetricName, value: number | undefined) =>
    known?.readings.some((newer) => newer.metric === metric && newer.value === value)
      ? []
      : shown(metric, { ...labels, control: of.control }, value)
  return [
    ...shown('cray_server_power_watts', own, readingAt(member, 'PowerConsumedWatts')),
    ...limit('cray_power_limit_watts', readingAt(member, 'PowerLimit', 'LimitInWatts')),
    ...limit('cray_power_limit_min_watts', readingAt(vendor, 'PowerLimit', 'Min')),
    ...limit('cray_power_limit_max_watts', readingAt(vendor, 'PowerLimit', 'Max')),
    ...shown('cray_node_idle_power_watts', labels, idle),
    ...Object.entries(windowStats).flatMap(([stat, name]) => {
      const value = readingAt(member, 'PowerMetrics', name)
      return shown('cray_server_power_window_watts', { ...window, stat }, value)
    }),
  ]
}

const windowStats = {
  average: 'AverageConsumedWatts',
  min: 'MinConsumedWatts',
  max: 'MaxConsumedWatts',
}

/** A supply with a newer twin has that one's label, and only what the twin does not tell. */
function supplyReadings({ labels, power, known, without }: PowerThermal): Reading[] {
  const members = withIds(listAt(power, 'PowerSupplies'))
  return members.flatMap(([id, member], index) => {
    if (isAbsent(member)) {
      if (known === undefined || known.supplies.length === 0) without.absent++
      return []
    }
    const twin = twinOf(member, known?.supplies ?? [], { index, count: members.length })
    const all = oneSupply({ labels, member, without, bay: twin?.bay ?? bayOf(member) ?? id })
    return all.filter(({ metric }) => {
      const measured = measuredBy[metric]
      if (measured && known?.sources.has(measured[0], member, measured[1])) return false
      return !known?.readings.some(
        (newer) => newer.metric === metric && newer.labels['bay'] === twin?.bay,
      )
    })
  })
}

/** What a sensor may tell as well. */
const measuredBy: Partial<Record<MetricName, readonly [Quantity, Side]>> = {
  cray_power_supply_input_volts: ['voltage', 'Input'],
  cray_power_supply_input_watts: ['power', 'Input'],
  cray_power_supply_output_watts: ['power', 'Output'],
}

/** By serial number or name, else by order where there are as many. */
function twinOf(
  member: unknown,
  newer: readonly Supply[],
  { index, count }: { index: number; count: number },
): Supply | undefined {
  const serial = textAt(member, 'SerialNumber')
  const name = textAt(member, 'Name')
  const sameSerial = newer.filter((each) => serial !== undefined && each.serial === serial)
  const sameName = newer.filter((each) => name !== undefined && each.name === name)
  const [found] = [sameSerial, sameName].find((each) => each.length === 1) ?? []
  return found ?? (newer.length === count ? newer[index] : undefined)
}

function bayOf(member: unknown): string | undefined {
  return numberAt(member, 'Oem', 'Hpe', 'BayNumber')?.toString()
}

interface OneSupply {
  labels: Labels
  member: unknown
  bay: string
  without: Without
}

/** The two outputs have one meaning in two versions of the schema. */
function oneSupply({ labels, member, bay, without }: OneSupply): Reading[] {
  const own = { ...labels, bay }
  const hpe = fieldAt(member, 'Oem', 'Hpe')
  const output = readingAt(member, 'PowerOutputWatts')
  const last = readingAt(member, 'LastPowerOutputWatts')
  const volts = readingAt(member, 'LineInputVoltage')
  const isLine = volts === undefined || isPlausibleLine(volts)
  if (!isLine) without.implausible++
  const window = (stat: string, value: number | undefined) =>
    shown('cray_power_supply_output_window_watts', { ...own, stat }, value)
  return [
    ...shown('cray_power_supply_input_volts', own, isLine ? volts : undefined),
    ...shown('cray_power_supply_output_watts', own, output ?? last),
    ...shown('cray_power_supply_input_watts', own, readingAt(member, 'PowerInputWatts')),
    ...window('average', readingAt(hpe, 'AveragePowerOutputWatts')),
    ...window('max', readingAt(hpe, 'MaxPowerOutputWatts')),
    ...(output === last || output === undefined ? [] : window('last', last)),
  ]
}

/** No line, or one from 48 V DC to 480 V AC; Intel servers tell of 572 and of 13 V. */
function isPlausibleLine(volts: number): boolean {
  return volts === 0 || (Math.abs(volts) >= 30 && Math.abs(volts) <= 500)
}

type Wanted = Omit<Reading, 'value'> & { value: number | undefined }

type FanMetric = 'cray_fan_speed_ratio' | 'cray_fan_speed_rpm'

/** Where as many newer fans tell of the same speed, they are the same fans under other names. */
function ownFans(fans: readonly unknown[], known?: Known): readonly unknown[] {
  if (known === undefined) return fans
  const counts = { cray_fan_speed_ratio: 0, cray_fan_speed_rpm: 0 }
  for (const fan of fans) if (!isAbsent(fan)) counts[fanMetric(fan)]++
  return fans.filter((fan) => {
    const metric = fanMetric(fan)
    return known.fans[metric] === 0 || known.fans[metric] !== counts[metric]
  })
}

/** Percent on iLO, turns a minute elsewhere, which is also the schema's older default. */
function fanMetric(fan: unknown): FanMetric {
  const units = textAt(fan, 'ReadingUnits') ?? textAt(fan, 'Units') ?? ''
  return /^(percent|%)$/i.test(units) ? 'cray_fan_speed_ratio' : 'cray_fan_speed_rpm'
}

function fanReading(labels: Labels, fan: unknown): Wanted {
  const metric = fanMetric(fan)
  const value =
    readingAt(fan, 'Reading') ?? readingAt(fan, 'ReadingRPM') ?? readingAt(fan, 'CurrentReading')
  const isShare = metric === 'cray_fan_speed_ratio'
  return { metric, labels, value: isShare && value !== undefined ? value / 100 : value }
}

/** Members are told by their names; those that share one, by their ids as well. */
function namedReadings(
  members: readonly unknown[],
  quantity: Quantity,
  without: Without,
  reading: (member: unknown) => Wanted,
): Reading[] {
  const counts = new Map<string, number>()
  for (const member of members) counts.set(nameOf(member), (counts.get(nameOf(member)) ?? 0) + 1)
  return withIds(members).flatMap(([id, member]) => {
    const { metric, labels, value } = reading(member)
    const reason = isAbsent(member)
      ? 'absent'
      : value === undefined
        ? 'no_reading'
        : isImplausible(quantity, value)
          ? 'implausible'
          : undefined
    if (reason !== undefined) without[reason]++
    const name = nameOf(member)
    const own = (counts.get(name) ?? 0) > 1 ? { name, member: id } : { name }
    return reason === undefined ? shown(metric, { ...labels, ...own }, value) : []
  })
}

function givenName(member: unknown): string | undefined {
  return textAt(member, 'Name') ?? textAt(member, 'FanName')
}

function nameOf(member: unknown): string {
  return givenName(member) ?? memberId(member)
}

function withContext(labels: Labels, member: unknown): Labels {
  const context = textAt(member, 'PhysicalContext')
  return context === undefined ? labels : { ...labels, context }
}

function shown(metric: MetricName, labels: Labels, value: number | undefined): Reading[] {
  return value === undefined ? [] : [{ metric, labels, value }]
}

function isAbsent(member: unknown): boolean {
  return textAt(member, 'Status', 'State') === 'Absent'
}

/** Each with its id; one that has none or shares it is told by its place in the list. */
function withIds(members: readonly unknown[]): [id: string, member: unknown][] {
  const ids = members.map((member) => knownId(member))
  return members.map((member, index) => {
    const id = ids[index]
    return [id === undefined || ids.indexOf(id) < index ? String(index) : id, member]
  })
}

/** `MemberId`, text or number, else the end of the member's own link. */
export function memberId(member: unknown): string {
  return knownId(member) ?? '0'
}

function knownId(member: unknown): string | undefined {
  const id = fieldAt(member, 'MemberId')
  if (typeof id === 'number') return String(id)
  return textAt(member, 'MemberId') ?? textAt(member, '@odata.id')?.split('/').at(-1)
}
