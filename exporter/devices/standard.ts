import type { DeviceKind } from '../inventory/static.ts'
import { collectionIfAny, type Get } from '../redfish/collection.ts'
import type { Collector, Plan } from './collector.ts'
import { expandOf } from './standard-expand.ts'
import {
  planChassis,
  planEquipment,
  planManagers,
  planSystems,
  type Wanted,
} from './standard-plan.ts'
import { standardReadings } from './standard-readings.ts'

const chassisList = '/redfish/v1/Chassis'

/** Any device that speaks Redfish: what the standard schemas say of each of its chassis. */
export const standard: Collector = {
  kind: 'redfish',
  plan: async (get) => await expandingPlan(await collectionIfAny(chassisList, get), get),
  readings: ({ xname }, resources) => standardReadings(xname, resources),
}

/**
 * A server of a known kind: its chassis at a known place, whose readings carry no label `chassis`,
 * and what others it has.
 */
export function server(kind: DeviceKind, main: string, requestsAtOnce?: number): Collector {
  const name = main.slice(chassisList.length + 1)
  return {
    kind,
    ...(requestsAtOnce !== undefined && { requestsAtOnce }),
    plan: async (get) => {
      const chassis = [main, ...(await collectionIfAny(chassisList, get))]
      // What bears one request at a time does not bear a large one either.
      return await (requestsAtOnce === 1 ? standardPlan : expandingPlan)(chassis, get)
    },
    readings: ({ xname }, resources) => standardReadings(xname, resources, name),
  }
}

async function expandingPlan(chassis: readonly string[], get: Get): Promise<Plan> {
  const plan = await standardPlan(chassis, get)
  return { ...plan, expand: await expandOf(plan, get) }
}

async function standardPlan(chassis: readonly string[], get: Get): Promise<Plan> {
  const wanted: Wanted = { fast: [], slow: [] }
  const planned = new Set<string>()
  for (const path of chassis) await planChassis(path, get, wanted, planned)
  await planEquipment(get, wanted, planned)
  const owned = [...(await planSystems(get, wanted)), ...(await planManagers(get, wanted))]
  for (const path of owned.filter((each) => each.startsWith(`${chassisList}/`))) {
    await planChassis(path, get, wanted, planned)
  }
  const fast = unique(wanted.fast)
  const slow = unique(wanted.slow).filter((path) => !fast.includes(path))
  return { fast: fast.length > 0 ? fast : ['/redfish/v1'], slow }
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)]
}
