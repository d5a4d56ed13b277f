import type { Reading } from '../metrics.ts'
import { collection, collectionIfAny } from '../redfish/collection.ts'
import { parseSensor } from '../redfish/sensor.ts'
import type { Collector } from './collector.ts'
import { serverLabels, serverReadings } from './rack-server.ts'

const chassis = '/redfish/v1/Chassis/Self'

/**
 * A Gigabyte server (AMI MegaRAC). It bears one request at a time, and not many: HPE's manual
 * tells of BMCs that hang. Its three powers disagree, and what each means is not documented: all
 * are shown, under their own names.
 */
export const ami: Collector = {
  kind: 'ami',
  requestsAtOnce: 1,
  plan: async (get) => ({
    fast: [`${chassis}/Power`, ...(await collectionIfAny(`${chassis}/Sensors`, get))],
    slow: [`${chassis}/Thermal`, ...(await collection('/redfish/v1/Systems', get))],
  }),
  readings: ({ xname }, resources) => [
    ...serverReadings(xname, chassis, resources),
    ...[...resources].flatMap(([path, body]) => sensorReadings(xname, path, body)),
  ],
}

/** Named by the end of the path: an `Id` here is a text with blanks. */
function sensorReadings(bmc: string, path: string, body: unknown): Reading[] {
  if (!path.startsWith(`${chassis}/Sensors/`)) return []
  const { quantity, reading, place } = parseSensor(body, path)
  if (reading === undefined) return []
  const labels = serverLabels(bmc)
  const { value } = reading
  if (quantity === 'energy') return [{ metric: 'cray_server_energy_joules_total', labels, value }]
  if (quantity !== 'power') return []
  const sensor = path.slice(`${chassis}/Sensors/`.length)
  const own = { ...labels, chassis: 'Self', sensor, ...place }
  return [{ metric: 'cray_sensor_power_watts', labels: own, value }]
}
