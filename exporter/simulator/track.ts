import { type Load, type Seconds, wave } from './load.ts'
import type { Domains, Machine } from './system.ts'

export type PowerState = 'On' | 'Off' | 'PoweringOn' | 'PoweringOff'

/** A job's draw on one machine. */
export interface PlacedLoad {
  jobId: number
  cores: number
  startedAt: Seconds
  load: Load
  /** The parts of the load's watts that its CPU, memory and accelerators take; sum at most 1. */
  shares: Omit<Domains, 'node'>
}

/** A stretch of time in which state and jobs stay the same. */
interface Piece {
  from: Seconds
  state: PowerState
  loads: readonly PlacedLoad[]
  /** Joules since the track began, at `from`. */
  joules: Domains
}

/**
 * The power and energy of one machine over time. Energy is the exact integral of power: within a
 * piece in closed form, before it as a sum kept at the piece's start.
 */
export class Track {
  readonly machine: Machine
  readonly #epoch: Seconds
  readonly #ripple: Load
  #pieces: [Piece, ...Piece[]]
  #asked: { at: Seconds; watts: Domains } | undefined

  constructor(machine: Machine, epoch: Seconds, phase: number) {
    const { watts, period } = machine.model.ripple
    this.machine = machine
    this.#epoch = epoch
    this.#ripple = wave(watts / 2, watts / 2, period, phase)
    this.#pieces = [{ from: epoch, state: 'On', loads: [], joules: nothing }]
  }

  /** State and jobs as last told. */
  get latest(): { state: PowerState; loads: readonly PlacedLoad[] } {
    return this.#pieces.at(-1) ?? this.#pieces[0]
  }

  /** From `at` on, state or jobs are these; `at` never goes back. */
  change(at: Seconds, { state, loads }: { state?: PowerState; loads?: readonly PlacedLoad[] }) {
    const last = this.#pieces.at(-1) ?? this.#pieces[0]
    const piece = {
      from: at,
      state: state ?? last.state,
      loads: loads ?? last.loads,
      joules: this.joulesAt(at),
    }
    this.#asked = undefined
    if (last.from === at) this.#pieces.pop()
    this.#pieces.push(piece)
  }

  stateAt(at: Seconds): PowerState {
    return this.#pieceAt(at).state
  }

  /** Watts at an instant. */
  wattsAt(at: Seconds): Domains {
    if (this.#asked?.at !== at) this.#asked = { at, watts: this.#watts(at) }
    return this.#asked.watts
  }

  #watts(at: Seconds): Domains {
    const { state, loads } = this.#pieceAt(at)
    const sum = { ...this.#base(state) }
    if (isUp(state)) add(sum, this.#ripple.watts(at - this.#epoch), cpuOnly)
    for (const placed of loads) {
      add(sum, placed.load.watts(at - placed.startedAt), placed.shares)
    }
    return sum
  }

  /** Joules since the track began. */
  joulesAt(at: Seconds): Domains {
    const piece = this.#pieceAt(at)
    const sum = { ...piece.joules }
    this.#addJoules(sum, piece, piece.from, at)
    return sum
  }

  /** The pieces that overlap [from, to), each with its node's joules in the overlap. */
  *between(from: Seconds, to: Seconds) {
    for (let index = this.#indexAt(from); index < this.#pieces.length; index++) {
      const piece = this.#pieces[index]
      if (!piece || piece.from >= to) return
      const start = Math.max(from, piece.from)
      const end = Math.min(to, this.#pieces[index + 1]?.from ?? to)
      const sum = { ...nothing }
      this.#addJoules(sum, piece, start, end)
      yield { seconds: end - start, joules: sum.node, loads: piece.loads }
    }
  }

  /** Drops what ended before `at`. */
  forget(at: Seconds): void {
    const [first = this.#pieces[0], ...rest] = this.#pieces.slice(this.#indexAt(at))
    this.#pieces = [first, ...rest]
  }

  #addJoules(sum: Domains, { state, loads }: Piece, from: Seconds, to: Seconds): void {
    const base = this.#base(state)
    add(sum, base.node * (to - from), sharesOf(base))
    if (isUp(state)) add(sum, integral(this.#ripple, this.#epoch, from, to), cpuOnly)
    for (const placed of loads) {
      add(sum, integral(placed.load, placed.startedAt, from, to), placed.shares)
    }
  }

  #base(state: PowerState): Domains {
    const { model, idleWatts } = this.machine
    if (isUp(state)) return { ...model.idle, node: idleWatts }
    const watts = state === 'Off' ? model.standbyWatts : idleWatts / 2
    return { ...nothing, node: watts }
  }

  #pieceAt(at: Seconds): Piece {
    return this.#pieces[this.#indexAt(at)] ?? this.#pieces[0]
  }

  /** The last piece that begins at or before `at`; the first for an earlier time. */
  #indexAt(at: Seconds): number {
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#pieces[middle]?.from ?? Infinity) <= at) low = middle
      else high = middle - 1
    }
    return low
  }
}

const nothing: Domains = { node: 0, cpu: 0, memory: 0, accelerator: 0 }
const cpuOnly = { cpu: 1, memory: 0, accelerator: 0 }

/** A machine that is being switched off still draws what it drew when idle. */
function isUp(state: PowerState): boolean {
  return state === 'On' || state === 'PoweringOff'
}

function integral(load: Load, startedAt: Seconds, from: Seconds, to: Seconds): number {
  return load.joules(to - startedAt) - load.joules(from - startedAt)
}

function sharesOf({ node, cpu, memory, accelerator }: Domains): Omit<Domains, 'node'> {
  return { cpu: cpu / node, memory: memory / node, accelerator: accelerator / node }
}

function add(sum: Domains, amount: number, shares: Omit<Domains, 'node'>): void {
  sum.node += amount
  sum.cpu += amount * shares.cpu
  sum.memory += amount * shares.memory
  sum.accelerator += amount * shares.accelerator
}
