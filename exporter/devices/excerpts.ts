import type { MetricName, Reading } from '../metrics.ts'
import { type Excerpt, excerptAt, sourceOf } from '../redfish/excerpt.ts'
import { fieldAt, listAt, textAt } from '../redfish/parse.ts'
import {
  inBaseUnits,
  isImplausible,
  type Quantity,
  readingAt,
  type Unit,
} from '../redfish/units.ts'
import { metricOf } from './any-sensor.ts'
import type { Without } from './without-reading.ts'

type Labels = Record<string, string>

/** An excerpt of a resource: its property, its metric, what makes it base units, own labels. */
export interface Rule {
  at: string
  metric: MetricName
  factor?: number
  own?: Labels
}

/** Which sensors some resource has shown a copy of: a value that stands twice is shown once. */
export class ShownSensors {
  readonly #shown = new Set<string>()
  readonly #themselves: ReadonlySet<string>

  /** `themselves`: paths of sensors of which no copy is shown. */
  constructor(themselves: ReadonlySet<string> = new Set()) {
    this.#themselves = themselves
  }

  /** Whether the excerpt is the first of its sensor and quantity. */
  isFirst(source: string | undefined, quantity: Quantity): boolean {
    if (source === undefined) return true
    if (this.#themselves.has(source)) return false
    const key = `${broad(quantity)} ${source}`
    const isFirst = !this.#shown.has(key)
    this.#shown.add(key)
    return isFirst
  }

  /** A sensor without a known quantity is what its excerpt says. */
  has(path: string, quantity: Quantity): boolean {
    return this.#shown.has(`${broad(quantity)} ${path}`)
  }
}

/** A share is a fan's speed or humidity only by where it is shown. */
function broad(quantity: Quantity): string {
  return quantity === 'fan' || quantity === 'humidity' ? 'ratio' : quantity
}

/** A resource whose excerpts are shown: which were, and which had no value. */
export interface Context {
  body: unknown
  shown: ShownSensors
  without: Without
  /** Paths of the sensors that are asked for: one without a value is counted there. */
  sensors: ReadonlySet<string>
}

/** The excerpts that a table of rules names. */
export function ruled(labels: Labels, context: Context, rules: readonly Rule[]): Reading[] {
  return rules.flatMap(({ at, metric, factor = 1, own }) => {
    const one = {
      excerpt: fieldAt(context.body, at),
      unit: { quantity: quantityOf(metric), factor },
    }
    return excerptReading({ ...labels, ...own }, context, { ...one, metric })
  })
}

/** A list of excerpts, named by the devices they tell of, else by their sensors or their order. */
export function listed(
  labels: Labels,
  context: Context,
  { at, metric, factor = 1 }: Rule,
  within?: string,
): Reading[] {
  const names = new Set<string>()
  return listAt(context.body, at).flatMap((each, index) => {
    const { name: told, source } = excerptAt(each) ?? {}
    const own = told ?? source?.split('/').at(-1) ?? String(index + 1)
    const distinct = names.has(own) ? `${own} ${index + 1}` : own
    names.add(distinct)
    const name = within === undefined ? distinct : `${within} ${distinct}`
    const unit = { quantity: quantityOf(metric), factor }
    return excerptReading({ ...labels, name }, context, { excerpt: each, unit, metric })
  })
}

/**
 * What a resource copies of sensors in properties that no rule knows: by the unit that the
 * property's name ends in. `prefix` begins the label `sensor`.
 */
export function otherExcerpts(
  labels: Labels,
  context: Context,
  { prefix, ruledOut = [] }: { prefix: string; ruledOut?: readonly string[] },
): Reading[] {
  return Object.entries(Object(context.body)).flatMap(([name, value]) => {
    if (ruledOut.includes(name) || isBound.test(name)) return []
    const unit = propertyUnits.find(([pattern]) => pattern.test(name))?.[1]
    const metric = unit && metricOf[unit.quantity]
    if (unit === undefined || metric === undefined) return []
    return partsOf(name, value).flatMap(([part, excerpt]) => {
      const own = { ...labels, sensor: prefix === '' ? part : `${prefix}/${part}` }
      return excerptReading(own, context, { excerpt, unit, metric })
    })
  })
}

/** One excerpt, a list of them, or an object of them (`PolyPhaseVoltage`). */
function partsOf(name: string, value: unknown): [string, unknown][] {
  if (Array.isArray(value)) return value.map((each, index) => [`${name}/${index}`, each])
  const isNested = excerptAt(value) === undefined && !isExcerpt(value)
  if (!isNested) return [[name, value]]
  return Object.entries(Object(value)).map(([part, each]) => [`${name}/${part}`, each])
}

function isExcerpt(value: unknown): boolean {
  return ['Reading', 'DataSourceUri'].some((name) => fieldAt(value, name) !== undefined)
}

const propertyUnits: readonly [RegExp, Unit][] = [
  [/Watts?$/, { quantity: 'power', factor: 1 }],
  [/kW$/, { quantity: 'power', factor: 1000 }],
  [/Joules$/, { quantity: 'energy', factor: 1 }],
  [/EnergykWh$/, { quantity: 'energy', factor: 3.6e6 }],
  [/Celsius$/, { quantity: 'temperature', factor: 1 }],
  [/(Voltages?|Volts)$/, { quantity: 'voltage', factor: 1 }],
  [/Amps$/, { quantity: 'current', factor: 1 }],
  [/kPa$/, { quantity: 'pressure', factor: 1000 }],
  [/HumidityPercent$/, { quantity: 'humidity', factor: 0.01 }],
  [/Speeds?Percent$/, { quantity: 'fan', factor: 0.01 }],
]

/** What the hardware could, may or shall do, not what it does. */
const isBound =
  /Limit|Control|Rated|Nominal|Capacity|Allowable|Max|Min|Alloc|Request|Available|TDP|Thres/

/** What a metric measures stands in its name. */
function quantityOf(metric: MetricName): Quantity {
  const found = quantities.find(([pattern]) => pattern.test(metric))
  return found?.[1] ?? 'ratio'
}

const quantities: readonly [RegExp, Quantity][] = [
  [/_watts$/, 'power'],
  [/_joules_total$/, 'energy'],
  [/_volts$/, 'voltage'],
  [/_amperes$/, 'current'],
  [/_celsius$/, 'temperature'],
  [/_pascals$/, 'pressure'],
  [/_humidity_ratio$/, 'humidity'],
  [/_rpm$/, 'rotation'],
]

interface One {
  excerpt: unknown
  unit: Unit
  metric: MetricName
}

/** An excerpt, and the turns a minute that one of a fan or pump may tell beside its share. */
function excerptReading(labels: Labels, context: Context, one: One): Reading[] {
  return [...valueReading(labels, context, one), ...turnReading(labels, context, one.excerpt)]
}

function turnReading(labels: Labels, { shown }: Context, excerpt: unknown): Reading[] {
  const value = readingAt(excerpt, 'SpeedRPM')
  if (value === undefined || textAt(excerpt, 'Status', 'State') === 'Absent') return []
  if (!shown.isFirst(sourceOf(excerpt), 'rotation')) return []
  return [{ metric: 'cray_fan_speed_rpm', labels, value }]
}

/** One that is there and has no value counts as a sensor without one, unless that is asked too. */
function valueReading(labels: Labels, context: Context, { excerpt, unit, metric }: One): Reading[] {
  const found: Excerpt | undefined = excerptAt(excerpt)
  const value = found && inBaseUnits(found.value, unit.factor)
  if (found === undefined || value === undefined || isImplausible(unit.quantity, value)) {
    countWithout(excerpt, context, value)
    return []
  }
  if (!context.shown.isFirst(found.source, unit.quantity)) return []
  return [{ metric, labels, value }]
}

/** An implausible one has a `value`. */
export function countWithout(
  excerpt: unknown,
  { without, sensors }: Pick<Context, 'without' | 'sensors'>,
  value?: number,
): void {
  if (typeof excerpt !== 'object') return
  const source = sourceOf(excerpt)
  if (source !== undefined && sensors.has(source)) return
  if (value !== undefined) without.implausible++
  else if (textAt(excerpt, 'Status', 'State') === 'Absent') without.absent++
  else without.no_reading++
}
