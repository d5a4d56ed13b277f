import { parentXname } from '../inventory/xname.ts'
import type { MetricName, Reading } from '../metrics.ts'
import { fromUnit, type Quantity, unitNamed } from '../redfish/units.ts'

/**
 * The files of `/sys/cray/pm_counters` as readings of the node: `747 W 1646860602500000 us` is a
 * value, a unit and a time, of which the last two may be missing. Which files there are differs by
 * node; `accel` without a number is that of XC systems.
 */
export function pmReadings(node: string, files: ReadonlyMap<string, string>): Reading[] {
  const labels = { xname: node, bmc: parentXname(node) ?? node, source: 'sysfs' }
  return [...files].flatMap(([file, text]): Reading[] => {
    if (file === 'startup') return startupReading(labels, text)
    if (file === 'freshness') {
      const value = numberIn(text)
      return value === undefined ? [] : [{ metric: 'cray_pm_freshness_total', labels, value }]
    }
    const counter = counterOf(file)
    const value = counter && numberIn(text, counter.quantity)
    if (counter === undefined || value === undefined) return []
    const { metric, domain } = counter
    return [{ metric, labels: { ...labels, domain }, value }]
  })
}

interface Counter {
  metric: MetricName
  quantity: Quantity
}

/** Without a domain in its name, a file tells of the whole node. */
function counterOf(file: string): (Counter & { domain: string }) | undefined {
  const match = /^(?:(?<domain>cpu\d*|memory\d*|accel\d*)_)?(?<quantity>[a-z_]+)$/.exec(file)
  const counter = quantities[match?.groups?.['quantity'] ?? '']
  return counter && { ...counter, domain: match?.groups?.['domain'] ?? 'node' }
}

const quantities: Record<string, Counter> = {
  energy: { metric: 'cray_pm_energy_joules_total', quantity: 'energy' },
  power: { metric: 'cray_pm_power_watts', quantity: 'power' },
  power_cap: { metric: 'cray_pm_power_cap_watts', quantity: 'power' },
  temp: { metric: 'cray_pm_temperature_celsius', quantity: 'temperature' },
}

/** Changes when the controller restarts: energies are comparable only while it stays the same. */
function startupReading(labels: Record<string, string>, text: string): Reading[] {
  const startup = /^\s*(\d{1,20})/.exec(text)?.[1]
  if (startup === undefined) return []
  return [{ metric: 'cray_pm_startup_info', labels: { ...labels, startup }, value: 1 }]
}

/** The value, and what stands behind it if that is a unit of the quantity. */
function numberIn(text: string, quantity?: Quantity): number | undefined {
  const [, digits, unitText] = /^\s*(-?\d+(?:\.\d+)?)(?:\s+(\S+))?(?:\s|$)/.exec(text) ?? []
  const value = Number(digits ?? Number.NaN)
  if (!Number.isFinite(value)) return undefined
  const unit = unitNamed(unitText)
  return unit === undefined || unit.quantity !== quantity ? value : fromUnit(value, unit)
}
