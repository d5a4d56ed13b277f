import type { Collector } from './collector.ts'
import { rackPduReadings } from './pdu-circuits.ts'
import { rackPdu } from './rack-pdu.ts'

/**
 * A ServerTech PDU behind HPE's Redfish translation service. Its energies are labelled J, but are
 * the watt-hours of JAWS unchanged (hms-redfish-translation-layer).
 */
export const rts: Collector = {
  ...rackPdu,
  kind: 'rts',
  readings: ({ xname }, resources) => rackPduReadings(xname, resources, { energyFactor: 3600 }),
}
