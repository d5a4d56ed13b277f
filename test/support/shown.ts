import { collectorFor } from '../../exporter/devices/kinds.ts'
import { exposition, Renderer } from '../../exporter/exposition.ts'
import { RedfishError } from '../../exporter/redfish/error.ts'

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
    const body = resources.get(path)
    if (body === undefined) throw new RedfishError('unsupported', { xname, path }, 'HTTP 404')
    return body
  }
  try {
    const collector = await collectorFor({ xname }, get)
    const { fast, slow, once = [] } = await collector.plan(get)
    const wanted = [...fast, ...slow, ...once].filter((path) => resources.has(path))
    const bodies = new Map(wanted.map((path) => [path, resources.get(path)]))
    const text = exposition([new Renderer().text(collector.readings({ xname }, bodies))], false)
    return Buffer.from(text).toString()
  } catch (error) {
    if (error instanceof RedfishError) return ''
    throw error
  }
}
