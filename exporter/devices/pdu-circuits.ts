import { type MetricName, type Reading, stateReadings } from '../metrics.ts'
import { listedMembers } from '../redfish/collection.ts'
import { type Excerpt, selfDescribedAt } from '../redfish/excerpt.ts'
import { fieldAt, textAt } from '../redfish/parse.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { type Quantity, readingAt } from '../redfish/units.ts'
import { anySensorReadings } from './any-sensor.ts'
import {
  type Context,
  countWithout,
  otherExcerpts,
  type Rule,
  ruled,
  ShownSensors,
} from './excerpts.ts'
import { partReadings } from './health.ts'
import { outletNumbers } from './pdu-place.ts'
import { powerStates } from './power-state.ts'
import { newWithout, withoutReadings } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>
type Labels = Record<string, string>

/** Outlets and circuits of a PDU; what comes in by its lines is told by phase or line. */
type Part = 'outlet' | 'branch' | 'mains'

const pdus = '/redfish/v1/PowerEquipment/RackPDUs'
const partOf: Record<string, Part> = {
  Outlets: 'outlet',
  Branches: 'branch',
  Feeders: 'branch',
  Subfeeds: 'branch',
  Mains: 'mains',
}

/**
 * The PDUs behind one controller, by the draft schema of 2019 (`PowerSensor`), the present one
 * (`PowerWatts`) or HPE's mixture. `energyFactor` makes joules of an `EnergySensor` whose unit
 * cannot be trusted.
 */
export function rackPduReadings(
  bmc: string,
  resources: Resources,
  { energyFactor }: { energyFactor?: number } = {},
): Reading[] {
  const place = placesOf(bmc, resources)
  const without = newWithout()
  const sensors = new Set([...resources.keys()].filter((path) => /\/Sensors\/[^/]+$/.test(path)))
  const context = { shown: new ShownSensors(), without, sensors }
  const labelsOf = (path: string) => {
    const [pdu = '', list = ''] = partsOf(path)
    const labels: Labels = { xname: place(pdu, list, path), bmc, source: 'redfish' }
    const chassis = /^\/redfish\/v1\/Chassis\/([^/]+)\//.exec(path)?.[1]
    return chassis === undefined ? labels : { ...labels, chassis }
  }
  const circuits = [...resources].flatMap(([path, body]) => {
    if (sensors.has(path)) return []
    return partReadingsOf(path, { labels: labelsOf(path), energyFactor, ...context, body })
  })
  const others = [...resources].flatMap(([path, body]) => {
    if (!sensors.has(path)) return []
    const sensor = parseSensor(body, path)
    if (sensor.quantity !== undefined && context.shown.has(path, sensor.quantity)) return []
    if (sensor.without !== undefined) without[sensor.without]++
    return probeReadings(labelsOf(path), { path, resources }, sensor)
  })
  const counts = withoutReadings({ xname: bmc, bmc, source: 'redfish' }, without)
  return [...circuits, ...others, ...counts, ...partReadings(resources, labelsOf)]
}

interface PartContext extends Context {
  labels: Labels
  energyFactor: number | undefined
}

/** An outlet, a circuit, the PDU's totals, or any other resource that copies its sensors. */
function partReadingsOf(path: string, { labels, ...context }: PartContext): Reading[] {
  const [, list = '', id = '', ...rest] = partsOf(path)
  if (list === 'Metrics') return totalReadings(labels, context)
  const part = partOf[list]
  if (part !== undefined && id !== '' && rest.length === 0) {
    const own = part === 'branch' && list !== 'Branches' ? `${list}/${id}` : id
    return circuitReadings(part, { ...context, labels: { ...labels, [part]: own } })
  }
  const isOther = list === 'EnvironmentMetrics' || (list !== '' && id !== '')
  if (!isOther) return []
  return otherExcerpts(labels, context, { prefix: [list, id, ...rest].filter(Boolean).join('/') })
}

/** A chassis stands for the first PDU: it has probes, but no outlets. */
function partsOf(path: string): string[] {
  if (path.startsWith(`${pdus}/`)) return path.slice(pdus.length + 1).split('/')
  const [, inside] = /^\/redfish\/v1\/Chassis\/[^/]+\/(.+)$/.exec(path) ?? []
  return inside === undefined ? [] : ['', ...inside.split('/')]
}

