import type { Reading } from '../metrics.ts'
import type { Collector } from './collector.ts'
import { server } from './standard.ts'

const standard = server('ami', '/redfish/v1/Chassis/Self', 1)

/**
 * A Gigabyte server (AMI MegaRAC). It bears one request at a time, and not many: HPE's manual
 * tells of BMCs that hang. Its three powers disagree, and what each means is not documented: all
 * are shown, under their own names.
 */
export const ami: Collector = {
  ...standard,
  readings: (device, resources) => asServerEnergy(standard.readings(device, resources)),
}

/** Its one sensor of energy is the server's; one of several is none. */
function asServerEnergy(readings: readonly Reading[]): Reading[] {
  const energies = readings.filter(({ metric }) => metric.endsWith('_energy_joules_total'))
  return readings.map((reading) => {
    if (energies.length > 1 || reading.metric !== 'cray_sensor_energy_joules_total') return reading
    const { xname = '', bmc = '', source = '' } = reading.labels
    const labels = { xname, bmc, source }
    return { metric: 'cray_server_energy_joules_total', labels, value: reading.value }
  })
}
