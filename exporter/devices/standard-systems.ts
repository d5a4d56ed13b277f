import type { Reading } from '../metrics.ts'
import { textAt } from '../redfish/parse.ts'
import { type Context, otherExcerpts, type Rule, ruled } from './excerpts.ts'
import { powerStateReadings } from './power-state.ts'
import { serverLabels } from './server-place.ts'
import { copiedLimits, energyRules } from './standard-modules.ts'

type Labels = Record<string, string>
type Resources = ReadonlyMap<string, unknown>

export const systemsPath = '/redfish/v1/Systems'

/** Power states of the nodes, and what their processors, memory and drives measure. */
export function systemReadings(
  bmc: string,
  all: Resources,
  context: Omit<Context, 'body'>,
): Reading[] {
  const nodes = nodesOf(all)
  return systemPaths(all).flatMap((path) => {
    const body = all.get(path)
    const within = { ...context, body }
    const [system = '', ...inside] = path.slice(systemsPath.length + 1).split('/')
    const node = nodes.indexOf(system)
    const labels = serverLabels(bmc, Math.max(0, node))
    if (inside.length === 0) return node === -1 ? [] : powerStateReadings(labels, body)
    const [list, processor, resource] = inside
    if (list === 'Processors' && processor !== undefined && inside.length === 3) {
      const own = { ...labels, processor }
      return resource === 'EnvironmentMetrics'
        ? processorReadings(own, within)
        : processorMetricsReadings(own, within)
    }
    const place = otherPlace(labels, node, system)
    const prefix = inside.slice(0, -1).join('/')
    return [
      ...otherExcerpts(place, within, { prefix }),
      ...copiedLimits({ ...place, control: prefix }, within),
    ]
  })
}

/** What is no node of its own is told by its name. */
function otherPlace(labels: Labels, node: number, system: string): Labels {
  return node === -1 ? { ...labels, chassis: system } : labels
}

/** What a processor or accelerator measures of itself; its watts are part of the server's. */
function processorReadings(labels: Labels, context: Context): Reading[] {
  const { processor: prefix = '', ...place } = labels
  const { body } = context
  return [
    ...ruled(labels, context, processorRules),
    ...ruled(labels, context, energyRules(body, 'cray_processor_energy_joules_total')),
    ...otherExcerpts(place, context, {
      prefix: `Processors/${prefix}`,
      ruledOut: [...processorRules.map(({ at }) => at), 'EnergyJoules', 'EnergykWh'],
    }),
    ...copiedLimits({ ...labels, control: 'EnvironmentMetrics' }, context),
  ]
}

const processorRules: readonly Rule[] = [
  { at: 'PowerWatts', metric: 'cray_processor_power_watts' },
  { at: 'TemperatureCelsius', metric: 'cray_processor_temperature_celsius' },
]

/** The older `ProcessorMetrics` has plain numbers; its twin in `EnvironmentMetrics` comes first. */
function processorMetricsReadings(labels: Labels, context: Context): Reading[] {
  const { processor = '', ...place } = labels
  const core: Rule = {
    at: 'CoreVoltage',
    metric: 'cray_sensor_voltage_volts',
    own: { sensor: `Processors/${processor}/CoreVoltage` },
  }
  return [
    ...ruled(labels, context, [
      { at: 'ConsumedPowerWatt', metric: 'cray_processor_power_watts' },
      { at: 'TemperatureCelsius', metric: 'cray_processor_temperature_celsius' },
    ]),
    ...ruled(place, context, [core]),
  ]
}

/** Systems in the order of their paths are the nodes of the controller; virtual ones are none. */
export function nodesOf(all: Resources): string[] {
  const ids = [...new Set(systemPaths(all).map((path) => path.split('/')[4] ?? ''))]
  return ids.filter((id) => {
    const type = textAt(all.get(`${systemsPath}/${id}`), 'SystemType')
    return type === undefined || !/^(OS|Virtual|VirtuallyPartitioned)$/.test(type)
  })
}

function systemPaths(all: Resources): string[] {
  return [...all.keys()].filter((path) => path.startsWith(`${systemsPath}/`)).sort()
}
