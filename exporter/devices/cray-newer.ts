import type { Reading } from '../metrics.ts'
import { crayPlace } from './cray-place.ts'
import { ShownSensors } from './excerpts.ts'
import { moduleReadings } from './standard-modules.ts'
import { newWithout } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>

/**
 * What a Cray controller tells by the newer standard schemas (`EnvironmentMetrics`,
 * `LeakDetection`, ..), but for copies of its sensors, which are shown as themselves. `names`: see
 * `nodeNames`.
 */
export function newerReadings(
  bmc: string,
  resources: Resources,
  names: ReadonlyMap<string, string>,
): Reading[] {
  const found = [...resources.keys()].filter((path) => newerPath.test(path))
  if (found.length === 0) return []
  const sensors = new Set([...resources.keys()].filter((path) => /\/Sensors\/[^/]+$/.test(path)))
  const context = { shown: new ShownSensors(sensors), without: newWithout(), sensors }
  const chassis = new Set(found.flatMap((path) => newerPath.exec(path)?.[1] ?? []))
  return [...chassis].flatMap((name) => {
    const chassisPath = `/redfish/v1/Chassis/${name}`
    const labels = { ...crayPlace(bmc, names.get(`Chassis/${name}`) ?? name), chassis: name }
    const own = found.filter((path) => path.startsWith(`${chassisPath}/`))
    const bodies = new Map(own.map((path) => [path, resources.get(path)]))
    return moduleReadings(labels, bodies, { ...context, chassisPath })
  })
}

const newerPath = new RegExp(
  '^/redfish/v1/Chassis/([^/]+)/(?:EnvironmentMetrics|PowerSubsystem|ThermalSubsystem|' +
    'LeakDetection|LeakDetectors|Fans|Pumps)(?:/|$)',
)
