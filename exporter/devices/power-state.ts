import { type Reading, stateReadings } from '../metrics.ts'
import { textAt } from '../redfish/parse.ts'

/** Redfish Resource schema, `PowerState`. */
export const powerStates = ['On', 'Off', 'PoweringOn', 'PoweringOff']

/** `PowerState` of a chassis or system; an empty slot has none, whatever it says. */
export function powerStateReadings(labels: Record<string, string>, body: unknown): Reading[] {
  const state = textAt(body, 'PowerState')
  if (state === undefined || textAt(body, 'Status', 'State') === 'Absent') return []
  return stateReadings('cray_power_state', labels, state, powerStates, ['Paused'])
}
