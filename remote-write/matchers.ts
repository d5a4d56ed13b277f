import type { Matcher } from './protocol/read.ts'
import { compileRegex, literalAlternatives } from './protocol/regex.ts'

/** Names and values in turn, sorted by name: `__name__`, `watts`, `job`, `exporter`. */
export type Labels = readonly string[]

/**
 * Whether all matchers hold; an absent label counts as empty, as in PromQL.
 * @throws {RequestError} 400 for a regular expression that Prometheus refuses.
 */
export function compileMatchers(matchers: readonly Matcher[]): (labels: Labels) => boolean {
  const tests = matchers.map((matcher) => ({ name: matcher.name, holds: compileMatcher(matcher) }))
  return (labels) => tests.every(({ name, holds }) => holds(labelValue(labels, name)))
}

/** The values that a matcher lets through, if it can say; all of them are texts, none empty. */
export function possibleValues({ kind, value }: Matcher): string[] | undefined {
  if (kind !== '=' && kind !== '=~') return undefined
  const values = kind === '=' ? [value] : literalAlternatives(value)
  return values?.includes('') ? undefined : values
}

function compileMatcher({ kind, value }: Matcher): (text: string) => boolean {
  if (kind === '=') return (text) => text === value
  if (kind === '!=') return (text) => text !== value
  const matches = compileTest(value)
  return kind === '=~' ? matches : (text) => !matches(text)
}

function compileTest(regex: string): (text: string) => boolean {
  const literals = literalAlternatives(regex)
  if (!literals) return compileRegex(regex)
  const set = new Set(literals)
  return (text) => set.has(text)
}

function labelValue(labels: Labels, name: string): string {
  for (let i = 0; i < labels.length; i += 2) if (labels[i] === name) return labels[i + 1] ?? ''
  return ''
}

/** Prometheus' order of series: by names and values in turn, as bytes of UTF-8. */
export function compareLabels(a: Labels, b: Labels): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const order = compareTexts(a[i] ?? '', b[i] ?? '')
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** As bytes of UTF-8, where surrogates, which begin the largest characters, come last. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (left !== right) return rank(left) - rank(right)
  }
  return a.length - b.length
}

function rank(codeUnit: number): number {
  return codeUnit >= 0xd800 && codeUnit < 0xe000 ? codeUnit + 0x10000 : codeUnit
}
