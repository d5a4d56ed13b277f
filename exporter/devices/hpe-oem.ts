import type { Reading } from '../metrics.ts'
import { listAt, textAt } from '../redfish/parse.ts'
import { readingAt } from '../redfish/units.ts'
import { serverLabels } from './server-place.ts'
import type { Without } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>

/**
 * What HPE adds to the standard: the meter of an iLO, which knows the shares of processors and
 * memory, and the power of the enclosure that an Apollo 6500 stands in.
 */
export function hpeReadings(bmc: string, resources: Resources, without: Without): Reading[] {
  return [...resources].flatMap(([path, body]) => {
    if (path.endsWith('/FastPowerMeter')) return meterReadings(bmc, body, without)
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
