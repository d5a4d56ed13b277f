import type { Registry } from 'prom-client'
import { type Metric, type MetricName, metrics, type Reading } from './metrics.ts'

/** Lines of one device, without HELP and TYPE, by metric. */
export type DeviceText = ReadonlyMap<MetricName, string>

/** Renders a device's readings once, until it has others. */
export class Renderer {
  readonly #rendered = new WeakMap<readonly Reading[], DeviceText>()

  text(readings: readonly Reading[]): DeviceText {
    const known = this.#rendered.get(readings)
    if (known) return known
    const text = renderDevice(readings)
    this.#rendered.set(readings, text)
    return text
  }
}

/**
 * All devices as Prometheus text 0.0.4 or OpenMetrics 1.0 (without its end, see `openMetricsEnd`):
 * metrics in the order of the table, within each the devices as given.
 */
export function exposition(devices: readonly DeviceText[], openMetrics: boolean): string {
  return metrics
    .map((metric) => {
      const lines = devices.map((device) => device.get(metric.name) ?? '').join('')
      return lines === '' ? '' : familyHead(metric, openMetrics) + lines
    })
    .join('')
}

export const openMetricsEnd = '# EOF\n'

/** `cray_node_power_watts{xname="x1000c0s0b0n0"}`: labels in the order of the table. */
export function seriesText({ metric, labels }: Pick<Reading, 'metric' | 'labels'>): string {
  const parts: string[] = []
  for (const name of labelOrder.get(metric) ?? []) {
    const value = labels[name]
    if (value !== undefined && value !== '') parts.push(`${name}="${escapeLabel(value)}"`)
  }
  return parts.length === 0 ? metric : `${metric}{${parts.join(',')}}`
}

/** What the process says of itself, in the same form. */
export async function ownMetrics(registry: Registry, openMetrics: boolean): Promise<string> {
  const families = await registry.getMetricsAsJSON()
  return families
    .map(({ name, help, type, values }) => {
      const head = familyHead({ name, help, type: String(type) }, openMetrics)
      return head + values.map((value) => ownLine(name, value)).join('')
    })
    .join('')
}

const labelOrder = new Map<string, readonly string[]>(metrics.map((m) => [m.name, m.labels]))

function renderDevice(readings: readonly Reading[]): DeviceText {
  const text = new Map<MetricName, string>()
  for (const [metric, series] of sortedSeries(readings)) {
    const line = (reading: Reading) => `${seriesText(reading)} ${numberText(reading.value)}\n`
    text.set(metric, series.map(line).join(''))
  }
  return text
}

/**
 * The readings that are shown of a device, by metric, in order. A series that it gives twice is
 * shown once, as it came first.
 */
export function sortedSeries(readings: readonly Reading[]): Map<MetricName, Reading[]> {
  const families = new Map<MetricName, Map<string, Reading>>()
  for (const reading of readings) {
    const family = families.get(reading.metric) ?? new Map<string, Reading>()
    families.set(reading.metric, family)
    const series = seriesText(reading)
    if (!family.has(series)) family.set(series, reading)
  }
  const sorted = new Map<MetricName, Reading[]>()
  for (const [metric, family] of families) {
    const entries = [...family].sort(([a], [b]) => collator.compare(a, b))
    sorted.set(
      metric,
      entries.map(([, reading]) => reading),
    )
  }
  return sorted
}

/** `outlet="AA2"` before `outlet="AA10"`. */
const collator = new Intl.Collator('en', { numeric: true })

/**
 * OpenMetrics leaves the `_total` of a counter out of the family's name. Our statesets have their
 * state in the label `state`, as most exporters do, so there they are gauges too.
 */
export function familyHead(
  { name, help, type }: Pick<Metric, 'name' | 'help'> & { type: string },
  openMetrics: boolean,
): string {
  const family = openMetrics && type === 'counter' ? name.replace(/_total$/, '') : name
  const shownType = type === 'stateset' ? 'gauge' : type
  const shownHelp = openMetrics ? escapeLabel(help) : escapeHelp(help)
  return `# HELP ${family} ${shownHelp}\n# TYPE ${family} ${shownType}\n`
}

interface OwnValue {
  value: number
  labels: Partial<Record<string, string | number>>
  metricName?: string
}

function ownLine(family: string, { value, labels, metricName = family }: OwnValue): string {
  const parts = Object.entries(labels).map(
    ([name, text]) => `${name}="${escapeLabel(String(text))}"`,
  )
  const series = parts.length === 0 ? metricName : `${metricName}{${parts.join(',')}}`
  return `${series} ${numberText(value)}\n`
}

export function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replace(/"/g, '\\"')
}
