/** More names than this in one list are refused: the bound of one job's nodes. */
export const maxNodes = 65_536

/**
 * The names in a Slurm hostlist such as `nid[000001-000003,000007],login1`, in the list's order,
 * each once. xnames pass through. Unlike Slurm 22.05, text after the last bracket is accepted;
 * `(null)`, `None` and `None assigned` are empty. Source: what `scontrol show hostnames` prints.
 * @throws {Error} quoting the list, when it is malformed or has more than `maxNodes` names.
 */
export function expandNodelist(text: string): string[] {
  return [...new Set(parseNodelist(text).flatMap(expandItem))]
}

/** How many names the list has, duplicates counted, without expanding it. Throws as above. */
export function countNodelist(text: string): number {
  return parseNodelist(text).reduce((sum, item) => sum + countItem(item), 0)
}

/** Part of a name: the texts it may be, as ranges of numbers; a literal is one fixed text. */
type Part = { text: string } | { ranges: Range[] }

interface Range {
  from: number
  to: number
  /** Digits of the lower bound; shorter numbers are padded with zeros, longer ones grow. */
  width: number
}

type Item = readonly Part[]

function parseNodelist(text: string): Item[] {
  const list = text.trim()
  if (['', '(null)', 'None', 'None assigned'].includes(list)) return []
  try {
    const items = splitItems(list).map(parseItem)
    checkCount(items)
    return items
  } catch (cause) {
    const shown = list.length > 80 ? `${list.slice(0, 80)}...` : list
    throw new Error(`nodelist ${JSON.stringify(shown)}: ${(cause as Error).message}`, { cause })
  }
}

/** Splits at the commas outside brackets. */
function splitItems(list: string): string[] {
  const items = list.match(/(?:\[[^[\]]*\]|[^,[\]])+/g) ?? []
  if (items.join(',') !== list) throw new Error('unbalanced brackets or an empty name')
  return items
}

function parseItem(item: string): Item {
  if (!/^[!-~]+$/.test(item)) throw new Error(`name ${JSON.stringify(item)} has a blank`)
  return [...item.matchAll(/\[([^\]]*)\]|([^[]+)/g)].map(([, ranges, text = '']) =>
    ranges === undefined ? { text } : { ranges: ranges.split(',').map(parseRange) },
  )
}

function parseRange(text: string): Range {
  const [, low, high = low] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text) ?? []
  if (low === undefined) throw new Error(`${JSON.stringify(text)} is not a range of numbers`)
  const range = { from: Number(low), to: Number(high), width: low.length }
  if (range.to < range.from) throw new Error(`range ${text} falls`)
  return range
}

/** Counted before anything is expanded, so that a short text can't fill the memory. */
function checkCount(items: readonly Item[]): void {
  const count = items.reduce((sum, item) => sum + countItem(item), 0)
  if (count > maxNodes) throw new Error(`${count} names, at most ${maxNodes} are allowed`)
}

function countItem(item: Item): number {
  return item.reduce((product, part) => product * countOf(part), 1)
}

function countOf(part: Part): number {
  if ('text' in part) return 1
  return part.ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}

function expandItem(item: Item): string[] {
  return item.reduce<string[]>(
    (names, part) => names.flatMap((name) => textsOf(part).map((text) => name + text)),
    [''],
  )
}

function textsOf(part: Part): string[] {
  if ('text' in part) return [part.text]
  return part.ranges.flatMap(({ from, to, width }) =>
    Array.from({ length: to - from + 1 }, (_, i) => String(from + i).padStart(width, '0')),
  )
}

/**
 * The names as a short hostlist, in their order: neighbours that share a prefix go into one
 * bracket, and numbers of one width that follow each other into one range.
 * `nid1,nid2,nid10,nid02` becomes `nid[1-2,10,02]`.
 */
export function compressNodelist(names: readonly string[]): string {
  const groups: { prefix: string; numbers: string[] }[] = []
  for (const name of names) {
    const [, prefix = name, digits] = /^(.*?)(\d{1,15})$/.exec(name) ?? []
    const last = groups.at(-1)
    if (digits === undefined) groups.push({ prefix, numbers: [] })
    else if (last?.prefix === prefix && last.numbers.length > 0) last.numbers.push(digits)
    else groups.push({ prefix, numbers: [digits] })
  }
  return groups.map(({ prefix, numbers }) => prefix + bracket(numbers)).join(',')
}

function bracket(numbers: readonly string[]): string {
  if (numbers.length < 2) return numbers.join('')
  const runs: { first: string; last: string }[] = []
  for (const number of numbers) {
    const run = runs.at(-1)
    if (run && follows(run.last, number)) run.last = number
    else runs.push({ first: number, last: number })
  }
  const shown = runs.map(({ first, last }) => (first === last ? first : `${first}-${last}`))
  return `[${shown.join(',')}]`
}

function follows(before: string, number: string): boolean {
  return before.length === number.length && Number(number) === Number(before) + 1
}
