import type { Reading } from '../metrics.ts'

/**
 * `now`, in which what is as it was before is the very same object: what lives from one poll to the
 * next is moved to old memory, where it costs the most to be got rid of.
 */
export function withKept(before: readonly Reading[], now: readonly Reading[]): readonly Reading[] {
  return now.map((reading, place) => {
    const known = before[place]
    return known === undefined ? reading : keptOf(known, reading)
  })
}

/** `now`, or `before` if it is the same; with the labels of that if it is of the same series. */
export function keptOf(before: Reading, now: Reading): Reading {
  if (before === now || before.metric !== now.metric) return now
  if (!haveSameLabels(before.labels, now.labels)) return now
  if (before.value === now.value) return before
  return before.labels === now.labels ? now : { ...now, labels: before.labels }
}

function haveSameLabels(a: Reading['labels'], b: Reading['labels']): boolean {
  if (a === b) return true
  let more = 0
  for (const name in a) {
    if (a[name] !== b[name]) return false
    more++
  }
  for (const _name in b) more--
  return more === 0
}
