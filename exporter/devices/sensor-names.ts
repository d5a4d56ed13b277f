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
  return without(name, quantityWords) || joined(wordsOf(name))
}

/** What a sensor of a supply is called but for its side: `PSU1 Input Power` is of `PSU1`. */
export function supplyOf(name: string): string {
  return without(name, supplyWords)
}

/**
 * Which share of its device a power is: `CPU Power` and `CPU Sub-system Power` are the same. Empty:
 * all of it (`Total Power`, `Server Power Control`, `System Board Pwr Consumption`).
 */
export function shareOf(name: string): string {
  return without(name, shareWords).replace(/^mem$/, 'memory')
}

function without(name: string, words: ReadonlySet<string>): string {
  return joined(wordsOf(name).filter((word) => !words.has(word)))
}

/** `PVccIn` is `PVCCIN`, but `DIMM 1 1` is not `DIMM 11`. */
function joined(words: readonly string[]): string {
  let text = ''
  for (const word of words) {
    const isNumber = endsInDigit.test(text) && endsInDigit.test(word)
    text += isNumber ? ` ${word}` : word
  }
  return text
}

const endsInDigit = /\d$/

/** `CPU0Temp`, `CPU0_TEMP` and `Cpu 0 temp` are the same words. */
function wordsOf(name: string): string[] {
  return (name.match(/\d+|[A-Z]*[a-z]+|[A-Z]+/g) ?? []).map((word) => word.toLowerCase())
}

const quantityWords = words('temperature temp voltage volt volts speed rpm tach pwm reading sensor')
const supplyWords = words('power pwr voltage volt volts input output in out pin pout vin vout line')
const shareWords = words(
  'power pwr watts consumption consumed usage control sensor total sub system subsystem sys ' +
    'server chassis node board input',
)

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(' '))
}
