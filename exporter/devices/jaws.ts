import type { Device } from '../inventory/static.ts'
import { type MetricName, type Reading, stateReadings } from '../metrics.ts'
import { listAt, textAt } from '../redfish/parse.ts'
import { inBaseUnits, isImplausible, readingAt } from '../redfish/units.ts'
import type { Collector } from './collector.ts'
import { componentInfo, healths } from './health.ts'
import { outletNumbers, pduNumber } from './pdu-place.ts'
import { newWithout, withoutReadings } from './without-reading.ts'

/**
 * A ServerTech iPDU over JAWS, its JSON interface. Each path is a whole list, about 0.5 s each,
 * and one request at a time is all that it bears. Only GET: a PATCH here switches outlets.
 */
export const jaws: Collector = {
  kind: 'jaws',
  requestsAtOnce: 1,
  plan: async () => ({
    fast: ['/jaws/monitor/outlets', '/jaws/monitor/phases'],
    slow: [
      '/jaws/monitor/lines',
      '/jaws/monitor/branches',
      '/jaws/monitor/sensors/temp',
      '/jaws/monitor/sensors/humidity',
      '/jaws/monitor/units',
    ],
    once: ['/jaws/config/info/units'],
  }),
  readings,
}

/** A number of a list's elements: its field, what makes it base units, its metric. */
type Field = readonly [name: string, metric: MetricName, factor?: number]

/** The lists whose elements are an outlet, a phase, ..: the label for their `id`. */
const lists: readonly { path: string; label: string; fields: readonly Field[] }[] = [
  {
    path: '/jaws/monitor/outlets',
    label: 'outlet',
    fields: [
      ['energy', 'cray_pdu_outlet_energy_joules_total', 3600],
      ['active_power', 'cray_pdu_outlet_power_watts'],
      ['current', 'cray_pdu_outlet_current_amperes'],
      ['voltage', 'cray_pdu_outlet_voltage_volts'],
      ['apparent_power', 'cray_pdu_outlet_apparent_power_voltamperes'],
      ['power_factor', 'cray_pdu_outlet_power_factor_ratio'],
    ],
  },
  {
    path: '/jaws/monitor/phases',
    label: 'phase',
    fields: [
      ['energy', 'cray_pdu_phase_energy_joules_total', 3.6e6],
      ['active_power', 'cray_pdu_phase_power_watts'],
      ['current', 'cray_pdu_phase_current_amperes'],
      ['voltage', 'cray_pdu_phase_voltage_volts'],
      ['apparent_power', 'cray_pdu_phase_apparent_power_voltamperes'],
      ['power_factor', 'cray_pdu_phase_power_factor_ratio'],
    ],
  },
  {
    path: '/jaws/monitor/lines',
    label: 'line',
    fields: [['current', 'cray_pdu_line_current_amperes']],
  },
  {
    path: '/jaws/monitor/branches',
    label: 'branch',
    fields: [['current', 'cray_pdu_branch_current_amperes']],
  },
  {
    path: '/jaws/monitor/sensors/temp',
    label: 'probe',
    fields: [['temperature_celsius', 'cray_pdu_temperature_celsius']],
  },
  {
    path: '/jaws/monitor/sensors/humidity',
    label: 'probe',
    fields: [['relative_humidity', 'cray_pdu_humidity_ratio', 0.01]],
  },
]

function readings(
  { xname }: Pick<Device, 'xname'>,
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const xnameOf = placesOf(xname, resources)
  const found: Reading[] = []
  for (const { path, label, fields } of lists) {
    for (const element of listAt(resources.get(path))) {
      const id = textAt(element, 'id')
      if (id === undefined) continue
      const labels = labelsOf(element, label, id, { xname: xnameOf(label, id), bmc: xname })
      found.push(...fieldReadings(element, fields, labels))
      found.push(...healthReadings(element, path, labels))
      if (label === 'outlet') found.push(...outletState(element, labels))
    }
  }
  const units = (path: string) =>
    listAt(resources.get(path)).flatMap((unit) => {
      const place = { xname: xnameOf('unit', textAt(unit, 'id') ?? ''), bmc: xname, source: 'jaws' }
      return [...unitInfo(unit, place), ...healthReadings(unit, '/jaws/monitor/units', place)]
    })
  const infos = unitPaths.flatMap(units)
  return [...found, ...infos, ...probesWithout(xname, resources)]
}

