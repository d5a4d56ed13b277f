import type { Reading } from '../metrics.ts'
import type { WithoutReason } from '../redfish/sensor.ts'

/** How many sensors of a device gave no value, by reason. */
export type Without = Record<WithoutReason, number>

export function newWithout(): Without {
  return { absent: 0, no_reading: 0, never_read: 0, implausible: 0 }
}

/** The counts as readings; `labels` name the controller. The rare reasons only when they occur. */
export function withoutReadings(labels: Record<string, string>, without: Without): Reading[] {
  return Object.entries(without).flatMap(([reason, value]): Reading[] =>
    value === 0 && rare.has(reason)
      ? []
      : [{ metric: 'cray_sensors_without_reading', labels: { ...labels, reason }, value }],
  )
}

const rare = new Set<string>(['never_read', 'implausible'])
