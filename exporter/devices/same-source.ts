import { normalLink, sourceOf } from '../redfish/excerpt.ts'
import { linkAt, listAt, textAt } from '../redfish/parse.ts'
import type { Sensor } from '../redfish/sensor.ts'
import type { Quantity } from '../redfish/units.ts'
import type { ShownSensors } from './excerpts.ts'
import { supplyOf } from './sensor-names.ts'

export type Side = 'Input' | 'Output'

interface Known {
  path: string
  id: string
  quantity: Quantity
  side: Side | undefined
  /** The supply that it would be of, by its name. */
  supply: string
  /** What it says that it belongs to. */
  related: ReadonlySet<string>
}

/**
 * The sensors of a chassis that are shown, to be found again in its older resources whatever these
 * call them: by `DataSourceUri` or `RelatedItem`, one way or the other, or by `MemberId`; those of
 * a supply also by its name.
 */
export class SameSource {
  readonly #known: Known[] = []
  readonly #shown: ShownSensors

  /** `shown`: of which resources a copy was shown; a member of an older list may be one. */
  constructor(shown: ShownSensors) {
    this.#shown = shown
  }

  add(path: string, sensor: Sensor, body: unknown): void {
    const { quantity, id, place } = sensor
    if (quantity === undefined) return
    const related = new Set(linksOf(body))
    const name = place['name'] ?? id
    const side = sideOf(place['side'] ?? `${id} ${name}`)
    const supply = side === undefined ? '' : supplyOf(name)
    this.#known.push({ path, id, quantity, side, supply, related })
  }

  /** Of a supply, which has several of a quantity, a sensor must tell its `side` too. */
  has(quantity: Quantity, member: unknown, side?: Side): boolean {
    const own = normalLink(linkAt(member) ?? '')
    if (side === undefined && speedsOf(quantity).some((each) => this.#shown.has(own, each))) {
      return true
    }
    if (this.#known.length === 0) return false
    const links = new Set(linksOf(member))
    const id = textAt(member, 'MemberId')?.split(idPrefix).at(-1)
    const supply = side === undefined ? '' : supplyOf(textAt(member, 'Name') ?? id ?? '')
    return this.#known.some((known) => {
      if (broad(known.quantity) !== broad(quantity)) return false
      if (side !== undefined && known.side !== side) return false
      if (links.has(known.path) || known.related.has(own)) return true
      if (side !== undefined) return supply !== '' && supply === known.supply
      return id !== undefined && !isPlace.test(id) && id === known.id
    })
  }
}

function speedsOf(quantity: Quantity): Quantity[] {
  return quantity === 'fan' ? ['ratio', 'rotation'] : [quantity]
}

function broad(quantity: Quantity): Quantity {
  return quantity === 'rotation' || quantity === 'ratio' ? 'fan' : quantity
}

/** Dell has `iDRAC.Embedded.1#PS1Voltage` and `0x17||Fan.Embedded.1A` for sensors of that end. */
const idPrefix = /#|\|\|/

/** An id that only counts says nothing. */
const isPlace = /^\d+$/

function linksOf(body: unknown): string[] {
  const source = sourceOf(body)
  const items = listAt(body, 'RelatedItem').flatMap((each) => linkAt(each) ?? [])
  return [...(source === undefined ? [] : [source]), ...items].map(normalLink)
}

function sideOf(text: string): Side | undefined {
  const isInput = /input|[piv]in\b/i.test(text)
  const isOutput = /output|[piv]out\b/i.test(text)
  if (isInput === isOutput) return undefined
  return isInput ? 'Input' : 'Output'
}
