import { expandQuery } from '../devices/standard-expand.ts'
import type { DeviceKind } from '../inventory/static.ts'
import type { Get } from '../redfish/collection.ts'
import { isResourceFault, RedfishError } from '../redfish/error.ts'
import { fieldAt, linkAt, listAt } from '../redfish/parse.ts'
import { listOf } from './expansion.ts'

/** Lists of which a look reads the members, only to find what measures in or below them. */
const lists = new Set([
  'Chassis',
  'Systems',
  'Managers',
  'Processors',
  'Memory',
  'Storage',
  'Controllers',
  'Drives',
  'NetworkAdapters',
  'PCIeDevices',
  'PowerSupplies',
  'Batteries',
  'Heaters',
])

/** Cray controllers were never seen to expand; Gigabyte bears one small request at a time. */
const kinds: ReadonlySet<DeviceKind> = new Set(['ilo', 'intel', 'openbmc', 'redfish'])

/** What `Looks` knows of one kind of list: a service makes all of them alike. */
type Verdict = 'right' | 'refused'

/** Finds out again and again what one device has, with few requests. */
export class Looks {
  readonly #verdicts = new Map<string, Verdict>()

  /**
   * `get` for one look: nothing is asked twice, and a list comes with its members where the service
   * says that it can do so. `kind` is known once the device was asked what it is.
   */
  once(get: Get, kind: () => DeviceKind | undefined): Get {
    const seen = new Map<string, Promise<unknown>>()
    const asked: Get = (path) => {
      const known = seen.get(path)
      if (known !== undefined) return known
      const body = get(path)
      seen.set(path, body)
      // What fails for a reason of its own may be there a moment later.
      body.catch((error: unknown) => isResourceFault(error) || seen.delete(path))
      return body
    }
    return async (path) => {
      const type = path.slice(path.lastIndexOf('/') + 1)
      const mayExpand = kinds.has(kind() ?? 'jaws') && lists.has(type)
      if (!mayExpand || seen.has(path) || this.#verdicts.get(type) === 'refused') {
        return await asked(path)
      }
      const query = expandQuery(await asked('/redfish/v1').catch(() => undefined))
      const body = query && (await this.#expanded(`${path}?${query}`, { type, get: asked }))
      if (!body) return await asked(path)
      for (const [link, member] of membersOf(body, path)) {
        if (!seen.has(link)) seen.set(link, Promise.resolve(member))
      }
      seen.set(path, Promise.resolve(body))
      return body
    }
  }

  /**
   * A list with all of its members; undefined where it does not come so. The first of its kind is
   * compared with one member read by itself: some services leave out properties.
   */
  async #expanded(path: string, { type, get }: { type: string; get: Get }): Promise<unknown> {
    try {
      const body = await get(path)
      const list = path.slice(0, path.indexOf('?'))
      const members = membersOf(body, list)
      const [first] = members
      const isWhole = members.size === listAt(body, 'Members').length && !isPaged(body)
      if (isWhole && first === undefined) return body
      if (isWhole && first !== undefined && (await this.#isRight(type, first, get))) return body
    } catch (error) {
      if (!(error instanceof RedfishError)) throw error
    }
    this.#verdicts.set(type, 'refused')
    return undefined
  }

  async #isRight(type: string, [path, member]: [string, unknown], get: Get): Promise<boolean> {
    if (this.#verdicts.has(type)) return true
    const single = Object(await get(path))
    const isRight = Object.keys(single).every(
      (name) => name.startsWith('@') || fieldAt(member, name) !== undefined,
    )
    if (isRight) this.#verdicts.set(type, 'right')
    return isRight
  }
}

/** Those that came with more than their link, by path. */
function membersOf(body: unknown, list: string): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const member of listAt(body, 'Members')) {
    const path = linkAt(member)
    const isWhole = Object.keys(Object(member)).length > 1
    if (path !== undefined && isWhole && listOf(path) === list) found.set(path, member)
  }
  return found
}

function isPaged(body: unknown): boolean {
  return fieldAt(body, 'Members@odata.nextLink') !== undefined
}
