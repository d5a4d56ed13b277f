import { RequestError } from '../../exporter/service/request-error.ts'

/** A parsed regular expression. */
export type Regex =
  | { kind: 'class'; has: (codePoint: number) => boolean }
  | { kind: 'assert'; what: Assertion }
  | { kind: 'concat' | 'alternate'; parts: Regex[] }
  | { kind: 'repeat'; part: Regex; least: number; most: number }

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word' | 'no-word'

interface Flags {
  fold: boolean
  lines: boolean
  dotNewline: boolean
}

/** Go's limits (regexp/syntax): `maxHeight`, and the count in braces. */
const deepest = 1000
const mostRepeats = 1000

/**
 * Parses RE2 syntax as Prometheus takes it in a matcher: Go's flags `Perl | DotNL`. Groups capture
 * nothing and laziness means nothing, since a matcher matches the whole text or not at all.
 * Sources: RE2 "Syntax"; Go, package regexp/syntax.
 * @throws {RequestError} 400 `bad_regex` for what Go refuses.
 */
export function parseRegex(source: string): Regex {
  const parser = new Parser(source)
  const regex = parser.alternation({ fold: false, lines: false, dotNewline: true }, 0)
  if (!parser.atEnd) throw parser.fault('an unexpected )')
  return regex
}

class Parser {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  get atEnd(): boolean {
    return this.#at >= this.#source.length
  }

  fault(what: string): RequestError {
    const message = `regular expression ${JSON.stringify(this.#source)}: ${what}`
    return new RequestError(400, 'bad_regex', message)
  }

