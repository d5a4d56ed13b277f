import type { SampleColumn } from './column.ts'

/** Products of whole numbers up to this and 10^places round to themselves. */
export const MAX_INTEGER = 2e15
const MAX_PLACES = 9
/** Of so many samples one may have digits behind the others' last place, and stand by itself. */
const SAMPLES_PER_ODD = 64
/** Of so many one may be no decimal number at all: NaN, infinite, -0, too large. */
const SAMPLES_PER_EXCEPTION = 8

/** Values as whole numbers: sample i is `integers[i] / 10 ** places`, exactly. */
export interface Decimals {
  places: number
  integers: Float64Array
  /** Which values are no such numbers, in order; their integers mean nothing. */
  exceptions: number[]
}

/**
 * The fewest decimal places that all values have, but for a few exceptions; undefined if these are
 * too many. What is divided is a whole number below 2^53 and a power of ten that float64 has
 * exactly, so the quotient is the float64 next to the decimal number, in any language.
 */
export function scaleToIntegers(column: SampleColumn, scratch: Float64Array): Decimals | undefined {
  for (let places = 0; places <= MAX_PLACES; places++) {
    const exceptions = scale(column, 10 ** places, scratch)
    if (!exceptions) continue
    for (const place of exceptions) bridge(scratch, place, column.count)
    return { places, integers: scratch, exceptions }
  }
  return undefined
}

/** The exceptions, NaN for now; undefined when they are too many. */
function scale(column: SampleColumn, power: number, to: Float64Array): number[] | undefined {
  const { values, words, count } = column
  const exceptions = []
  let allowed = Math.min(count - 1, Math.ceil(count / SAMPLES_PER_EXCEPTION))
  let oddAllowed = Math.floor(count / SAMPLES_PER_ODD)
  for (let i = 0; i < count; i++) {
    const value = values[i] ?? 0
    const integer = Math.round(value * power)
    const exact = integer / power === value && integer <= MAX_INTEGER && integer >= -MAX_INTEGER
    if (exact && (integer !== 0 || words[2 * i + 1] === 0)) {
      to[i] = integer
      continue
    }
    if (--allowed < 0 || (hasMoreDigits(value, integer) && --oddAllowed < 0)) return undefined
    to[i] = Number.NaN
    exceptions.push(i)
  }
  return exceptions
}

/** Puts a number in the place of NaN, on the line between its neighbours. */
function bridge(integers: Float64Array, place: number, count: number): void {
  let next = place + 1
  while (next < count && Number.isNaN(integers[next])) next++
  const before = integers[place - 1] ?? integers[next] ?? 0
  const after = next < count ? (integers[next] ?? 0) : before
  integers[place] = before + Math.round((after - before) / (next - place + 1))
}

/** Whether more places might help. */
function hasMoreDigits(value: number, integer: number): boolean {
  return Math.abs(integer) <= MAX_INTEGER && value !== 0
}
