import { type Reading, stateReadings } from '../metrics.ts'
import { numberAt, numericTextAt, textAt } from '../redfish/parse.ts'

/** A leak alarm. Only `Armed`, its state of rest, is documented; others are shown as they come. */
export function alarmReadings(labels: Record<string, string>, body: unknown): Reading[] {
  const state = textAt(body, 'AlarmState')
  const alarm = textAt(body, 'Id')
  if (state === undefined || alarm === undefined) return []
  const severity = textAt(body, 'Severity') ?? 'Unknown'
  return stateReadings('cray_leak_alarm_state', { ...labels, alarm, severity }, state, ['Armed'])
}

/**
 * A power limit of a node or accelerator, in watts. `PowerIdleWatts` is text, and "0" on blades
 * that do not know it.
 */
export function controlReadings(labels: Record<string, string>, body: unknown): Reading[] {
  const control = textAt(body, 'Id')
  if (control === undefined || textAt(body, 'ControlType') !== 'Power') return []
  const limit = { ...labels, control, mode: textAt(body, 'ControlMode') ?? 'Unknown' }
  const found: Reading[] = []
  const add = (metric: Reading['metric'], own: Record<string, string>, value?: number) => {
    if (value !== undefined) found.push({ metric, labels: own, value })
  }
  add('cray_power_limit_watts', limit, numberAt(body, 'SetPoint'))
  add('cray_power_limit_min_watts', limit, numberAt(body, 'SettingRangeMin'))
  add('cray_power_limit_max_watts', limit, numberAt(body, 'SettingRangeMax'))
  const idle = numericTextAt(body, 'Oem', 'Hpe', 'PowerIdleWatts')
  if (control === 'NodePowerLimit') add('cray_node_idle_power_watts', labels, idle || undefined)
  return found
}
