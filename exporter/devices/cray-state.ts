import { type Reading, stateReadings } from '../metrics.ts'
import { fieldAt, listAt, numberAt, numericTextAt, textAt } from '../redfish/parse.ts'

/** A leak alarm. Only `Armed`, its state of rest, is documented; another is shown as it comes. */
export function alarmReadings(labels: Record<string, string>, body: unknown): Reading[] {
  const state = textAt(body, 'AlarmState')
  const alarm = textAt(body, 'Id')
  if (state === undefined || alarm === undefined) return []
  const severity = textAt(body, 'Severity') ?? 'Unknown'
  const own = { ...labels, alarm, severity }
  return stateReadings('cray_leak_alarm_state', own, state, ['Armed'], [state])
}

/** How many alarms the controller itself lists: on EX4252 the alarms answer only errors. */
export function triggeredReadings(labels: Record<string, string>, body: unknown): Reading[] {
  const triggered = fieldAt(body, 'Oem', 'TriggeredAlarms')
  if (!Array.isArray(triggered)) return []
  return [{ metric: 'cray_triggered_alarms', labels, value: triggered.length }]
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

/**
 * The power limits of older node firmware (HPE's hms-capmc): `PowerControl[]` of a node's `Power`,
 * named `Node Power Control`, `Accelerator0 Power Control`. The names are those of newer firmware.
 */
export function oldLimitReadings(labels: Record<string, string>, body: unknown): Reading[] {
  return listAt(body, 'PowerControl').flatMap((member) => {
    const part = /^(\w+) Power Control$/.exec(textAt(member, 'Name') ?? '')?.[1]
    if (part === undefined) return []
    const limits = fieldAt(member, 'Oem', 'Cray', 'PowerLimit')
    return controlReadings(labels, {
      Id: `${part}PowerLimit`,
      ControlType: 'Power',
      SetPoint: fieldAt(member, 'PowerLimit', 'LimitInWatts'),
      SettingRangeMin: fieldAt(limits, 'Min'),
      SettingRangeMax: fieldAt(limits, 'Max'),
      Oem: { Hpe: { PowerIdleWatts: fieldAt(member, 'Oem', 'Cray', 'PowerIdleWatts') } },
    })
  })
}
