import { parentXname } from '../inventory/xname.ts'
import type { MetricName, Reading } from '../metrics.ts'

/**
 * The files of `/sys/cray/pm_counters` as readings of the node: `747 W 1646860602500000 us` is a
 * value, a unit and a time, of which the last two may be missing. Which files there are differs by
 * node; `accel` without a number is that of XC systems.
 */
export function pmReadings(node: string, files: ReadonlyMap<string, string>): Reading[] {
  const labels = { xname: node, bmc: parentXname(node) ?? node, source: 'sysfs' }
  return [...files].flatMap(([file, text]): Reading[] => {
    if (file === 'startup') return startupReading(labels, text)
    const value = numberIn(text)
    if (value === undefined) return []
    if (file === 'freshness') return [{ metric: 'cray_pm_freshness_total', labels, value }]
    const counter = counterOf(file)
    return counter === undefined
      ? []
      : [{ metric: counter.metric, labels: { ...labels, domain: counter.domain }, value }]
  })
}

/** Without a domain in its name, a file tells of the whole node. */
function counterOf(file: string): { metric: MetricName; domain: string } | undefined {
  const match = /^(?:(?<domain>cpu\d*|memory|accel\d*)_)?(?<quantity>[a-z_]+)$/.exec(file)
  const metric = quantities[match?.groups?.['quantity'] ?? '']
  return metric && { metric, domain: match?.groups?.['domain'] ?? 'node' }
}

const quantities: Record<string, MetricName> = {
  energy: 'cray_pm_energy_joules_total',
  power: 'cray_pm_power_watts',
  power_cap: 'cray_pm_power_cap_watts',
  temp: 'cray_pm_temperature_celsius',
}

/** Changes when the controller restarts: energies are comparable only while it stays the same. */
function startupReading(labels: Record<string, string>, text: string): Reading[] {
  const startup = /^\s*(\d{1,20})/.exec(text)?.[1]
  if (startup === undefined) return []
  return [{ metric: 'cray_pm_startup_info', labels: { ...labels, startup }, value: 1 }]
}

function numberIn(text: string): number | undefined {
  const value = Number(/^\s*(-?\d+(?:\.\d+)?)(?:\s|$)/.exec(text)?.[1] ?? Number.NaN)
  return Number.isFinite(value) ? value : undefined
}
