import { type MetricName, type Reading, stateReadings } from '../metrics.ts'
import { listedMembers } from '../redfish/collection.ts'
import { type Excerpt, excerptAt, excerptSources, selfDescribedAt } from '../redfish/excerpt.ts'
import { fieldAt, textAt } from '../redfish/parse.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { inBaseUnits, type Quantity } from '../redfish/units.ts'
import { anySensorReadings } from './any-sensor.ts'
import { partReadings } from './health.ts'
import { outletNumbers } from './pdu-place.ts'
import { powerStates } from './power-state.ts'

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
  const copied = new Set([...resources.values()].flatMap((body) => excerptSources(body)))
  const place = placesOf(bmc, resources)
  const without = { absent: 0, no_reading: 0, never_read: 0 }
  const found = [...resources].flatMap(([path, body]) => {
    const [pdu = '', list = '', id = ''] = partsOf(path)
    const labels = { xname: place(pdu, list, path), bmc, source: 'redfish' }
    const part = partOf[list]
    if (list === 'Metrics') return totalReadings(labels, body)
    if (id === '') return []
    if (part !== undefined) {
      const own = part === 'branch' && list !== 'Branches' ? `${list}/${id}` : id
      return circuitReadings(part, { ...labels, [part]: own }, body, energyFactor)
    }
    if (list !== 'Sensors' || copied.has(path)) return []
    const sensor = parseSensor(body, path)
    if (sensor.without !== undefined) without[sensor.without]++
    return probeReadings(labels, path, sensor)
  })
  const labels = { xname: bmc, bmc, source: 'redfish' }
  const counts = Object.entries(without).map(([reason, value]) => {
    return { metric: 'cray_sensors_without_reading', labels: { ...labels, reason }, value } as const
  })
  const parts = partReadings(resources, (path) => {
    const [pdu = '', list = ''] = partsOf(path)
    return { xname: place(pdu, list, path), bmc, source: 'redfish' }
  })
  return [...found, ...counts, ...parts]
}

/** A chassis stands for the first PDU: it has probes, but no outlets. */
function partsOf(path: string): string[] {
  const inside = path.startsWith(`${pdus}/`) ? path.slice(pdus.length + 1).split('/') : []
  const [, chassisSensor] = /^\/redfish\/v1\/Chassis\/[^/]+\/Sensors\/([^/]+)$/.exec(path) ?? []
  return chassisSensor === undefined ? inside : ['', 'Sensors', chassisSensor]
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
}

const fields: readonly Field[] = [
  {
    suffix: 'power_watts',
    names: ['PowerWatts', 'PowerSensor'],
    lines: ['PolyPhasePowerWatts', 'PolyPhasePowerSensors'],
    factor: 1,
  },
  {
    suffix: 'voltage_volts',
    names: ['Voltage', 'VoltageSensor'],
    lines: ['PolyPhaseVoltage', 'PolyPhaseVoltageSensors'],
    factor: 1,
  },
  {
    suffix: 'current_amperes',
    names: ['CurrentAmps', 'CurrentSensor'],
    lines: ['PolyPhaseCurrentAmps', 'PolyPhaseCurrentSensors'],
    factor: 1,
  },
  {
    suffix: 'energy_joules_total',
    names: ['EnergykWh', 'EnergySensor'],
    lines: ['PolyPhaseEnergykWh', 'PolyPhaseEnergySensors'],
    factor: 3.6e6,
  },
]

function circuitReadings(
  part: Part,
  labels: Labels,
  body: unknown,
  energyFactor: number | undefined,
): Reading[] {
  const found = fields.flatMap((field) =>
    fieldReadings({ part, labels, body, field, energyFactor }),
  )
  return part === 'outlet' ? [...found, ...outletState(labels, body)] : found
}

interface PartField {
  part: Part
  labels: Labels
  body: unknown
  field: Field
  energyFactor: number | undefined
}

