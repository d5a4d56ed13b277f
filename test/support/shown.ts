import { collectorFor } from '../../exporter/devices/kinds.ts'
import { exposition, Renderer } from '../../exporter/exposition.ts'
import { Expansion } from '../../exporter/polling/expansion.ts'
import { fetchAll } from '../../exporter/polling/round.ts'
import { RedfishError } from '../../exporter/redfish/error.ts'
import { listAt } from '../../exporter/redfish/parse.ts'

/**
 * What the exporter shows of a device with these resources, read as a scraper gets it: bytes.
 * What is not among them is 404; `fetched` learns each path that was asked for.
 */
export async function textOf(
  xname: string,
  resources: ReadonlyMap<string, unknown>,
  fetched: (path: string) => void = () => {},
): Promise<string> {
  const get = async (path: string) => {
    fetched(path)
    const body = resources.get(path) ?? expanded(path, resources)
    if (body === undefined) throw new RedfishError('unsupported', { xname, path }, 'HTTP 404')
    return body
  }
  try {
    const collector = await collectorFor({ xname }, get)
    const { fast, slow, once = [], expand } = await collector.plan(get)
    const wanted = [...fast, ...slow, ...once].filter((path) => resources.has(path))
    const expansion = new Expansion()
    expansion.use(expand)
    const bodies = new Map<string, unknown>()
    const store = (path: string, body: unknown) => bodies.set(path, body)
    await fetchAll(wanted, { get, atOnce: 1, resources: { store }, expansion })
    const text = exposition([new Renderer().text(collector.readings({ xname }, bodies))], false)
    return Buffer.from(text).toString()
  } catch (error) {
    if (error instanceof RedfishError) return ''
    throw error
  }
}

/** A list with its members (`LIST?$expand=..`), as a service that can do that gives it. */
export function expanded(path: string, resources: ReadonlyMap<string, unknown>): unknown {
  const [list = '', query] = path.split('?$expand=')
  const body = query === undefined ? undefined : resources.get(list)
  if (body === undefined) return undefined
  const members = listAt(body, 'Members').map((link) => {
    const member = resources.get(String(Object(link)['@odata.id']))
    return { ...Object(link), ...Object(member) }
  })
  return { ...Object(body), Members: members }
}

/** The service's root, where the service can do that. */
export const expandingRoot = {
  ProtocolFeaturesSupported: { ExpandQuery: { NoLinks: true, Levels: true, MaxLevels: 1 } },
}