const unitPaths = ['/jaws/monitor/units', '/jaws/config/info/units']

/**
 * Which PDU, or outlet of a PDU, an id of each list belongs to. Each unit has outlets or is among
 * the units, of which the list may come later.
 */
function placesOf(xname: string, resources: ReadonlyMap<string, unknown>) {
  const ids = (path: string) =>
    listAt(resources.get(path)).flatMap((element) => textAt(element, 'id') ?? [])
  const outletIds = ids('/jaws/monitor/outlets')
  const letters = [...unitPaths.flatMap(ids), ...outletIds].map((id) => id.slice(0, 1))
  const units = [...new Set(letters)]
  const outlets = outletNumbers(outletIds)
  return (label: string, id: string): string => {
    const pdu = `${xname}p${pduNumber(id, units)}`
    return label === 'outlet' ? `${pdu}v${outlets.get(id)}` : pdu
  }
}

function labelsOf(
  element: unknown,
  label: string,
  id: string,
  place: { xname: string; bmc: string },
): Record<string, string> {
  const labels: Record<string, string> = { ...place, source: 'jaws', [label]: id }
  const name = label === 'probe' ? textAt(element, 'name') : undefined
  return name === undefined ? labels : { ...labels, name }
}

function fieldReadings(
  element: unknown,
  fields: readonly Field[],
  labels: Record<string, string>,
): Reading[] {
  if (isMissing(element)) return []
  return fields.flatMap(([name, metric, factor = 1]) => {
    const value = fieldValue(element, [name, metric, factor])
    return value === undefined ? [] : [{ metric, labels, value }]
  })
}

/** In base units; what no air can have is none. */
function fieldValue(element: unknown, [name, metric, factor = 1]: Field): number | undefined {
  const raw = readingAt(element, name)
  const value = raw === undefined ? undefined : inBaseUnits(raw, factor)
  const quantity = /_(temperature|humidity)_/.exec(metric)?.[1]
  const isOdd =
    (quantity === 'temperature' || quantity === 'humidity') &&
    value !== undefined &&
    isImplausible(quantity, value)
  return isOdd ? undefined : value
}

function outletState(element: unknown, labels: Record<string, string>): Reading[] {
  const state = textAt(element, 'state')
  if (state === undefined) return []
  return stateReadings('cray_pdu_outlet_state', labels, state, ['On', 'Off'], rareStates)
}

const rareStates = ['Reboot', 'Shutdown', 'Unknown']

/** Words for a status are sorted as HPE's translation layer does; other words are `Other`. */
function healthReadings(element: unknown, path: string, labels: Record<string, string>): Reading[] {
  const status = textAt(element, 'status')
  if (status === undefined || isMissing(element)) return []
  const health = healthOf.find(([word]) => word.test(status))?.[1] ?? status
  const { xname = '', bmc = '', source = '' } = labels
  const resource = `${path.replace('/jaws/monitor/', '')}/${textAt(element, 'id')}`
  return stateReadings('cray_health_state', { xname, bmc, source, resource }, health, healths)
}

const healthOf: readonly [RegExp, string][] = [
  [/alarm/i, 'Critical'],
  [/warning/i, 'Warning'],
  [/normal/i, 'OK'],
]

function unitInfo(unit: unknown, place: Record<string, string>): Reading[] {
  const id = textAt(unit, 'id')
  if (id === undefined) return []
  return componentInfo(
    { ...place, resource: `units/${id}` },
    { model: textAt(unit, 'model_number'), serial: textAt(unit, 'product_serial_number') },
  )
}

/** A place for a probe is listed even when none is plugged in, without a value. */
function isMissing(element: unknown): boolean {
  return /^not\s?found$/i.test(textAt(element, 'status') ?? '')
}

function probesWithout(xname: string, resources: ReadonlyMap<string, unknown>): Reading[] {
  const without = newWithout()
  for (const { path, fields } of lists.filter(({ label }) => label === 'probe')) {
    for (const element of listAt(resources.get(path))) {
      const has = (test: (field: Field) => unknown) => fields.some((field) => test(field))
      if (isMissing(element)) without.absent++
      else if (!has(([name]) => readingAt(element, name) !== undefined)) without.no_reading++
      else if (!has((field) => fieldValue(element, field) !== undefined)) without.implausible++
    }
  }
  return withoutReadings({ xname, bmc: xname, source: 'jaws' }, without)
}
