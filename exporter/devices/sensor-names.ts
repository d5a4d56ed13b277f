import type { Quantity } from '../redfish/units.ts'

/**
 * The sensors of a chassis that are shown already, by quantity and name: the same sensor is
 * `CPU0_Temp` in one resource, `CPU0 Temp` or `CPU0 Temperature` in another.
 */
export class SensorNames {
  readonly #names = new Set<string>()

  add(quantity: Quantity | undefined, name: string | undefined): void {
    if (quantity === undefined || name === undefined) return
    this.#names.add(keyOf(quantity, name))
  }

  has(quantity: Quantity, name: string | undefined): boolean {
    return name !== undefined && this.#names.has(keyOf(quantity, name))
  }
}

/** Both speeds of a fan are one sensor. */
function keyOf(quantity: Quantity, name: string): string {
  const kind = quantity === 'rotation' ? 'fan' : quantity
  return `${kind} ${plainName(name)}`
}

/** Without what only says again what is measured, unless the name says nothing else. */
function plainName(name: string): string {
  const plain = name
    .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .trim()
  const short = plain.replace(quantityWords, ' ').replace(/\s/g, '')
  return short === '' ? plain.replace(/\s/g, '') : short
}

const quantityWords = /\b(temperature|temp|voltage|volts?|speed|rpm|tach|pwm|reading|sensor)\b/g
