import type { Reading } from '../metrics.ts'
import { excerptSources } from '../redfish/excerpt.ts'
import { parseSensor, type Sensor } from '../redfish/sensor.ts'
import { anySensorReadings } from './any-sensor.ts'
import { partReadings } from './health.ts'
import { powerStateReadings } from './power-state.ts'
import { plainName, powerThermalReadings } from './power-thermal.ts'
import { serverLabels } from './server-place.ts'
import {
  controlLimitReadings,
  firstOnly,
  type IsNew,
  moduleReadings,
  processorReadings,
} from './standard-modules.ts'

type Resources = ReadonlyMap<string, unknown>
type Labels = Record<string, string>

/** Sensors that gave no value, by reason. */
type Without = Record<'absent' | 'no_reading' | 'never_read', number>

/**
 * Whatever the standard schemas tell of a server or other device. A value that stands in several
 * resources is shown once: excerpts before the sensor that they are copied from, newer resources
 * before `Power` and `Thermal`, only the whole power by its older name. `mainChassis` is the one
 * whose readings carry no label `chassis`.
 */
export function standardReadings(bmc: string, all: Resources, mainChassis?: string): Reading[] {
  const without: Without = { absent: 0, no_reading: 0, never_read: 0 }
  const copied = copiedSensors(all)
  const isNew = firstOnly()
  const systems = systemReadings(bmc, all, isNew)
  const found = [...byChassis(all)].flatMap(([chassis, resources]) => {
    const labels = serverLabels(bmc)
    const place = chassis === mainChassis ? labels : { ...labels, chassis }
    return chassisReadings({ chassis, labels: place, resources, copied, without, isNew })
  })
  const labels = { ...serverLabels(bmc), xname: bmc }
  const counts = Object.entries(without).map(([reason, value]) => {
    return { metric: 'cray_sensors_without_reading', labels: { ...labels, reason }, value } as const
  })
  const nodes = nodesOf(all)
  const parts = partReadings(all, (path) => placeOfPart(bmc, path, nodes))
  return [...found, ...systems, ...counts, ...parts]
}

/** A manager is the controller; what no system has as its own belongs to the first node. */
function placeOfPart(bmc: string, path: string, nodes: readonly string[]): Labels {
  if (path.startsWith('/redfish/v1/Managers/')) return { ...serverLabels(bmc), xname: bmc }
  const system = path.startsWith(`${systems}/`) ? path.split('/')[4] : undefined
  return serverLabels(bmc, Math.max(0, nodes.indexOf(system ?? '')))
}

interface Chassis {
  chassis: string
  labels: Labels
  resources: Resources
  /** Sensors that some excerpt shows. */
  copied: ReadonlySet<string>
  without: Without
  isNew: IsNew
}

function chassisReadings(one: Chassis): Reading[] {
  const { chassis, labels, resources, copied, without, isNew } = one
  const modules = moduleReadings(labels, resources, isNew)
  const sensors = sensorsOf(resources)
  const own = [...sensors].flatMap(([path, sensor]) => {
    if (copied.has(path)) return []
    if (sensor.without !== undefined) without[sensor.without]++
    return anySensorReadings({ ...labels, chassis, sensor: endOf(path) }, sensor)
  })
  const names = [...sensors.values()].map(({ id, place }) => place['name'] ?? id)
  const moduleNames = modules.flatMap(({ labels }) => labels['name'] ?? [])
  const old = powerThermalReadings({
    labels,
    power: endingIn('/Power', resources),
    thermal: endingIn('/Thermal', resources),
    known: {
      supplies: modules.some(({ metric }) => metric.startsWith('cray_power_supply_')),
      fans: modules.some(({ metric }) => metric.startsWith('cray_fan_')),
      names: new Set([...names, ...moduleNames].map(plainName)),
    },
  })
  without.absent += old.absent
  without.no_reading += old.noReading
  const hasPower = old.readings.some(({ metric }) => metric === wholePower)
  const newer = modules.filter(({ metric }) => !hasPower || metric !== wholePower)
  return [...old.readings, ...newer, ...own, ...controlLimitReadings(labels, resources)]
}

/** A Control copies the sensor that it watches, but is not where that is shown. */
function copiedSensors(all: Resources): Set<string> {
  const shown = [...all].filter(([path]) => !path.includes('/Controls/'))
  return new Set(shown.flatMap(([, body]) => excerptSources(body)))
}

const wholePower = 'cray_server_power_watts'

function byChassis(all: Resources): Map<string, Map<string, unknown>> {
  const found = new Map<string, Map<string, unknown>>()
  for (const [path, body] of all) {
    const chassis = /^\/redfish\/v1\/Chassis\/([^/]+)\//.exec(path)?.[1]
    if (chassis === undefined) continue
    const own = found.get(chassis) ?? new Map<string, unknown>()
    found.set(chassis, own.set(path, body))
  }
  return found
}

function sensorsOf(resources: Resources): Map<string, Sensor> {
  const found = new Map<string, Sensor>()
  for (const [path, body] of resources) {
    if (/\/Sensors\/[^/]+$/.test(path)) found.set(path, parseSensor(body, path))
  }
  return found
}

function endingIn(end: string, resources: Resources): unknown {
  return [...resources].find(([path]) => path.endsWith(end))?.[1]
}

function endOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function systemReadings(bmc: string, all: Resources, isNew: IsNew): Reading[] {
  const nodes = nodesOf(all)
  return systemPaths(all).flatMap((path) => {
    const [system = '', , processor] = path.slice(systems.length + 1).split('/')
    const labels = serverLabels(bmc, nodes.indexOf(system))
    if (processor === undefined) return powerStateReadings(labels, all.get(path))
    return processorReadings({ ...labels, processor }, all.get(path), isNew)
  })
}

/** Systems in the order of their paths are the nodes of the controller. */
function nodesOf(all: Resources): string[] {
  return [...new Set(systemPaths(all).map((path) => path.split('/')[4] ?? ''))]
}

function systemPaths(all: Resources): string[] {
  return [...all.keys()].filter((path) => path.startsWith(`${systems}/`)).sort()
}

const systems = '/redfish/v1/Systems'
