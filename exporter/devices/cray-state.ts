import { type Reading, stateReadings } from '../metrics.ts'
import { fieldAt, listAt, textAt } from '../redfish/parse.ts'
import { readingAt } from '../redfish/units.ts'
import { isPowerControl, limitReadings } from './standard-modules.ts'

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
  if (control === undefined || !isPowerControl(body)) return []
  const limits = limitReadings({ ...labels, control, mode: 'Unknown' }, body)
  const value = readingAt(body, 'Oem', 'Hpe', 'PowerIdleWatts')
  if (!value || control !== 'NodePowerLimit') return limits
  return [...limits, { metric: 'cray_node_idle_power_watts', labels, value }]
}

/**
 * The power limits of older node firmware (HPE's hms-capmc): `PowerControl[]` of a node's `Power`,
 * named `Node Power Control`, `Accelerator0 Power Control`. The names are those of newer firmware.
 */
export function oldLimitReadings(labels: Record<string, string>, body: unknown): Reading[] {
  return listAt(body, 'PowerControl').flatMap((member) => {
    const part = oldControl.exec(textAt(member, 'Name') ?? '')?.[1]
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

/** Whether `oldLimitReadings` tells of a member of `PowerControl[]`. */
export function isOldLimit(member: unknown): boolean {
  return oldControl.test(textAt(member, 'Name') ?? '')
}

const oldControl = /^(\w+) Power Control$/
