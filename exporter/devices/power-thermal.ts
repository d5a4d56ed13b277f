import type { MetricName, Reading } from '../metrics.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'

/** The older Redfish `Power` and `Thermal` of one chassis. */
export interface PowerThermal {
  labels: Record<string, string>
  power: unknown
  thermal: unknown
  /** Whether a newer resource of the same chassis gives it already. */
  known?: { supplies?: boolean; fans?: boolean; names?: ReadonlySet<string> }
}

/** Readings so far, and how many members of the lists had none. */
export interface Found {
  readings: Reading[]
  absent: number
  noReading: number
}

type Labels = Record<string, string>

/**
 * What is in them. Members with the state `Absent` are left out: iLO sends 0 for them. One that has
 * a newer twin is left out too.
 */
export function powerThermalReadings({ labels, power, thermal, known }: PowerThermal): Found {
  const found: Found = { readings: [], absent: 0, noReading: 0 }
  const names = known?.names ?? new Set()
  const lone = (list: string, body: unknown) =>
    listAt(body, list).filter((each) => !names.has(plainName(textAt(each, 'Name') ?? '')))
  for (const control of listAt(power, 'PowerControl')) addControl(found, labels, control)
  const supplies = known?.supplies ? [] : listAt(power, 'PowerSupplies')
  for (const supply of supplies) addSupply(found, labels, supply)
  addNamed(found, lone('Voltages', power), (member) => ({
    metric: 'cray_server_voltage_volts',
    labels: withContext(labels, member),
    value: numberAt(member, 'ReadingVolts'),
  }))
  addNamed(found, lone('Temperatures', thermal), (member) => ({
    metric: 'cray_server_temperature_celsius',
    labels: withContext(labels, member),
    value: numberAt(member, 'ReadingCelsius'),
  }))
  addNamed(found, known?.fans ? [] : lone('Fans', thermal), (fan) => fanReading(labels, fan))
  return found
}

/** A name as compared between resources: the same sensor is `CPU0_Temp` here, `CPU0 Temp` there. */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** Live power and its limits, and the mean, least and most of a window. */
function addControl(found: Found, labels: Labels, member: unknown): void {
  const own = { ...labels, control: memberId(member) }
  add(found, 'cray_server_power_watts', own, numberAt(member, 'PowerConsumedWatts'))
  const vendor = fieldAt(member, 'Oem', 'Vendor')
  add(found, 'cray_power_limit_watts', own, numberAt(member, 'PowerLimit', 'LimitInWatts'))
  add(found, 'cray_power_limit_min_watts', own, numberAt(vendor, 'PowerLimit', 'Min'))
  add(found, 'cray_power_limit_max_watts', own, numberAt(vendor, 'PowerLimit', 'Max'))
  const idle = numberAt(vendor, 'PowerIdleWatts')
  add(found, 'cray_node_idle_power_watts', labels, idle || undefined)
  const minutes = numberAt(member, 'PowerMetrics', 'IntervalInMin')
  const window = minutes === undefined ? own : { ...own, minutes: String(minutes) }
  for (const [stat, name] of Object.entries(windowStats)) {
    const value = numberAt(member, 'PowerMetrics', name)
    add(found, 'cray_server_power_window_watts', { ...window, stat }, value)
  }
}

const windowStats = {
  average: 'AverageConsumedWatts',
  min: 'MinConsumedWatts',
  max: 'MaxConsumedWatts',
}

function addSupply(found: Found, labels: Labels, member: unknown): void {
  if (isAbsent(member)) {
    found.absent++
    return
  }
  const hpe = fieldAt(member, 'Oem', 'Hpe')
  const bay = numberAt(hpe, 'BayNumber')?.toString() ?? memberId(member)
  const own = { ...labels, bay }
  const output = numberAt(member, 'PowerOutputWatts') ?? numberAt(member, 'LastPowerOutputWatts')
  add(found, 'cray_power_supply_input_volts', own, numberAt(member, 'LineInputVoltage'))
  add(found, 'cray_power_supply_output_watts', own, output)
  add(found, 'cray_power_supply_input_watts', own, numberAt(member, 'PowerInputWatts'))
  const window = 'cray_power_supply_output_window_watts'
  const average = numberAt(hpe, 'AveragePowerOutputWatts')
  add(found, window, { ...own, stat: 'average' }, average)
  add(found, window, { ...own, stat: 'max' }, numberAt(hpe, 'MaxPowerOutputWatts'))
}

type Wanted = Omit<Reading, 'value'> & { value: number | undefined }

/** Percent on iLO, turns a minute elsewhere, which is also the schema's older default. */
function fanReading(labels: Labels, fan: unknown): Wanted {
  const value = numberAt(fan, 'Reading') ?? numberAt(fan, 'ReadingRPM')
  if (textAt(fan, 'ReadingUnits') !== 'Percent') {
    return { metric: 'cray_fan_speed_rpm', labels, value }
  }
  return { metric: 'cray_fan_speed_ratio', labels, value: value && value / 100 }
}

/** Members are told by their names; those that share one, by their ids as well. */
function addNamed(
  found: Found,
  members: readonly unknown[],
  reading: (member: unknown) => Wanted,
): void {
  const counts = new Map<string, number>()
  for (const member of members) counts.set(nameOf(member), (counts.get(nameOf(member)) ?? 0) + 1)
  for (const member of members) {
    if (isAbsent(member)) {
      found.absent++
      continue
    }
    const { metric, labels, value } = reading(member)
    if (value === undefined) found.noReading++
    const name = nameOf(member)
    const own = (counts.get(name) ?? 0) > 1 ? { name, member: memberId(member) } : { name }
    add(found, metric, { ...labels, ...own }, value)
  }
}

function nameOf(member: unknown): string {
  return textAt(member, 'Name') ?? textAt(member, 'FanName') ?? memberId(member)
}

function withContext(labels: Labels, member: unknown): Labels {
  const context = textAt(member, 'PhysicalContext')
  return context === undefined ? labels : { ...labels, context }
}

function add(found: Found, metric: MetricName, labels: Labels, value: number | undefined): void {
  if (value !== undefined) found.readings.push({ metric, labels, value })
}

function isAbsent(member: unknown): boolean {
  return textAt(member, 'Status', 'State') === 'Absent'
}

/** `MemberId`, text or number, else the end of the member's own link. */
export function memberId(member: unknown): string {
  const id = fieldAt(member, 'MemberId')
  if (typeof id === 'number') return String(id)
  return textAt(member, 'MemberId') ?? textAt(member, '@odata.id')?.split('/').at(-1) ?? '0'
}
