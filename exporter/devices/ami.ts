import type { Reading } from '../metrics.ts'
import { listAt, numberAt } from '../redfish/parse.ts'
import type { Collector } from './collector.ts'
import { serverLabels } from './server-place.ts'
import { server } from './standard.ts'

const chassis = '/redfish/v1/Chassis/Self'
const standard = server('ami', chassis, 1)

/**
 * A Gigabyte server (AMI MegaRAC). It bears one request at a time, and not many: HPE's manual
 * tells of BMCs that hang. Its three powers disagree, and what each means is not documented: all
 * are shown, under their own names.
 */
export const ami: Collector = {
  ...standard,
  readings: (device, resources) => {
    const found = standard.readings(device, resources).map(asServerEnergy)
    if (found.some(({ metric }) => metric === serverEnergy)) return found
    return [...found, ...accumulatedEnergy(device.xname, resources.get(`${chassis}/Power`))]
  },
}

const serverEnergy = 'cray_server_energy_joules_total'

/** Its one sensor of energy is the server's. */
function asServerEnergy(reading: Reading): Reading {
  if (reading.metric !== 'cray_sensor_energy_joules_total') return reading
  const { xname = '', bmc = '', source = '' } = reading.labels
  return { metric: serverEnergy, labels: { xname, bmc, source }, value: reading.value }
}

/** The same figure as the sensor's, where there is no sensor. */
function accumulatedEnergy(bmc: string, power: unknown): Reading[] {
  const path = ['Oem', 'Vendor', 'PowerMetrics', 'AccumulatedEnergyJoules']
  const value = numberAt(listAt(power, 'PowerControl')[0], ...path)
  if (value === undefined) return []
  return [{ metric: serverEnergy, labels: serverLabels(bmc), value }]
}
