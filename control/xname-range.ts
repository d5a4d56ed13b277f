import { isXname, parseXname } from '../exporter/inventory/xname.ts'

/** Some systems have 10,000 nodes; a range of more is a slip of the finger. */
const mostNames = 100_000

/**
 * The xnames that `x1000c0s[0-7]b0n0,x3000c0s[1,4-6]b0n0` stands for: ranges and lists in brackets,
 * several names with commas between. Each once, in the order given.
 * @throws {Error} naming what is wrong.
 */
export function expandXnames(text: string): string[] {
  const found = splitOutside(text).flatMap((part) => {
    const name = part.trim()
    if (name === '') throw new Error(`${JSON.stringify(text)}: a name is missing`)
    return expandOne(name)
  })
  for (const name of found) {
    if (!isXname(name)) throw new Error(`${JSON.stringify(name)} is not an xname`)
  }
  return [...new Set(found.map((name) => parseXname(name).text))]
}

/** Splits at the commas that are in no brackets. */
function splitOutside(text: string): string[] {
  return text.split(/,(?![^[]*\])/)
}

function expandOne(name: string): string[] {
  const match = /^([^[\]]*)\[([^[\]]*)\](.*)$/.exec(name)
  if (!match) return [name]
  const [, start = '', list = '', rest = ''] = match
  const ends = expandOne(rest)
  const numbers = list.split(',').flatMap((part) => numbersOf(part, name))
  if (numbers.length * ends.length > mostNames) {
    throw new Error(`${JSON.stringify(name)}: more than ${mostNames} names`)
  }
  return numbers.flatMap((number) => ends.map((end) => `${start}${number}${end}`))
}

function numbersOf(part: string, name: string): number[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim())
  const [from, to] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  if (!match || to < from) {
    throw new Error(`${JSON.stringify(name)}: expected [2] or [0-7] or [0,4-6], got [${part}]`)
  }
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}
