/**
 * ServerTech ids: the letter of a unit, the letter of its cord, a number (`BA24` is outlet 24 of
 * cord A of unit B); a probe has no cord (`B1`). In xnames a unit is a PDU and an outlet a
 * connector, numbered as HPE's translation layer does (docs-csm, "Component Names (xnames)").
 */

/** `p0` for the first unit in order, `p1` for the next; by the letter while no unit is known. */
export function pduNumber(id: string, units: readonly string[]): number {
  const letter = id.slice(0, 1)
  const position = [...units].sort().indexOf(letter)
  return position === -1 ? Math.max(0, letter.charCodeAt(0) - 'A'.charCodeAt(0)) : position
}

/** The outlets of each unit, counted from 1 in the order of letters, then number. */
export function outletNumbers(
  ids: readonly string[],
  unitOf = (id: string) => id.slice(0, 1),
): Map<string, number> {
  const numbers = new Map<string, number>()
  const counts = new Map<string, number>()
  for (const id of [...new Set(ids)].sort(byLettersThenNumber)) {
    const unit = unitOf(id)
    const number = (counts.get(unit) ?? 0) + 1
    counts.set(unit, number)
    numbers.set(id, number)
  }
  return numbers
}

function byLettersThenNumber(a: string, b: string): number {
  return collator.compare(a, b)
}

const collator = new Intl.Collator('en', { numeric: true })
