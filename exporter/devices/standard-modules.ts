import { type MetricName, type Reading, stateReadings } from '../metrics.ts'
import { type Excerpt, excerptAt } from '../redfish/excerpt.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'
import { inBaseUnits } from '../redfish/units.ts'

type Labels = Record<string, string>
type Resources = ReadonlyMap<string, unknown>

/** An excerpt of a resource: its property, its metric, what makes it base units, own labels. */
interface Rule {
  at: string
  metric: MetricName
  factor?: number
  own?: Labels
}

/** Whether no other resource has shown what this excerpt is copied from. */
export type IsNew = (excerpt: Excerpt) => boolean

/** Remembers what was shown: a sensor that is excerpted in two resources belongs to the first. */
export function firstOnly(): IsNew {
  const shown = new Set<string>()
  return ({ source }) => {
    if (source === undefined) return true
    const isFirst = !shown.has(source)
    shown.add(source)
    return isFirst
  }
}

/**
 * The newer resources of a chassis (Redfish `EnvironmentMetrics`, `PowerSubsystem`,
 * `ThermalSubsystem`).
 */
export function moduleReadings(labels: Labels, resources: Resources, isNew: IsNew): Reading[] {
  return [...resources].flatMap(([path, body]) => {
    const of = (pattern: RegExp) => pattern.exec(path)?.[1]
    const context = { body, isNew }
    const bay = of(/\/PowerSupplies\/([^/]+)\/Metrics$/)
    if (bay !== undefined) return supplyReadings({ ...labels, bay }, bay, context)
    const fan = of(/\/Fans\/([^/]+)$/)
    if (fan !== undefined) return fanReadings(labels, fan, context)
    if (path.endsWith('/ThermalMetrics')) return thermalReadings(labels, context)
    const detector = of(/\/LeakDetectors\/([^/]+)$/)
    if (detector !== undefined) return leakReadings({ ...labels, detector }, body)
    return path.endsWith('/EnvironmentMetrics') ? environmentReadings(labels, context) : []
  })
}

interface Context {
  body: unknown
  isNew: IsNew
}

function environmentReadings(labels: Labels, context: Context): Reading[] {
  const { body } = context
  const kilowattHours = fieldAt(body, 'EnergyJoules') === undefined
  return [
    ...ruled(labels, context, environmentRules),
    ...(kilowattHours
      ? ruled(labels, context, [energyRule('cray_server_energy_joules_total')])
      : []),
    ...listed(labels, context, { at: 'FanSpeedsPercent', ...fanRatio }),
    ...limitReadings(
      { ...labels, control: 'EnvironmentMetrics' },
      fieldAt(body, 'PowerLimitWatts'),
    ),
  ]
}

const fanRatio = { metric: 'cray_fan_speed_ratio', factor: 0.01 } as const
const temperature = 'cray_server_temperature_celsius'

const environmentRules: readonly Rule[] = [
  { at: 'PowerWatts', metric: 'cray_server_power_watts', own: { control: 'EnvironmentMetrics' } },
  { at: 'EnergyJoules', metric: 'cray_server_energy_joules_total' },
  { at: 'TemperatureCelsius', metric: temperature, own: { name: 'EnvironmentMetrics' } },
  { at: 'DewPointCelsius', metric: temperature, own: { name: 'DewPoint' } },
  { at: 'HumidityPercent', metric: 'cray_server_humidity_ratio', factor: 0.01 },
]

function energyRule(metric: MetricName): Rule {
  return { at: 'EnergykWh', metric, factor: 3.6e6 }
}

function supplyReadings(labels: Labels, name: string, context: Context): Reading[] {
  const { bay: _, ...place } = labels
  const rail = { ...place, context: 'PowerSupply' }
  const rules = [{ at: 'TemperatureCelsius', metric: temperature, own: { name } }] as const
  return [
    ...ruled(labels, context, supplyRules),
    ...ruled(rail, context, rules),
    ...ruled(place, context, [{ at: 'FanSpeedPercent', ...fanRatio, own: { name } }]),
    ...listed(place, context, { at: 'FanSpeedsPercent', ...fanRatio }, name),
    ...listed(rail, context, { at: 'RailVoltage', metric: 'cray_server_voltage_volts' }, name),
    ...listed(labels, context, { at: 'RailPowerWatts', metric: 'cray_power_supply_rail_watts' }),
    ...listed(labels, context, {
      at: 'RailCurrentAmps',
      metric: 'cray_power_supply_rail_amperes',
    }),
  ]
}

const supplyRules: readonly Rule[] = [
  { at: 'InputPowerWatts', metric: 'cray_power_supply_input_watts' },
  { at: 'InputVoltage', metric: 'cray_power_supply_input_volts' },
  { at: 'InputCurrentAmps', metric: 'cray_power_supply_input_amperes' },
  { at: 'OutputPowerWatts', metric: 'cray_power_supply_output_watts' },
  energyRule('cray_power_supply_energy_joules_total'),
]

