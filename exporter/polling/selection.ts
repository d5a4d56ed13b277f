import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { fieldAt, listAt } from '../redfish/parse.ts'
import type { Resources } from './resources.ts'

/** What the older `Power` tells of power; the rest of it is voltages. */
const powerLists = ['PowerControl', 'PowerSupplies']

/** Fewer voltages than this are not worth the care: the recorded Gigabyte has 15 kB of them. */
const fewest = 16

export interface SelectionOptions {
  resources: Pick<Resources, 'kept'>
  /** How often all of it is read, in milliseconds. */
  wholeEveryMs: () => number
}

/**
 * Reads of a `Power` that is mostly voltages only what tells power, and all of it once in a while,
 * where the service says that it can (`SelectQuery`; DSP0266, `$select`). That is as many requests,
 * but of a Gigabyte 1.2 instead of 16.4 kB each 10 s. Elsewhere it is left alone: an iLO's round
 * would be 8 % smaller, and Cray's controllers do not have it. A service that leaves out what it
 * was asked for is asked for the whole from then on.
 */
export class Selection {
  readonly #options: SelectionOptions
  #isOffered = false
  readonly #refused = new Set<string>()
  readonly #wholeAt = new Map<string, number>()

  constructor(options: SelectionOptions) {
    this.#options = options
  }

  /** What the service says now that it can do. */
  use(isOffered: boolean): void {
    this.#isOffered = isOffered
  }

  /** The resource, of which some may be as it was. @throws {RedfishError} */
  read(path: string, get: Get): Promise<unknown> {
    const isPower = this.#isOffered && path.endsWith('/Power') && !this.#refused.has(path)
    return isPower ? this.#readPower(path, get) : get(path)
  }

  async #readPower(path: string, get: Get): Promise<unknown> {
    const kept = this.#options.resources.kept(path)?.body
    const lists = this.#isDue(path) ? [] : powerLists.filter((name) => listAt(kept, name)[0])
    if (lists.length === 0 || listAt(kept, 'Voltages').length < fewest) {
      return await this.#whole(path, get)
    }
    const picked = await this.#picked(`${path}?$select=${lists.join(',')}`, get)
    const isAll = fieldAt(picked, 'Voltages') !== undefined
    if (!isAll && hasAll(picked, kept, lists)) return { ...Object(kept), ...only(picked, lists) }
    const whole = await this.#whole(path, get)
    if (isAll || !hasAll(picked, whole, lists)) this.#refused.add(path)
    return whole
  }

  #isDue(path: string): boolean {
    const wholeAt = this.#wholeAt.get(path) ?? Number.NEGATIVE_INFINITY
    return performance.now() - wholeAt >= this.#options.wholeEveryMs()
  }

  async #whole(path: string, get: Get): Promise<unknown> {
    const body = await get(path)
    this.#wholeAt.set(path, performance.now())
    return body
  }

  async #picked(path: string, get: Get): Promise<unknown> {
    try {
      return await get(path)
    } catch (error) {
      if (error instanceof RedfishError) return undefined
      throw error
    }
  }
}

/** Whether the lists have as many members as in `whole`, each with all that it has there. */
function hasAll(picked: unknown, whole: unknown, lists: readonly string[]): boolean {
  return lists.every((name) => {
    const [some, all] = [listAt(picked, name), listAt(whole, name)]
    return (
      some.length === all.length &&
      all.every((member, place) =>
        Object.keys(Object(member)).every((key) => fieldAt(some[place], key) !== undefined),
      )
    )
  })
}

function only(body: unknown, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, fieldAt(body, name)]))
}
