import { type MetricName, type Reading, stateReadings } from '../metrics.ts'
import { excerptAt, sourceOf } from '../redfish/excerpt.ts'
import { fieldAt, linkAt, listAt, textAt } from '../redfish/parse.ts'
import { readingAt } from '../redfish/units.ts'
import { type Context, listed, otherExcerpts, type Rule, ruled } from './excerpts.ts'

type Labels = Record<string, string>
type Resources = ReadonlyMap<string, unknown>

/**
 * The newer resources of a chassis (Redfish `EnvironmentMetrics`, `PowerSubsystem`,
 * `ThermalSubsystem`, ..); `context` without its body. Paths are told from `chassisPath` on.
 */
export function moduleReadings(
  labels: Labels,
  resources: Resources,
  { chassisPath, ...context }: Omit<Context, 'body'> & { chassisPath: string },
): Reading[] {
  const detectors = new Set([...resources.keys()].filter((path) => detectorPath.test(path)))
  return [...resources].flatMap(([path, body]) => {
    const of = (pattern: RegExp) => pattern.exec(path)?.[1]
    const within = { ...context, body }
    const inside = path.slice(chassisPath.length + 1)
    const bay = of(/\/PowerSupplies\/([^/]+)\/Metrics$/)
    if (bay !== undefined) return supplyReadings({ ...labels, bay }, bay, within)
    const fan = of(/\/Fans\/([^/]+)$/)
    if (fan !== undefined) return fanReadings(labels, fan, within)
    if (path.endsWith('/ThermalMetrics')) return thermalReadings(labels, within)
    const detector = of(detectorPath)
    if (detector !== undefined) return leakReadings({ ...labels, detector }, body)
    if (path.endsWith('/LeakDetection')) return groupReadings(labels, body, detectors)
    if (/^(Environment)?Metrics$/.test(inside)) return environmentReadings(labels, inside, within)
    return isOtherModule.test(inside) ? otherExcerpts(labels, within, { prefix: inside }) : []
  })
}

const detectorPath = /\/LeakDetectors\/([^/]+)$/

/** Resources whose excerpts have no metric of their own. */
const isOtherModule = new RegExp(
  '/(EnvironmentMetrics|Metrics)$|(^|/)((Primary|Secondary)?CoolantConnectors|Pumps|Heaters|' +
    'PowerSupplies|Mains|Branches|Feeders|Subfeeds|Outlets|OutletGroups)/[^/]+$',
)

/** Energy is told once, by the finer of two units. */
export function energyRules(body: unknown, metric: MetricName): Rule[] {
  const joules = excerptAt(body, 'EnergyJoules')
  if (joules !== undefined) return [{ at: 'EnergyJoules', metric }]
  return [{ at: 'EnergykWh', metric, factor: 3.6e6 }]
}

function environmentReadings(labels: Labels, control: string, context: Context): Reading[] {
  const { body } = context
  const readings = [
    ...ruled(labels, context, environmentRules(control)),
    ...ruled(labels, context, energyRules(body, 'cray_server_energy_joules_total')),
    ...listed(labels, context, { at: 'FanSpeedsPercent', ...fanRatio }),
    ...otherExcerpts(labels, context, { prefix: control, ruledOut }),
  ]
  return [...readings, ...copiedLimits({ ...labels, control }, context)]
}

const fanRatio = { metric: 'cray_fan_speed_ratio', factor: 0.01 } as const
const temperature = 'cray_server_temperature_celsius'

const environmentRules = (control: string): readonly Rule[] => [
  { at: 'PowerWatts', metric: 'cray_server_power_watts', own: { control } },
  { at: 'TemperatureCelsius', metric: temperature, own: { name: control } },
  { at: 'DewPointCelsius', metric: temperature, own: { name: 'DewPoint' } },
  { at: 'HumidityPercent', metric: 'cray_server_humidity_ratio', factor: 0.01 },
]

const energies = ['EnergyJoules', 'EnergykWh']
const ruledOut = [...environmentRules('').map(({ at }) => at), ...energies, 'FanSpeedsPercent']

function supplyReadings(labels: Labels, name: string, context: Context): Reading[] {
  const { bay: _, ...place } = labels
  const rail = { ...place, context: 'PowerSupply' }
  const lists = (at: string, metric: MetricName) => listed(labels, context, { at, metric })
  return [
    ...ruled(labels, context, supplyRules),
    ...ruled(labels, context, energyRules(context.body, 'cray_power_supply_energy_joules_total')),
    ...ruled(rail, context, [{ at: 'TemperatureCelsius', metric: temperature, own: { name } }]),
    ...ruled(place, context, [{ at: 'FanSpeedPercent', ...fanRatio, own: { name } }]),
    ...listed(place, context, { at: 'FanSpeedsPercent', ...fanRatio }, name),
    ...listed(rail, context, { at: 'RailVoltage', metric: 'cray_server_voltage_volts' }, name),
    ...lists('RailPowerWatts', 'cray_power_supply_rail_watts'),
    ...lists('RailCurrentAmps', 'cray_power_supply_rail_amperes'),
    ...otherExcerpts(place, context, {
      prefix: `PowerSupplies/${name}`,
      ruledOut: [...supplyRules.map(({ at }) => at), ...energies, ...supplyNames],
    }),
  ]
}

const supplyRules: readonly Rule[] = [
  { at: 'InputPowerWatts', metric: 'cray_power_supply_input_watts' },
  { at: 'InputVoltage', metric: 'cray_power_supply_input_volts' },
  { at: 'InputCurrentAmps', metric: 'cray_power_supply_input_amperes' },
  { at: 'OutputPowerWatts', metric: 'cray_power_supply_output_watts' },
]
const supplyNames = [
  'TemperatureCelsius',
  'FanSpeedPercent',
  'FanSpeedsPercent',
  'RailVoltage',
  'RailPowerWatts',
  'RailCurrentAmps',
]

