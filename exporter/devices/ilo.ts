import type { Reading } from '../metrics.ts'
import { collectionIfAny, ifAny } from '../redfish/collection.ts'
import { listAt, numberAt, textAt } from '../redfish/parse.ts'
import type { Collector } from './collector.ts'
import { serverLabels } from './server-place.ts'
import { server } from './standard.ts'

const chassis = '/redfish/v1/Chassis/1'
const meter = `${chassis}/Power/FastPowerMeter`
const enclosure = '/redfish/v1/Chassis/EnclosureChassis'
const standard = server('ilo', chassis)

/**
 * An HPE server with iLO: live power, no energy counter; fans in percent. Its meter knows the
 * shares of processors and memory, the enclosure of an Apollo 6500 its own power.
 */
export const ilo: Collector = {
  ...standard,
  plan: async (get) => {
    const { fast, slow } = await standard.plan(get)
    const all = await collectionIfAny('/redfish/v1/Chassis', get)
    const shared = all.includes(enclosure) ? [enclosure] : []
    const metered = (await ifAny(get(meter))) === undefined ? [] : [meter]
    return { fast: [...fast, ...metered, ...shared], slow }
  },
  readings: (device, resources) => [
    ...standard.readings(device, resources),
    ...meterReadings(device.xname, resources.get(meter)),
    ...enclosureReadings(device.xname, resources.get(enclosure)),
  ],
}

/**
 * The newest of the meter's details. 0 stands for what is not there. A share beyond the peak of the
 * whole server is one of the meter's outliers (1030 W between 8 and 10 were seen), no reading.
 */
function meterReadings(bmc: string, body: unknown): Reading[] {
  const newest = [...listAt(body, 'PowerDetail')].sort(byTime).at(-1)
  const labels = serverLabels(bmc)
  const peak = numberAt(newest, 'Peak') ?? Number.POSITIVE_INFINITY
  const found: Reading[] = []
  let implausible = 0
  for (const [domain, field] of Object.entries(shares)) {
    const value = numberAt(newest, field)
    if (value === undefined || value === 0) continue
    if (value > peak) implausible++
    else found.push({ metric: 'cray_domain_power_watts', labels: { ...labels, domain }, value })
  }
  const count = { ...labels, xname: bmc, reason: 'implausible' }
  return [...found, { metric: 'cray_sensors_without_reading', labels: count, value: implausible }]
}

/** Domains are called as in `/sys/cray/pm_counters`. */
const shares = { cpu: 'CpuWatts', memory: 'DimmWatts', accel: 'GpuWatts' }

function byTime(a: unknown, b: unknown): number {
  return (textAt(a, 'Time') ?? '') < (textAt(b, 'Time') ?? '') ? -1 : 1
}

function enclosureReadings(bmc: string, body: unknown): Reading[] {
  return Object.entries({ chassis: 'ChassisPowerWatts', node: 'NodePowerWatts' }).flatMap(
    ([part, field]) => {
      const value = numberAt(body, 'Oem', 'Hpe', field)
      const labels = { ...serverLabels(bmc), part }
      return value === undefined
        ? []
        : [{ metric: 'cray_server_enclosure_power_watts', labels, value }]
    },
  )
}
