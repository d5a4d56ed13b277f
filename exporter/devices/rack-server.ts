import type { Reading } from '../metrics.ts'
import { powerStateReadings } from './power-state.ts'
import { powerThermalReadings } from './power-thermal.ts'

/** What a rack server measures is its node: a BMC has one, `n0` (hms-smd). */
export function serverLabels(bmc: string): Record<string, string> {
  return { xname: `${bmc}n0`, bmc, source: 'redfish' }
}

/** Power, temperatures, fans and power state of a server whose chassis is at `chassisPath`. */
export function serverReadings(
  bmc: string,
  chassisPath: string,
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const labels = serverLabels(bmc)
  const power = resources.get(`${chassisPath}/Power`)
  const thermal = resources.get(`${chassisPath}/Thermal`)
  const found = powerThermalReadings(labels, power, thermal)
  for (const [path, body] of resources) {
    if (/^\/redfish\/v1\/Systems\/[^/]+$/.test(path)) {
      found.push(...powerStateReadings(labels, body))
    }
  }
  return found
}