/** PDUs and outlets are numbered in the order of their ids, whether they answered or not. */
function placesOf(bmc: string, resources: Resources) {
  const ids = (path: string) =>
    [...listedMembers(path, resources), ...resources.keys()]
      .filter((member) => member.startsWith(`${path}/`))
      .map((member) => member.slice(path.length + 1).split(/[/?]/)[0] ?? '')
  const units = [...new Set(ids(pdus))].sort()
  const outlets = new Map(
    units.map((unit) => [unit, outletNumbers(ids(`${pdus}/${unit}/Outlets`), () => unit)]),
  )
  return (unit: string, list: string, path: string): string => {
    const pdu = `${bmc}p${Math.max(0, units.indexOf(unit))}`
    const outlet =
      list === 'Outlets' ? outlets.get(unit)?.get(path.split('/').at(-1) ?? '') : undefined
    return outlet === undefined ? pdu : `${pdu}v${outlet}`
  }
}

/** A quantity by its names in the present schema and in the draft, whole and by line. */
interface Field {
  suffix: 'power_watts' | 'voltage_volts' | 'current_amperes' | 'energy_joules_total'
  /** The first is in a fixed unit, the others say theirs. */
  names: readonly [string, string]
  lines: readonly [string, string]
  /** What makes the first name's unit a base unit. */
  factor: number
  quantity: Quantity
}

const fields: readonly Field[] = [
  {
    suffix: 'power_watts',
    names: ['PowerWatts', 'PowerSensor'],
    lines: ['PolyPhasePowerWatts', 'PolyPhasePowerSensors'],
    factor: 1,
    quantity: 'power',
  },
  {
    suffix: 'voltage_volts',
    names: ['Voltage', 'VoltageSensor'],
    lines: ['PolyPhaseVoltage', 'PolyPhaseVoltageSensors'],
    factor: 1,
    quantity: 'voltage',
  },
  {
    suffix: 'current_amperes',
    names: ['CurrentAmps', 'CurrentSensor'],
    lines: ['PolyPhaseCurrentAmps', 'PolyPhaseCurrentSensors'],
    factor: 1,
    quantity: 'current',
  },
  {
    suffix: 'energy_joules_total',
    names: ['EnergykWh', 'EnergySensor'],
    lines: ['PolyPhaseEnergykWh', 'PolyPhaseEnergySensors'],
    factor: 3.6e6,
    quantity: 'energy',
  },
]

const fieldNames = fields.flatMap(({ names, lines }) => [...names, ...lines])

function circuitReadings(part: Part, context: PartContext): Reading[] {
  const { labels, body } = context
  const found = fields.flatMap((field) => fieldReadings(part, field, context))
  const { line: _, ...place } = labels
  const others = otherExcerpts(place, context, {
    prefix: labels[part] ?? part,
    ruledOut: fieldNames,
  })
  return [...found, ...others, ...(part === 'outlet' ? outletState(labels, body) : [])]
}

/** The whole, and its lines, but for a single line that is the whole again. */
function fieldReadings(part: Part, field: Field, context: PartContext): Reading[] {
  const { labels, body, energyFactor, shown } = context
  const { quantity } = field
  const draftFactor = quantity === 'energy' ? energyFactor : undefined
  const excerpt = (names: readonly [string, string], path: readonly string[] = []) => {
    const [present, draft] = names
    const of = { present: fieldAt(body, present, ...path), draft: fieldAt(body, draft, ...path) }
    const found =
      selfDescribedAt(of.present, [], field.factor) ?? selfDescribedAt(of.draft, [], draftFactor)
    const raw = of.present ?? of.draft
    if (found === undefined) countWithout(raw, context)
    return textAt(raw, 'Status', 'State') === 'Absent' ? undefined : { found, raw }
  }
  const whole = excerpt(field.names)
  const lineNames = field.lines.flatMap((name) => Object.keys(Object(fieldAt(body, name))))
  const lines = [...new Set(lineNames)].flatMap((line) => {
    const found = excerpt(field.lines, [line])
    return found === undefined ? [] : [{ line, ...found }]
  })
  const parts = lines.filter(({ found }) => !isCopy(found, whole?.found, lines.length))
  const target = { metric: part, labels, suffix: field.suffix }
  return [
    { ...target, ...whole },
    ...parts.map((each) => ({ ...target, ...lineOf(part, labels, each.line), ...each })),
  ]
    .filter(({ found }) => found === undefined || shown.isFirst(found.source, quantity))
    .flatMap((each) => excerptReadings(each))
}

