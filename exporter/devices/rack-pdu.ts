import {
  collection,
  collectionIfAny,
  type Get,
  ifAny,
  listingIfAny,
} from '../redfish/collection.ts'
import { linkAt } from '../redfish/parse.ts'
import type { Collector, Plan } from './collector.ts'
import { rackPduReadings } from './pdu-circuits.ts'
import { planSensors } from './standard-plan.ts'

export const rackPdus = '/redfish/v1/PowerEquipment/RackPDUs'

/**
 * A PDU that speaks Redfish (DMTF `PowerDistribution`), its probes perhaps sensors of a chassis.
 * One request at a time.
 */
export const rackPdu: Collector = {
  kind: 'rack-pdu',
  requestsAtOnce: 1,
  plan,
  readings: ({ xname }, resources) => rackPduReadings(xname, resources),
}

async function plan(get: Get): Promise<Plan> {
  const found = { fast: [] as string[], slow: [] as string[] }
  const once = [rackPdus]
  for (const path of await collection(rackPdus, get)) {
    const pdu = await ifAny(get(path))
    if (pdu !== undefined) found.slow.push(path)
    const metrics = linkAt(pdu, 'Metrics')
    if (metrics !== undefined) found.fast.push(metrics)
    for (const name of ['Mains', 'Outlets', 'Branches', 'Feeders', 'Subfeeds', 'OutletGroups']) {
      const { members, pages } = await listingIfAny(linkAt(pdu, name), get)
      once.push(...pages)
      found[/^(Branches|OutletGroups)$/.test(name) ? 'slow' : 'fast'].push(...members)
    }
    await planSensors(linkAt(pdu, 'Sensors'), get, found)
  }
  for (const path of await collectionIfAny('/redfish/v1/Chassis', get)) {
    const chassis = await ifAny(get(path))
    const metrics = linkAt(chassis, 'EnvironmentMetrics')
    if (metrics !== undefined) found.slow.push(metrics)
    await planSensors(linkAt(chassis, 'Sensors'), get, found)
  }
  return { ...found, fast: found.fast.length > 0 ? found.fast : [rackPdus], once }
}
