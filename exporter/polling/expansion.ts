import type { Expand } from '../devices/collector.ts'
import type { Get } from '../redfish/collection.ts'
import { isResourceFault } from '../redfish/error.ts'
import { fieldAt, linkAt, listAt } from '../redfish/parse.ts'

/** Members of one list, which may come in one answer. */
export interface Group {
  list: string
  paths: readonly string[]
}

/** Fewer members than this are asked one by one: the answer has all of the list. */
const fewest = 3
/** More than this at once no controller was seen to have in a list. */
const most = 1000

/**
 * Which lists of a device are read with their members in one request, and which no more: once the
 * answer to that was an error, or wrong, they are read one by one for good.
 */
export class Expansion {
  #lists = new Set<string>()
  #query = ''
  readonly #refused = new Set<string>()
  readonly #checked = new Set<string>()

  /** What the device says now that it can do. */
  use(expand: Expand | undefined): void {
    this.#lists = new Set(expand?.lists)
    this.#query = expand?.query ?? ''
  }

  /** The paths, in order; the first of a list stands for all of them that can come together. */
  grouped(paths: readonly string[]): (string | Group)[] {
    if (this.#lists.size === 0) return [...paths]
    const groups = new Map<string, string[]>()
    for (const path of paths) {
      const list = listOf(path)
      if (!this.#lists.has(list) || this.#refused.has(list)) continue
      groups.set(list, [...(groups.get(list) ?? []), path])
    }
    return paths.flatMap((path): (string | Group)[] => {
      const list = listOf(path)
      const group = groups.get(list)
      if (group === undefined || !isWorthwhile(group)) return [path]
      return group[0] === path ? [{ list, paths: group }] : []
    })
  }

  /**
   * The members of a group by path, those that came. The first answer for a list is compared with
   * one member read by itself: some services leave out properties.
   * @throws {RedfishError}
   */
  async read({ list, paths }: Group, get: Get): Promise<Map<string, unknown>> {
    const body = await get(`${list}?${this.#query}`)
    const wanted = new Set(paths)
    const found = new Map<string, unknown>()
    for (const member of listAt(body, 'Members')) {
      const path = linkAt(member)
      const isWhole = Object.keys(Object(member)).length > 1
      if (path !== undefined && isWhole && wanted.has(path)) found.set(path, member)
    }
    if (found.size * 2 < wanted.size || !(await this.#isRight(list, found, get))) {
      this.refuse(list)
      return new Map()
    }
    return found
  }

  /** From now on its members are asked one by one. */
  refuse(list: string): void {
    this.#refused.add(list)
  }

  async #isRight(list: string, found: ReadonlyMap<string, unknown>, get: Get): Promise<boolean> {
    const [first] = found
    if (this.#checked.has(list) || first === undefined) return true
    const [path, member] = first
    try {
      const single = await get(path)
      const names = Object.keys(Object(single)).filter((name) => !name.startsWith('@'))
      if (!names.every((name) => fieldAt(member, name) !== undefined)) return false
    } catch (error) {
      if (!isResourceFault(error)) throw error
      return false
    }
    this.#checked.add(list)
    return true
  }
}

export function isWorthwhile(paths: readonly string[]): boolean {
  return paths.length >= fewest && paths.length <= most
}

/** The list that a member is in, by its path. */
export function listOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