  /** Up to the end or the group's `)`. Flags that are set within hold until there. */
  alternation(outer: Flags, depth: number): Regex {
    if (depth > deepest) throw this.fault(`groups deeper than ${deepest}`)
    const flags = { ...outer }
    const branches: Regex[][] = [[]]
    while (!this.atEnd && !this.#sees(')')) {
      if (this.#take('|')) branches.push([])
      else branches.at(-1)?.push(...this.#term(flags, depth))
    }
    const parts = branches.map((branch): Regex => ({ kind: 'concat', parts: branch }))
    return { kind: 'alternate', parts }
  }

  #term(flags: Flags, depth: number): Regex[] {
    if (this.#take('\\Q')) return this.#quoted(flags)
    if (this.#take('\\E')) return []
    const part = this.#atom(flags, depth)
    return part ? [this.#repeated(part)] : []
  }

  /** `\Q...\E`: an operator behind it takes the last character. */
  #quoted(flags: Flags): Regex[] {
    const end = this.#source.indexOf('\\E', this.#at)
    const text = this.#source.slice(this.#at, end < 0 ? undefined : end)
    this.#at += text.length + (end < 0 ? 0 : 2)
    const parts = [...text].map((character) => literal(character, flags))
    const last = parts.pop()
    return last ? [...parts, this.#repeated(last)] : []
  }

  #atom(flags: Flags, depth: number): Regex | undefined {
    if (this.#take('(')) return this.#group(flags, depth)
    if (this.#take('[')) return this.#brackets(flags)
    if (this.#take('.')) return { kind: 'class', has: (c) => flags.dotNewline || c !== 10 }
    if (this.#take('^')) return assertion(flags.lines ? 'line-start' : 'text-start')
    if (this.#take('$')) return assertion(flags.lines ? 'line-end' : 'text-end')
    if (this.#sees('\\')) return this.#escape(flags)
    if (/[*+?]/.test(this.#character()) || this.#braces()) {
      throw this.fault('nothing to repeat before an operator')
    }
    return literal(this.#next(), flags)
  }

  #repeated(part: Regex): Regex {
    const range = this.#operator()
    if (!range) return part
    this.#take('?')
    if (this.#operator()) throw this.fault('an operator after an operator')
    return { kind: 'repeat', part, least: range[0], most: range[1] }
  }

  #operator(): [least: number, most: number] | undefined {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.#take('?')) return [0, 1]
    const braces = this.#braces()
    if (!braces) return undefined
    this.#at += braces.length
    const { least, most } = braces
    const greatest = Number.isFinite(most) ? most : least
    if (greatest > mostRepeats || least > most) throw this.fault('a repeat count out of range')
    return [least, most]
  }

  /** `{n}`, `{n,}` or `{n,m}` here; braces with anything else within stand for themselves. */
  #braces(): { length: number; least: number; most: number } | undefined {
    const found = match(/\{(\d+)(,?)(\d*)\}/y, this.#source, this.#at)
    if (!found || (found[2] === '' && found[3] !== '')) return undefined
    const least = Number(found[1])
    const most = found[2] === '' ? least : Number(found[3] || Number.POSITIVE_INFINITY)
    return { length: found[0].length, least, most }
  }

  #group(flags: Flags, depth: number): Regex | undefined {
    if (this.#sees('?') && !match(/\?P?<[0-9A-Za-z_]+>/y, this.#source, this.#at)) {
      return this.#flagGroup(flags, depth)
    }
    this.#at += match(/\?P?<[0-9A-Za-z_]+>/y, this.#source, this.#at)?.[0].length ?? 0
    return this.#groupBody(flags, depth)
  }

  /** `(?i)` changes the flags until its group ends; `(?i:x)` those of its own body. */
  #flagGroup(flags: Flags, depth: number): Regex | undefined {
    const found = match(/\?([imsU]*)(-[imsU]+)?([:)])/y, this.#source, this.#at)
    if (!found || found[0] === '?)') throw this.fault('an unknown kind of group')
    this.#at += found[0].length
    const set = found[3] === ')' ? flags : { ...flags }
    for (const [letters = '', value] of [[found[1], true] as const, [found[2], false] as const]) {
      if (letters.includes('i')) set.fold = value
      if (letters.includes('m')) set.lines = value
      if (letters.includes('s')) set.dotNewline = value
    }
    return found[3] === ')' ? undefined : this.#groupBody(set, depth)
  }

  #groupBody(flags: Flags, depth: number): Regex {
    const body = this.alternation(flags, depth + 1)
    if (!this.#take(')')) throw this.fault('a group without its )')
    return body
  }

  /** Outside of brackets. */
  #escape(flags: Flags): Regex {
    for (const [text, what] of assertions) if (this.#take(text)) return assertion(what)
    const set = this.#classEscape()
    if (set) return characterClass([set], false, flags)
    return literal(this.#escapedCharacter(), flags)
  }

  #brackets(flags: Flags): Regex {
    const negated = this.#take('^')
    const sets: CharacterSet[] = []
    for (let first = true; first || !this.#sees(']'); first = false) {
      if (this.atEnd) throw this.fault('a class without its ]')
      sets.push(this.#posixClass() ?? this.#classEscape() ?? this.#range())
    }
    this.#at++
    return characterClass(sets, negated, flags)
  }

  #posixClass(): CharacterSet | undefined {
    const found = match(/\[:(\^?)(\w+):\]/y, this.#source, this.#at)
    if (!found) return undefined
    const pattern = posixClasses.get(found[2] ?? '')
    if (pattern === undefined) throw this.fault(`an unknown class ${found[0]}`)
    this.#at += found[0].length
    return { pattern, negated: found[1] !== '' }
  }

  /** `\d`, `\pL`, `\p{Greek}` and their like, if one stands here. */
  #classEscape(): CharacterSet | undefined {
    const found = match(/\\(?:([dswDSW])|([pP])(?:\{(\^?)(\w+)\}|(\w)))/y, this.#source, this.#at)
    if (!found) return undefined
    this.#at += found[0].length
    const [, letter, p, caret, name = found[5] ?? ''] = found
    if (letter !== undefined) {
      const negated = letter < 'a'
      return { pattern: perlClasses[letter.toLowerCase()] ?? '', negated }
    }
    const pattern = unicodeClass(name)
    if (pattern === undefined) throw this.fault(`an unknown class ${found[0]}`)
    return { pattern, negated: (p === 'P') !== (caret === '^') }
  }

  #range(): CharacterSet {
    const from = this.#classCharacter()
    const isRange = this.#sees('-') && !this.#source.startsWith('-]', this.#at)
    if (!isRange) return { pattern: escapeInClass(from), negated: false }
    this.#at++
    const to = this.#classCharacter()
    if (codePoint(from) > codePoint(to)) throw this.fault(`a range ${from}-${to} that falls`)
    return { pattern: `${escapeInClass(from)}-${escapeInClass(to)}`, negated: false }
  }

  #classCharacter(): string {
    if (this.atEnd) throw this.fault('a class without its ]')
    return this.#sees('\\') ? this.#escapedCharacter() : this.#next()
  }

  #escapedCharacter(): string {
    const found = match(escapedCharacter, this.#source, this.#at)
    if (!found) throw this.fault('an escape that is not known, or nothing behind a backslash')
    this.#at += found[0].length
    const [, itself, letter, hex = found[4], , octal] = found
    if (itself !== undefined) return itself
    if (letter !== undefined) return letters[letter] ?? ''
    const code = hex === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(hex, 16)
    if (code > 0x10ffff) throw this.fault(`no character ${found[0]}`)
    return String.fromCodePoint(code)
  }

  #character(): string {
    return String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0)
  }

  #next(): string {
    const character = this.#character()
    this.#at += character.length
    return character
  }

  #sees(text: string): boolean {
    return this.#source.startsWith(text, this.#at)
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false
    this.#at += text.length
    return true
  }
}

/** Characters as they stand within brackets of the language's own expressions. */
interface CharacterSet {
  pattern: string
  negated: boolean
}

const assertions: readonly [string, Assertion][] = [
  ['\\A', 'text-start'],
  ['\\z', 'text-end'],
  ['\\b', 'word'],
  ['\\B', 'no-word'],
]

const letters: Record<string, string> = {
  ...{ a: '\x07', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
}

/** A sign itself; a letter that stands for one; its number, hexadecimal or octal. */
const escapedCharacter = new RegExp(
  String.raw`\\(?:([^0-9A-Za-z\u0080-\u{10ffff}])|([afnrtv])|` +
    String.raw`x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]+)\}|(0[0-7]{0,2}|[1-7][0-7]{1,2}))`,
  'uy',
)

const perlClasses: Record<string, string> = { d: '0-9', s: '\\t\\n\\f\\r ', w: '0-9A-Za-z_' }

const posixClasses = new Map([
  ['alnum', '0-9A-Za-z'],
  ['alpha', 'A-Za-z'],
  ['ascii', '\\x00-\\x7f'],
  ['blank', '\\t '],
  ['cntrl', '\\x00-\\x1f\\x7f'],
  ['digit', '0-9'],
  ['graph', '!-~'],
  ['lower', 'a-z'],
  ['print', ' -~'],
  ['punct', '!-\\/:-@\\[-`\\{-~'],
  ['space', '\\t\\n\\v\\f\\r '],
  ['upper', 'A-Z'],
  ['word', '0-9A-Za-z_'],
  ['xdigit', '0-9A-Fa-f'],
])

/** A general category or a script, by its exact name; undefined when there is none. */
function unicodeClass(name: string): string | undefined {
  if (name === 'Any') return '\\u{0}-\\u{10ffff}'
  const isCategory = /^[CLMNPSZ][a-z]?$/.test(name)
  const pattern = isCategory ? `\\p{${name}}` : `\\p{Script=${name}}`
  try {
    new RegExp(pattern, 'u')
    return pattern
  } catch {
    return undefined
  }
}

function assertion(what: Assertion): Regex {
  return { kind: 'assert', what }
}

function literal(character: string, { fold }: Flags): Regex {
  const code = codePoint(character)
  if (!fold) return { kind: 'class', has: (other) => other === code }
  const expression = new RegExp(`^[${escapeInClass(character)}]$`, 'iu')
  return { kind: 'class', has: (other) => expression.test(String.fromCodePoint(other)) }
}

/**
 * One character is judged by the language's own expressions, whose case folding is RE2's; over one
 * character they take no time. Negation is applied outside, where it is that of the folded set.
 */
function characterClass(sets: readonly CharacterSet[], negated: boolean, { fold }: Flags): Regex {
  const flags = fold ? 'iu' : 'u'
  const compiled = sets.map((set) => {
    return { ...set, expression: new RegExp(`^[${set.pattern}]$`, flags) }
  })
  const isIn = (text: string) => compiled.some((set) => set.expression.test(text) !== set.negated)
  return { kind: 'class', has: (code) => isIn(String.fromCodePoint(code)) !== negated }
}

function escapeInClass(character: string): string {
  return `\\u{${codePoint(character).toString(16)}}`
}

function codePoint(character: string): number {
  return character.codePointAt(0) ?? 0
}

/** The expression's match that begins at `at`; it has the flag `y`. */
function match(expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at
  return expression.exec(text)
}
