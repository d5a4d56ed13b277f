import { RequestError } from '../../exporter/service/request-error.ts'
import { type Assertion, parseRegex, type Regex } from './regex-syntax.ts'

/**
 * A regular expression of a PromQL matcher: whether the whole text matches. It takes time in
 * proportion to the text whatever the expression, which the language's own engine does not: an
 * expression that anyone may send must not be able to stop the process.
 * @throws {RequestError} 400 `bad_regex` for what Prometheus refuses, or what is too large.
 */
export function compileRegex(source: string): (text: string) => boolean {
  const automaton = new Automaton(compile(source))
  return (text) => automaton.matches(text)
}

/**
 * The texts that an expression of plain alternatives stands for (`a|b|c`, or one word alone);
 * undefined for any other.
 */
export function literalAlternatives(source: string): string[] | undefined {
  return /[\\^$.[\]*+?(){}]/.test(source) ? undefined : source.split('|')
}

/** Instructions by number; the one that is reached at the end of the text accepts it. */
type Instruction =
  | { op: 'class'; has: (codePoint: number) => boolean; to: number }
  | { op: 'assert'; what: Assertion; to: number }
  | { op: 'split'; to: number[] }
  | { op: 'accept' }

/** Keeps one expression below some megabytes; Go's own limit is of that order. */
const mostInstructions = 10_000

/** The program begins with its last instruction: it is made from its end. */
function compile(source: string): Instruction[] {
  const program: Instruction[] = []
  const add = (instruction: Instruction): number => {
    if (program.length >= mostInstructions) {
      const message = `regular expression ${JSON.stringify(source)}: too large`
      throw new RequestError(400, 'bad_regex', message)
    }
    return program.push(instruction) - 1
  }
  emit(parseRegex(source), add({ op: 'accept' }), add)
  return program
}

/** Adds the instructions of `regex` before those at `to`; returns where they begin. */
function emit(regex: Regex, to: number, add: (instruction: Instruction) => number): number {
  switch (regex.kind) {
    case 'class':
      return add({ op: 'class', has: regex.has, to })
    case 'assert':
      return add({ op: 'assert', what: regex.what, to })
    case 'concat':
      return add({ op: 'split', to: [regex.parts.reduceRight((at, p) => emit(p, at, add), to)] })
    case 'alternate':
      return add({ op: 'split', to: regex.parts.map((part) => emit(part, to, add)) })
    case 'repeat':
      return emitRepeat(regex, to, add)
  }
}

function emitRepeat(
  { part, least, most }: Regex & { kind: 'repeat' },
  to: number,
  add: (instruction: Instruction) => number,
): number {
  let start = to
  if (most === Number.POSITIVE_INFINITY) {
    const loop = { op: 'split' as const, to: [to] }
    start = add(loop)
    loop.to.push(emit(part, start, add))
  } else {
    for (let i = least; i < most; i++)
      start = add({ op: 'split', to: [emit(part, start, add), to] })
  }
  for (let i = 0; i < least; i++) start = emit(part, start, add)
  return add({ op: 'split', to: [start] })
}

/** What a place in the text has on one of its sides; assertions look at both. */
type Side = 'edge' | 'newline' | 'word' | 'other'

/** Instructions that are reached, and what stands before that place. */
interface State {
  at: readonly number[]
  before: Side
  /** By character below 128; the rest is worked out anew each time. */
  next: (State | undefined)[]
  accepts: boolean | undefined
}

/** States kept, each some kilobytes; beyond, all are forgotten. */
const mostStates = 500

/** A deterministic automaton over the program's sets of instructions, made as texts need it. */
class Automaton {
  readonly #program: readonly Instruction[]
  readonly #states = new Map<string, State>()

  constructor(program: readonly Instruction[]) {
    this.#program = program
  }

  matches(text: string): boolean {
    let state = this.#state([this.#program.length - 1], 'edge')
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code < 128) {
        const known = state.next[code]
        state = known ?? this.#step(state, code)
      } else {
        const codePoint = text.codePointAt(i) ?? 0
        if (codePoint > 0xffff) i++
        state = this.#step(state, codePoint)
      }
      if (state.at.length === 0) return false
    }
    state.accepts ??= this.#reach(state, 'edge').some((at) => this.#program[at]?.op === 'accept')
    return state.accepts
  }

  #step(state: State, codePoint: number): State {
    const side = sideOf(codePoint)
    const reached = new Set<number>()
    for (const at of this.#reach(state, side)) {
      const instruction = this.#program[at]
      if (instruction?.op === 'class' && instruction.has(codePoint)) reached.add(instruction.to)
    }
    const next = this.#state(
      [...reached].sort((a, b) => a - b),
      side,
    )
    if (codePoint < 128) state.next[codePoint] = next
    return next
  }

  #state(at: number[], before: Side): State {
    const key = `${before} ${at}`
    const known = this.#states.get(key)
    if (known) return known
    if (this.#states.size >= mostStates) this.#states.clear()
    const state: State = { at, before, next: [], accepts: undefined }
    this.#states.set(key, state)
    return state
  }

  /** All instructions that can be reached without a character, when `after` stands next. */
  #reach({ at, before }: State, after: Side): number[] {
    const seen = new Set(at)
    for (const place of seen) {
      const instruction = this.#program[place]
      if (instruction?.op === 'split') for (const to of instruction.to) seen.add(to)
      else if (instruction?.op === 'assert' && holds(instruction.what, before, after)) {
        seen.add(instruction.to)
      }
    }
    return [...seen]
  }
}

function sideOf(code: number): Side {
  if (code === 10) return 'newline'
  const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
  return isLetter || (code >= 48 && code <= 57) || code === 95 ? 'word' : 'other'
}

function holds(what: Assertion, before: Side, after: Side): boolean {
  switch (what) {
    case 'text-start':
      return before === 'edge'
    case 'text-end':
      return after === 'edge'
    case 'line-start':
      return before === 'edge' || before === 'newline'
    case 'line-end':
      return after === 'edge' || after === 'newline'
    case 'word':
      return (before === 'word') !== (after === 'word')
    case 'no-word':
      return (before === 'word') === (after === 'word')
  }
}