function fanReadings(labels: Labels, id: string, context: Context): Reading[] {
  const { body } = context
  if (textAt(body, 'Status', 'State') === 'Absent') return []
  const own = { name: textAt(body, 'Name') ?? id, sensor: id }
  const rpm = numberAt(body, 'SpeedPercent', 'SpeedRPM')
  const turning: Reading[] =
    rpm === undefined
      ? []
      : [{ metric: 'cray_fan_speed_rpm', labels: { ...labels, ...own }, value: rpm }]
  const rules: Rule[] = [
    { at: 'SpeedPercent', ...fanRatio, own },
    { at: 'SecondarySpeedPercent', ...fanRatio, own: { ...own, side: 'Secondary' } },
    { at: 'PowerWatts', metric: 'cray_sensor_power_watts', own: { ...own, context: 'Fan' } },
  ]
  return [...turning, ...ruled(labels, context, rules)]
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
    ...ruled(labels, context, [
      { at: 'PowerWatts', metric: 'cray_sensor_power_watts', own: { sensor: 'ThermalMetrics' } },
      {
        at: 'DeltaPressurekPa',
        metric: 'cray_sensor_pressure_pascals',
        factor: 1000,
        own: { sensor: 'DeltaPressure' },
      },
    ]),
  ]
}

/** Redfish LeakDetector schema, `DetectorState`. */
function leakReadings(labels: Labels, body: unknown): Reading[] {
  const state = textAt(body, 'DetectorState')
  if (state === undefined || textAt(body, 'Status', 'State') === 'Absent') return []
  return stateReadings('cray_leak_detector_state', labels, state, ['OK', 'Warning', 'Critical'])
}

/** Power limits of a chassis, those that no `EnvironmentMetrics` has shown. */
export function controlLimitReadings(labels: Labels, resources: Resources): Reading[] {
  const excerpts = [...resources.values()].map((body) => fieldAt(body, 'PowerLimitWatts'))
  const shown = new Set(excerpts.map((excerpt) => textAt(excerpt, 'DataSourceUri')))
  return [...resources].flatMap(([path, body]) => {
    const control = /\/Controls\/([^/]+)$/.exec(path)?.[1]
    if (control === undefined || shown.has(path)) return []
    if (textAt(body, 'ControlType') !== 'Power') return []
    return limitReadings({ ...labels, control }, body)
  })
}

/** What a processor or accelerator measures of itself; its watts are part of the server's. */
export function processorReadings(labels: Labels, body: unknown, isNew: IsNew): Reading[] {
  const context = { body, isNew }
  return [
    ...ruled(labels, context, processorRules),
    ...limitReadings(
      { ...labels, control: 'EnvironmentMetrics' },
      fieldAt(body, 'PowerLimitWatts'),
    ),
  ]
}

const processorRules: readonly Rule[] = [
  { at: 'PowerWatts', metric: 'cray_processor_power_watts' },
  { at: 'EnergyJoules', metric: 'cray_processor_energy_joules_total' },
  energyRule('cray_processor_energy_joules_total'),
  { at: 'TemperatureCelsius', metric: 'cray_processor_temperature_celsius' },
]

/** A Control, or its excerpt, where the limit in force is the set point. */
function limitReadings(labels: Labels, body: unknown): Reading[] {
  const mode = textAt(body, 'ControlMode')
  const own = mode === undefined ? labels : { ...labels, mode }
  const limit = fieldAt(body, 'SetPoint') === undefined ? 'Reading' : 'SetPoint'
  const found: [MetricName, number | undefined][] = [
    ['cray_power_limit_watts', numberAt(body, limit)],
    [
      'cray_power_limit_min_watts',
      numberAt(body, 'SettingRangeMin') ?? numberAt(body, 'AllowableMin'),
    ],
    [
      'cray_power_limit_max_watts',
      numberAt(body, 'SettingRangeMax') ?? numberAt(body, 'AllowableMax'),
    ],
  ]
  return found.flatMap(([metric, value]) =>
    value === undefined ? [] : [{ metric, labels: own, value }],
  )
}

function ruled(labels: Labels, { body, isNew }: Context, rules: readonly Rule[]): Reading[] {
  return rules.flatMap(({ at, metric, factor = 1, own }) => {
    const excerpt = excerptAt(body, at)
    if (excerpt === undefined || !isNew(excerpt)) return []
    return [{ metric, labels: { ...labels, ...own }, value: inBaseUnits(excerpt.value, factor) }]
  })
}

/** A list of excerpts, named by the devices they tell of, else by their sensors or their order. */
function listed(
  labels: Labels,
  { body, isNew }: Context,
  { at, metric, factor = 1 }: Rule,
  within?: string,
): Reading[] {
  return listAt(body, at).flatMap((each, index) => {
    const excerpt = excerptAt(each)
    if (excerpt === undefined || !isNew(excerpt)) return []
    const own = excerpt.name ?? excerpt.source?.split('/').at(-1) ?? String(index + 1)
    const name = within === undefined ? own : `${within} ${own}`
    return [{ metric, labels: { ...labels, name }, value: inBaseUnits(excerpt.value, factor) }]
  })
}
