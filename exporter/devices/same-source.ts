import { fieldAt, linkAt, listAt, textAt } from '../redfish/parse.ts'
import type { Sensor } from '../redfish/sensor.ts'
import type { Quantity } from '../redfish/units.ts'

export type Side = 'Input' | 'Output'

interface Known {
  path: string
  id: string
  quantity: Quantity
  side: Side | undefined
  /** What it says that it belongs to. */
  related: ReadonlySet<string>
}

/**
 * The sensors of a chassis that are shown, to be found again in its older resources whatever these
 * call them: by `DataSourceUri` or `RelatedItem`, one way or the other, or by `MemberId`.
 */
export class SameSource {
  readonly #known: Known[] = []

  add(path: string, sensor: Sensor, body: unknown): void {
    const { quantity, id, place } = sensor
    if (quantity === undefined) return
    const related = new Set(linksOf(body))
    const side = sideOf(place['side'] ?? `${id} ${place['name'] ?? ''}`)
    this.#known.push({ path, id, quantity, side, related })
  }

  /** Of a supply, which has several of a quantity, a sensor must tell its `side` too. */
  has(quantity: Quantity, member: unknown, side?: Side): boolean {
    if (this.#known.length === 0) return false
    const own = normal(textAt(member, '@odata.id') ?? '')
    const links = new Set(linksOf(member))
    const id = textAt(member, 'MemberId')
    return this.#known.some((known) => {
      if (broad(known.quantity) !== broad(quantity)) return false
      if (side !== undefined && known.side !== side) return false
      const isNamed = side === undefined && id !== undefined && !isPlace.test(id)
      return links.has(known.path) || known.related.has(own) || (isNamed && id === known.id)
    })
  }
}

function broad(quantity: Quantity): Quantity {
  return quantity === 'rotation' || quantity === 'ratio' ? 'fan' : quantity
}

/** An id that only counts says nothing. */
const isPlace = /^\d+$/

function linksOf(body: unknown): string[] {
  const source = linkAt({ '@odata.id': fieldAt(body, 'DataSourceUri') })
  const items = listAt(body, 'RelatedItem').flatMap((each) => linkAt(each) ?? [])
  return [...(source === undefined ? [] : [source]), ...items].map(normal)
}

/** `Power#PowerControl/0`, `Power/#PowerControl/0` and `Power#/PowerControl/0` are the same. */
function normal(link: string): string {
  return link.replace(/\/?#\/?/, '#').replace(/\/+$/, '')
}

function sideOf(text: string): Side | undefined {
  const isInput = /input|[piv]in\b/i.test(text)
  const isOutput = /output|[piv]out\b/i.test(text)
  if (isInput === isOutput) return undefined
  return isInput ? 'Input' : 'Output'
}