function fanReadings(labels: Labels, id: string, context: Context): Reading[] {
  const { body } = context
  if (textAt(body, 'Status', 'State') === 'Absent') {
    context.without.absent++
    return []
  }
  const own = { name: textAt(body, 'Name') ?? id, sensor: id }
  return ruled(labels, context, [
    { at: 'SpeedPercent', ...fanRatio, own },
    { at: 'SecondarySpeedPercent', ...fanRatio, own: { ...own, side: 'Secondary' } },
    { at: 'PowerWatts', metric: 'cray_sensor_power_watts', own: { ...own, context: 'Fan' } },
  ])
}

function thermalReadings(labels: Labels, context: Context): Reading[] {
  const summary = fieldAt(context.body, 'TemperatureSummaryCelsius')
  const places: Rule[] = ['Ambient', 'Exhaust', 'Intake', 'Internal'].map((at) => ({
    at,
    metric: temperature,
    own: { name: at, context: at },
  }))
  return [
    ...listed(labels, context, { at: 'TemperatureReadingsCelsius', metric: temperature }),
    ...ruled(labels, { ...context, body: summary }, places),
    ...ruled(labels, context, thermalRules),
    ...otherExcerpts(labels, context, {
      prefix: 'ThermalMetrics',
      ruledOut: [
        'TemperatureSummaryCelsius',
        'TemperatureReadingsCelsius',
        ...thermalRules.map(({ at }) => at),
      ],
    }),
  ]
}

const thermalRules: readonly Rule[] = [
  { at: 'PowerWatts', metric: 'cray_sensor_power_watts', own: { sensor: 'ThermalMetrics' } },
  {
    at: 'DeltaPressurekPa',
    metric: 'cray_sensor_pressure_pascals',
    factor: 1000,
    own: { sensor: 'DeltaPressure' },
  },
]

/** Redfish LeakDetector schema, `DetectorState`. */
function leakReadings(labels: Labels, body: unknown): Reading[] {
  const state = textAt(body, 'DetectorState')
  if (state === undefined || textAt(body, 'Status', 'State') === 'Absent') return []
  return stateReadings('cray_leak_detector_state', labels, state, ['OK', 'Warning', 'Critical'])
}

/** Detectors that a group alone tells of: most are resources themselves, copied here. */
function groupReadings(labels: Labels, body: unknown, own: ReadonlySet<string>): Reading[] {
  return listAt(body, 'LeakDetectorGroups').flatMap((group, index) => {
    const name = textAt(group, 'GroupName') ?? String(index)
    return listAt(group, 'Detectors').flatMap((member, place) => {
      const source = sourceOf(member) ?? linkAt(member)
      if (source !== undefined && own.has(source)) return []
      const id = textAt(member, 'DeviceName') ?? source?.split('/').at(-1) ?? String(place)
      return leakReadings({ ...labels, detector: `${name}/${id}` }, member)
    })
  })
}

/** Power limits of a chassis, those that no `EnvironmentMetrics` has shown. */
export function controlLimitReadings(
  labels: Labels,
  resources: Resources,
  all: Resources,
): Reading[] {
  const shown = new Set(
    [...all.values()].flatMap((body) => {
      const excerpt = fieldAt(body, 'PowerLimitWatts')
      return limitReadings({}, excerpt).map(({ metric }) => `${metric} ${sourceOf(excerpt)}`)
    }),
  )
  return [...resources].flatMap(([path, body]) => {
    const control = /\/Controls\/([^/]+)$/.exec(path)?.[1]
    if (control === undefined || !isPowerControl(body)) return []
    const own = limitReadings({ ...labels, control }, body)
    return own.filter(({ metric }) => !shown.has(`${metric} ${path}`))
  })
}

/** The limits that a resource copies of a Control, unless another has copied them. */
export function copiedLimits(labels: Labels, { body, shown }: Context): Reading[] {
  const excerpt = fieldAt(body, 'PowerLimitWatts')
  const found = limitReadings(labels, excerpt)
  return found.length > 0 && shown.isFirst(sourceOf(excerpt), 'power') ? found : []
}

/** By its type; one that tells none, by its unit or its name. */
export function isPowerControl(body: unknown): boolean {
  const type = textAt(body, 'ControlType')
  if (type !== undefined) return /^power$/i.test(type)
  const units = textAt(body, 'SetPointUnits')
  return units === undefined ? /power/i.test(textAt(body, 'Id') ?? '') : /^w$/i.test(units)
}

/** A Control, or its excerpt, where the limit in force is the set point. */
export function limitReadings(labels: Labels, body: unknown): Reading[] {
  const mode = textAt(body, 'ControlMode')
  const own = mode === undefined ? labels : { ...labels, mode }
  const limit = fieldAt(body, 'SetPoint') === undefined ? 'Reading' : 'SetPoint'
  const found: [MetricName, number | undefined][] = [
    ['cray_power_limit_watts', readingAt(body, limit)],
    [
      'cray_power_limit_min_watts',
      readingAt(body, 'SettingRangeMin') ?? readingAt(body, 'AllowableMin'),
    ],
    [
      'cray_power_limit_max_watts',
      readingAt(body, 'SettingRangeMax') ?? readingAt(body, 'AllowableMax'),
    ],
  ]
  return found.flatMap(([metric, value]) =>
    value === undefined ? [] : [{ metric, labels: own, value }],
  )
}
