import type { MetricName, Reading } from '../metrics.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'

/** Readings so far, and how many members of the lists had none. */
interface Found {
  readings: Reading[]
  absent: number
  noReading: number
}

/**
 * The older Redfish `Power` and `Thermal` of a rack server, as readings of the node. Members with
 * the state `Absent` are left out: iLO sends 0 for them.
 */
export function powerThermalReadings(
  labels: Record<string, string>,
  power: unknown,
  thermal: unknown,
): Reading[] {
  const found: Found = { readings: [], absent: 0, noReading: 0 }
  for (const control of listAt(power, 'PowerControl')) addControl(found, labels, control)
  for (const supply of listAt(power, 'PowerSupplies')) addSupply(found, labels, supply)
  for (const voltage of listAt(power, 'Voltages')) {
    const metric = 'cray_server_voltage_volts'
    addNamed(found, { metric, labels, member: voltage, value: numberAt(voltage, 'ReadingVolts') })
  }
  for (const temperature of listAt(thermal, 'Temperatures')) {
    const metric = 'cray_server_temperature_celsius'
    const value = numberAt(temperature, 'ReadingCelsius')
    addNamed(found, { metric, labels, member: temperature, value })
  }
  for (const fan of listAt(thermal, 'Fans')) addFan(found, labels, fan)
  const without = { absent: found.absent, no_reading: found.noReading }
  for (const [reason, value] of Object.entries(without)) {
    const own = { ...labels, xname: labels['bmc'] ?? '', reason }
    found.readings.push({ metric: 'cray_sensors_without_reading', labels: own, value })
  }
  return found.readings
}

/** Live power, and the mean, least and most of a window as long as the device says. */
function addControl(found: Found, labels: Record<string, string>, member: unknown): void {
  const own = { ...labels, control: memberId(member) }
  add(found, 'cray_server_power_watts', own, numberAt(member, 'PowerConsumedWatts'))
  const minutes = numberAt(member, 'PowerMetrics', 'IntervalInMin')
  if (minutes === undefined) return
  for (const [stat, name] of Object.entries(windowStats)) {
    const value = numberAt(member, 'PowerMetrics', name)
    const window = { ...own, stat, minutes: String(minutes) }
    add(found, 'cray_server_power_window_watts', window, value)
  }
}

const windowStats = {
  average: 'AverageConsumedWatts',
  min: 'MinConsumedWatts',
  max: 'MaxConsumedWatts',
}

function addSupply(found: Found, labels: Record<string, string>, member: unknown): void {
  if (isAbsent(member)) {
    found.absent++
    return
  }
  const bay = numberAt(member, 'Oem', 'Hpe', 'BayNumber')?.toString() ?? memberId(member)
  const own = { ...labels, bay }
  const output = numberAt(member, 'PowerOutputWatts') ?? numberAt(member, 'LastPowerOutputWatts')
  add(found, 'cray_power_supply_input_volts', own, numberAt(member, 'LineInputVoltage'))
  add(found, 'cray_power_supply_output_watts', own, output)
  add(found, 'cray_power_supply_input_watts', own, numberAt(member, 'PowerInputWatts'))
}

/** Percent on iLO, turns a minute elsewhere, which is also the schema's older default. */
function addFan(found: Found, labels: Record<string, string>, member: unknown): void {
  const reading = numberAt(member, 'Reading')
  const percent = textAt(member, 'ReadingUnits') === 'Percent'
  const metric = percent ? 'cray_fan_speed_ratio' : 'cray_fan_speed_rpm'
  const value = reading !== undefined && percent ? reading / 100 : reading
  addNamed(found, { metric, labels, member, value })
}

interface Named {
  metric: MetricName
  labels: Record<string, string>
  member: unknown
  value: number | undefined
}

function addNamed(found: Found, { metric, labels, member, value }: Named): void {
  if (isAbsent(member)) {
    found.absent++
    return
  }
  if (value === undefined) found.noReading++
  const own: Record<string, string> = {
    ...labels,
    name: textAt(member, 'Name') ?? memberId(member),
  }
  const context = textAt(member, 'PhysicalContext')
  if (context !== undefined && !metric.startsWith('cray_fan')) own['context'] = context
  add(found, metric, own, value)
}

function add(
  found: Found,
  metric: MetricName,
  labels: Record<string, string>,
  value: number | undefined,
): void {
  if (value !== undefined) found.readings.push({ metric, labels, value })
}

function isAbsent(member: unknown): boolean {
  return textAt(member, 'Status', 'State') === 'Absent'
}

/** `MemberId`, text or number, else the end of the member's own link. */
function memberId(member: unknown): string {
  const id = fieldAt(member, 'MemberId')
  if (typeof id === 'number') return String(id)
  return textAt(member, 'MemberId') ?? textAt(member, '@odata.id')?.split('/').at(-1) ?? '0'
}
