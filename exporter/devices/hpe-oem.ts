import type { Reading } from '../metrics.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'
import { readingAt } from '../redfish/units.ts'
import { serverLabels } from './server-place.ts'
import type { Without } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>

/**
 * What HPE adds to the standard: the meter of an iLO, which knows the shares of processors and
 * memory, and of an Apollo 6500 the power of its enclosure and the limits of its zones.
 */
export function hpeReadings(bmc: string, resources: Resources, without: Without): Reading[] {
  return [...resources].flatMap(([path, body]) => {
    if (path.endsWith('/FastPowerMeter')) return meterReadings(bmc, body, without)
    if (fieldAt(body, 'PowerLimitRanges') !== undefined) return zoneReadings(bmc, body)
    return /^\/redfish\/v1\/Chassis\/[^/]+$/.test(path) ? enclosureReadings(bmc, body) : []
  })
}

/**
 * The newest of the meter's details. 0 stands for what is not there. A share beyond the peak of the
 * whole server is one of the meter's outliers (1030 W between 8 and 10 were seen), no reading.
 */
function meterReadings(bmc: string, body: unknown, without: Without): Reading[] {
  const newest = [...listAt(body, 'PowerDetail')].sort(byTime).at(-1)
  const peak = readingAt(newest, 'Peak') ?? Number.POSITIVE_INFINITY
  return Object.entries(shares).flatMap(([domain, field]): Reading[] => {
    const value = readingAt(newest, field)
    if (value === undefined || value === 0) return []
    if (value > peak) {
      without.implausible++
      return []
    }
    const labels = { ...serverLabels(bmc), domain }
    return [{ metric: 'cray_domain_power_watts', labels, value }]
  })
}

/** Domains are called as in `/sys/cray/pm_counters`. */
const shares = { cpu: 'CpuWatts', memory: 'DimmWatts', accel: 'GpuWatts' }

function byTime(a: unknown, b: unknown): number {
  return (textAt(a, 'Time') ?? '') < (textAt(b, 'Time') ?? '') ? -1 : 1
}

/** `HpeServerAccPowerLimit`, which takes the place of a limit in `PowerControl`. */
function zoneReadings(bmc: string, body: unknown): Reading[] {
  return zoneLimits.flatMap(([metric, list, field]) =>
    listAt(body, list).flatMap((zone): Reading[] => {
      const control = `Zone${numberAt(zone, 'ZoneNumber') ?? 0}`
      const value = readingAt(zone, field)
      return value === undefined
        ? []
        : [{ metric, labels: { ...serverLabels(bmc), control }, value }]
    }),
  )
}

const zoneLimits = [
  ['cray_power_limit_watts', 'ActualPowerLimits', 'PowerLimitInWatts'],
  ['cray_power_limit_min_watts', 'PowerLimitRanges', 'MinimumPowerLimit'],
  ['cray_power_limit_max_watts', 'PowerLimitRanges', 'MaximumPowerLimit'],
] as const

function enclosureReadings(bmc: string, body: unknown): Reading[] {
  return Object.entries(enclosureParts).flatMap(([part, field]): Reading[] => {
    const value = readingAt(body, 'Oem', 'Hpe', field)
    const labels = { ...serverLabels(bmc), part }
    return value === undefined
      ? []
      : [{ metric: 'cray_server_enclosure_power_watts', labels, value }]
  })
}

const enclosureParts = { chassis: 'ChassisPowerWatts', node: 'NodePowerWatts' }
