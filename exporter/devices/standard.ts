import type { DeviceKind } from '../inventory/static.ts'
import { collection, type Get } from '../redfish/collection.ts'
import type { Collector, Plan } from './collector.ts'
import { planChassis, planManagers, planSystems, type Wanted } from './standard-plan.ts'
import { standardReadings } from './standard-readings.ts'

/** Any device that speaks Redfish: what the standard schemas say of each of its chassis. */
export const standard: Collector = {
  kind: 'redfish',
  plan: async (get) => await standardPlan(await collection('/redfish/v1/Chassis', get), get),
  readings: ({ xname }, resources) => standardReadings(xname, resources),
}

/** A server of a known kind: its one chassis, at a known place. */
export function server(kind: DeviceKind, chassis: string, requestsAtOnce?: number): Collector {
  const main = chassis.split('/')[4]
  return {
    kind,
    ...(requestsAtOnce !== undefined && { requestsAtOnce }),
    plan: async (get) => await standardPlan([chassis], get),
    readings: ({ xname }, resources) => standardReadings(xname, resources, main),
  }
}

export async function standardPlan(chassis: readonly string[], get: Get): Promise<Plan> {
  const wanted: Wanted = { fast: [], slow: [] }
  for (const path of chassis) await planChassis(path, get, wanted)
  await planSystems(get, wanted)
  await planManagers(get, wanted)
  const fast = unique(wanted.fast)
  const slow = unique(wanted.slow).filter((path) => !fast.includes(path))
  return { fast: fast.length > 0 ? fast : ['/redfish/v1'], slow }
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)]
}