function isCopy(line: Excerpt | undefined, whole: Excerpt | undefined, lines: number): boolean {
  if (line === undefined || whole === undefined) return false
  return line.source === undefined || whole.source === undefined
    ? lines === 1 && line.value === whole.value
    : line.source === whole.source
}

interface Target {
  metric: Part | 'phase' | 'line'
  labels: Labels
  suffix: Field['suffix']
  found?: Excerpt | undefined
  /** The excerpt itself: a power without a value may still tell of its kind. */
  raw?: unknown
}

/** Lines of the mains are named as those of JAWS: `Line1`, and the phase `Line1ToLine2`. */
function lineOf(part: Part, labels: Labels, line: string): Pick<Target, 'metric' | 'labels'> {
  if (part !== 'mains') return { metric: part, labels: { ...labels, line } }
  const metric = /To/.test(line) ? 'phase' : 'line'
  return { metric, labels: { ...labels, [metric]: line } }
}

function excerptReadings({ metric, labels, suffix, found, raw }: Target): Reading[] {
  const name = `cray_pdu_${metric}_${suffix}` as const
  const own = found === undefined ? [] : [{ metric: name, labels, value: found.value }]
  return suffix === 'power_watts'
    ? [...own, ...kindReadings(`cray_pdu_${metric}`, labels, raw)]
    : own
}

/** What a power tells of its kind. */
function kindReadings(
  prefix: `cray_pdu_${Target['metric']}` | 'cray_pdu',
  labels: Labels,
  power: unknown,
): Reading[] {
  const found: [MetricName, number | undefined][] = [
    [`${prefix}_apparent_power_voltamperes`, readingAt(power, 'ApparentVA')],
    [`${prefix}_power_factor_ratio`, readingAt(power, 'PowerFactor')],
  ]
  return found.flatMap(([metric, value]) =>
    value === undefined ? [] : [{ metric, labels, value }],
  )
}

function outletState(labels: Labels, body: unknown): Reading[] {
  const state = textAt(body, 'PowerState')
  if (state === undefined) return []
  return stateReadings('cray_pdu_outlet_state', labels, state, ['On', 'Off'], powerStates)
}

/** `Metrics` of a PDU: its own totals, and its own probe. */
function totalReadings(labels: Labels, context: Context): Reading[] {
  const ruledOut = totals.map(({ at }) => at)
  return [
    ...ruled(labels, context, totals),
    ...kindReadings('cray_pdu', labels, fieldAt(context.body, 'PowerWatts')),
    ...otherExcerpts(labels, context, { prefix: 'Metrics', ruledOut }),
  ]
}

const totals: readonly Rule[] = [
  { at: 'PowerWatts', metric: 'cray_pdu_power_watts' },
  { at: 'EnergykWh', metric: 'cray_pdu_energy_joules_total', factor: 3.6e6 },
  { at: 'TemperatureCelsius', metric: 'cray_pdu_temperature_celsius', own: { probe: 'Metrics' } },
  {
    at: 'HumidityPercent',
    metric: 'cray_pdu_humidity_ratio',
    factor: 0.01,
    own: { probe: 'Metrics' },
  },
]

/** A probe is called as JAWS calls it: `TemperatureA1` and `HumidityA1` are `A1`. */
function probeReadings(
  labels: Labels,
  { path, resources }: { path: string; resources: Resources },
  sensor: Sensor,
): Reading[] {
  const id = path.slice(path.lastIndexOf('/') + 1)
  const short = id.replace(/^(Temperature|Humidity)(?=.)/i, '')
  const other = resources.get(`${path.slice(0, -id.length)}${short}`)
  const isTaken = parseSensor(other, path).quantity === sensor.quantity
  const metric = sensor.quantity && probeMetrics[sensor.quantity]
  if (metric === undefined) return anySensorReadings({ ...labels, sensor: id }, sensor)
  if (sensor.reading === undefined) return []
  const own: Labels = { ...labels, probe: isTaken ? id : short }
  const name = sensor.place['name']
  return [
    { metric, labels: name === undefined ? own : { ...own, name }, value: sensor.reading.value },
  ]
}

const probeMetrics: Partial<Record<Quantity, MetricName>> = {
  temperature: 'cray_pdu_temperature_celsius',
  humidity: 'cray_pdu_humidity_ratio',
}
