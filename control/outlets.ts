import type { Device } from '../exporter/inventory/static.ts'
import { collection, type Get } from '../exporter/redfish/collection.ts'
import { isResourceFault } from '../exporter/redfish/error.ts'
import { listAt, textAt } from '../exporter/redfish/parse.ts'
import { parseJawsOutlet, parseOutlet, type System } from './system.ts'

const pdus = '/redfish/v1/PowerEquipment/RackPDUs'
const jawsOutlets = '/jaws/monitor/outlets'
/** How long the list is used; an outlet is read each time. */
const keptSeconds = 300

interface Outlet {
  /** Its resource, or its id in JAWS. */
  path: string
  isJaws: boolean
}

/**
 * The outlets of an iPDU, over Redfish or ServerTech's JAWS. Units and their outlets are numbered
 * in the order of their ids: `AA3` is the third of `p0`, whose old name `j3` means the same.
 */
export class Outlets {
  readonly #device: Device
  #found: { outlets: Map<string, Outlet>; until: number } | undefined

  constructor(device: Device) {
    this.#device = device
  }

  known(): string[] {
    return [...(this.#found?.outlets.keys() ?? [])]
  }

  /** Undefined: it has no such outlet. @throws {RedfishError} */
  async read(xname: string, get: Get): Promise<System | undefined> {
    const outlet = (await this.list(get)).get(xname.replace(/j(\d+)$/, 'v$1'))
    if (outlet === undefined) return undefined
    const { path, isJaws } = outlet
    if (!isJaws) return parseOutlet(path, await get(path))
    const id = path.slice(jawsOutlets.length + 1)
    const body = await get(path)
    return parseJawsOutlet(id, Array.isArray(body) ? body[0] : body)
  }

  /** @throws {RedfishError} */
  async list(get: Get): Promise<ReadonlyMap<string, Outlet>> {
    if (this.#found && this.#found.until > performance.now()) return this.#found.outlets
    const { kind } = this.#device
    const paths = kind === 'jaws' ? undefined : await this.#redfish(get)
    const units = paths ?? (await jawsUnits(get))
    const outlets = new Map<string, Outlet>()
    const inOrder = [...units].sort(([a], [b]) => collator.compare(a, b))
    for (const [number, [, members]] of inOrder.entries()) {
      const sorted = [...members].sort((a, b) => collator.compare(a, b))
      for (const [index, path] of sorted.entries()) {
        const xname = `${this.#device.xname}p${number}v${index + 1}`
        outlets.set(xname, { path, isJaws: paths === undefined })
      }
    }
    this.#found = { outlets, until: performance.now() + keptSeconds * 1000 }
    return outlets
  }

  /** By unit; undefined where the PDU has no Redfish and may have JAWS. */
  async #redfish(get: Get): Promise<Map<string, string[]> | undefined> {
    try {
      const units = new Map<string, string[]>()
      for (const unit of await collection(pdus, get)) {
        units.set(unit, await collection(`${unit}/Outlets`, get))
      }
      return units.size > 0 ? units : undefined
    } catch (error) {
      if (this.#device.kind === undefined && isResourceFault(error)) return undefined
      throw error
    }
  }
}

/** By unit: the first letter of an id such as `BA24`. */
async function jawsUnits(get: Get): Promise<Map<string, string[]>> {
  const units = new Map<string, string[]>()
  for (const element of listAt(await get(jawsOutlets))) {
    const id = textAt(element, 'id')
    if (id === undefined) continue
    const unit = units.get(id.slice(0, 1)) ?? []
    units.set(id.slice(0, 1), unit)
    unit.push(`${jawsOutlets}/${id}`)
  }
  return units
}

const collator = new Intl.Collator('en', { numeric: true })