/** The whole, and its lines, but for a single line that is the whole again. */
function fieldReadings({ part, labels, body, field, energyFactor }: PartField): Reading[] {
  const draftFactor = field.suffix === 'energy_joules_total' ? energyFactor : undefined
  const excerpt = (names: readonly [string, string], path: readonly string[] = []) =>
    selfDescribedAt(body, [names[0], ...path], field.factor) ??
    selfDescribedAt(body, [names[1], ...path], draftFactor)
  const whole = excerpt(field.names)
  const lineNames = field.lines.flatMap((name) => Object.keys(Object(fieldAt(body, name))))
  const lines = lineNames.flatMap((line) => {
    const found = excerpt(field.lines, [line])
    return found === undefined ? [] : [{ line, found }]
  })
  const parts = lines.filter(({ found }) => !isCopy(found, whole, lines.length))
  return [
    ...excerptReadings({ metric: part, labels, suffix: field.suffix }, whole),
    ...parts.flatMap(({ line, found }) =>
      excerptReadings({ ...lineOf(part, labels, line), suffix: field.suffix }, found),
    ),
  ]
}

function isCopy(line: Excerpt, whole: Excerpt | undefined, lines: number): boolean {
  if (whole === undefined) return false
  return line.source === undefined || whole.source === undefined
    ? lines === 1 && line.value === whole.value
    : line.source === whole.source
}

interface Target {
  metric: Part | 'phase' | 'line'
  labels: Labels
  suffix: Field['suffix']
}

/** Lines of the mains are named as those of JAWS: `Line1`, and the phase `Line1ToLine2`. */
function lineOf(part: Part, labels: Labels, line: string): Pick<Target, 'metric' | 'labels'> {
  if (part !== 'mains') return { metric: part, labels: { ...labels, line } }
  const metric = /To/.test(line) ? 'phase' : 'line'
  return { metric, labels: { ...labels, [metric]: line } }
}

function excerptReadings({ metric, labels, suffix }: Target, excerpt?: Excerpt): Reading[] {
  if (excerpt === undefined) return []
  const found: Reading[] = [
    { metric: `cray_pdu_${metric}_${suffix}` as const, labels, value: excerpt.value },
  ]
  const { apparentVoltAmperes, powerFactor } = excerpt
  if (suffix !== 'power_watts') return found
  if (apparentVoltAmperes !== undefined) {
    const apparent = `cray_pdu_${metric}_apparent_power_voltamperes` as const
    found.push({ metric: apparent, labels, value: apparentVoltAmperes })
  }
  if (powerFactor !== undefined) {
    found.push({
      metric: `cray_pdu_${metric}_power_factor_ratio` as const,
      labels,
      value: powerFactor,
    })
  }
  return found
}

function outletState(labels: Labels, body: unknown): Reading[] {
  const state = textAt(body, 'PowerState')
  if (state === undefined) return []
  return stateReadings('cray_pdu_outlet_state', labels, state, ['On', 'Off'], powerStates)
}

/** `Metrics` of a PDU: its own totals, and its own probe. */
function totalReadings(labels: Labels, body: unknown): Reading[] {
  const totals: readonly [name: string, metric: MetricName, factor: number, own?: Labels][] = [
    ['PowerWatts', 'cray_pdu_power_watts', 1],
    ['EnergykWh', 'cray_pdu_energy_joules_total', 3.6e6],
    ['TemperatureCelsius', 'cray_pdu_temperature_celsius', 1, { probe: 'Metrics' }],
    ['HumidityPercent', 'cray_pdu_humidity_ratio', 0.01, { probe: 'Metrics' }],
  ]
  return totals.flatMap(([name, metric, factor, own]) => {
    const value = excerptAt(body, name)?.value
    if (value === undefined) return []
    return [{ metric, labels: { ...labels, ...own }, value: inBaseUnits(value, factor) }]
  })
}

/** A probe is called as JAWS calls it: `TemperatureA1` and `HumidityA1` are `A1`. */
function probeReadings(labels: Labels, path: string, sensor: Sensor): Reading[] {
  const id = path.slice(path.lastIndexOf('/') + 1)
  const metric = sensor.quantity && probeMetrics[sensor.quantity]
  if (metric === undefined) return anySensorReadings({ ...labels, sensor: id }, sensor)
  if (sensor.reading === undefined) return []
  const own: Labels = { ...labels, probe: id.replace(/^(Temperature|Humidity)(?=.)/i, '') }
  const name = sensor.place['name']
  return [
    { metric, labels: name === undefined ? own : { ...own, name }, value: sensor.reading.value },
  ]
}

const probeMetrics: Partial<Record<Quantity, MetricName>> = {
  temperature: 'cray_pdu_temperature_celsius',
  humidity: 'cray_pdu_humidity_ratio',
}
