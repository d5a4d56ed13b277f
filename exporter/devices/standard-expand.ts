import { type Get, ifAny } from '../redfish/collection.ts'
import { fieldAt } from '../redfish/parse.ts'
import type { Expand, Plan } from './collector.ts'

/** Lists of what is measured, of which each member is a resource of its own. */
const lists = /^(.+\/(?:Sensors|Controls|PowerSupplies|Fans|LeakDetectors))\/[^/]+$/

/**
 * How the lists of a plan can be read with their members, as the service's root says
 * (`ProtocolFeaturesSupported.ExpandQuery`); undefined: not at all. Only the members themselves are
 * wanted, so a service that must expand all links beside them is not asked to.
 */
export async function expandOf({ fast, slow }: Plan, get: Get): Promise<Expand | undefined> {
  const found = new Set([...fast, ...slow].flatMap((path) => lists.exec(path)?.[1] ?? []))
  if (found.size === 0) return undefined
  const query = expandQuery(await ifAny(get('/redfish/v1')))
  return query === undefined ? undefined : { query, lists: [...found] }
}

/** What asks a list for its members too, by the service's root. */
export function expandQuery(root: unknown): string | undefined {
  const can = (name: string) =>
    fieldAt(root, 'ProtocolFeaturesSupported', 'ExpandQuery', name) === true
  if (!can('NoLinks')) return undefined
  return can('Levels') ? '$expand=.($levels=1)' : '$expand=.'
}
