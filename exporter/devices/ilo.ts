import { collection } from '../redfish/collection.ts'
import type { Collector } from './collector.ts'
import { serverReadings } from './rack-server.ts'

const chassis = '/redfish/v1/Chassis/1'

/** An HPE server with iLO 5: live power, no energy counter; fans in percent. */
export const ilo: Collector = {
  kind: 'ilo',
  plan: async (get) => ({
    fast: [`${chassis}/Power`],
    slow: [`${chassis}/Thermal`, ...(await collection('/redfish/v1/Systems', get))],
  }),
  readings: ({ xname }, resources) => serverReadings(xname, chassis, resources),
}
