import type { BitReader, BitWriter } from './bits.ts'

// A column of whole numbers. Each is predicted from those before it, and the residuals, actual less
// predicted, are written in Rice codes: a number z with parameter k is z >> k ones, a zero, and the
// low k bits. Eight ones say that z itself follows instead: its length in 6 bits, then its bits.
// Residuals 0, -1, 1, -2, ... are z = 0, 1, 2, 3, ...
//
// What predicts is a level: of the numbers, or with `order` 1 of their growth (counters), which
// begins at `step`. With `order` 0, `step` is added to the level each time (times). Of a residual
// below 2^reach the level takes in a 2^-shift part, so that noise does not count twice; after a
// larger one it begins anew.

/** What is said of a column before its residuals. */
export interface ColumnHead {
  kind: number
  first: number
  order: number
  step: number
  shift: number
  reach: number
  /** Parameters: of the runs of zeros, if sparse; of other z - 1, or of the first block. */
  gapK: number
  k: number
}

type Model = Pick<ColumnHead, 'order' | 'step' | 'shift' | 'reach'>

/** All residuals are zero; or runs of zeros with others between them; or blocks of codes. */
const kinds = { constant: 0, sparse: 1, dense: 2 } as const

/** Residuals that share a k, after a bit 1 if it is that of the last block, or a 0 and 5 bits. */
const BLOCK = 32
/** The k that says all of them are zero; the largest other. */
const ZERO_BLOCK = 31
const MAX_K = 24
/** The shift that leaves the level as it is. */
const HOLD = 31
const MAX_REACH = 30
/** Shifts worth a try: noise around a level that moves, and around one that hardly does. */
const SHIFTS = [2, 4]
/** Models are tried on so many numbers. */
const TRIAL = 256

/** The residuals of one column as z; memory that is used again. */
let residuals = new Float64Array(1024)
const trialNumbers = new Float64Array(TRIAL)

/** The column's head, for values of at most 2e15; its residuals must be written next. */
export function planValues(column: Float64Array, count: number): ColumnHead {
  return plan(column, count, valueModel(column, count))
}

/** As planValues, for numbers that are mostly one step apart. */
export function planTimes(column: Float64Array, count: number): ColumnHead {
  return plan(column, count, timeModel(column, count))
}

/** The residuals of the column planned last; takes up to 17 bytes for each number, and 64. */
export function writeResiduals(out: BitWriter, head: ColumnHead, count: number): void {
  if (head.kind === kinds.sparse) writeSparse(out, head, count - 1)
  else if (head.kind === kinds.dense) writeDense(out, head, count - 1)
}

/** Head but first and step, which are varints. */
export function writeHead(out: BitWriter, head: ColumnHead): void {
  out.write((head.kind << 11) | (head.order << 10) | (head.shift << 5) | head.reach, 13)
  out.write((head.gapK << 5) | head.k, 10)
}

export function readHead(bits: BitReader, first: number, step: number): ColumnHead {
  const [kind, order] = [bits.read(2), bits.read(1)]
  const [shift, reach] = [bits.read(5), bits.read(5)]
  return { kind, first, order, step, shift, reach, gapK: bits.read(5), k: bits.read(5) }
}

/**
 * Reads `count` numbers, at least one, and puts them, divided by `divisor`, to `to` from `at` on.
 * @throws {Error} saying what is wrong.
 */
export function readColumn(
  bits: BitReader,
  head: ColumnHead,
  { count, divisor, to, at }: { count: number; divisor: number; to: Float64Array; at: number },
): void {
  const { first, order, step, shift, reach } = head
  readResiduals(bits, head, count - 1)
  const drift = order === 0 ? step : 0
  const half = shift === 0 ? 0 : 2 ** (shift - 1)
  const limit = shift === 0 ? 0 : 2 ** reach
  let value = first
  let level = order === 0 ? first : step
  to[at] = first / divisor
  for (let i = 1; i < count; i++) {
    const z = residuals[i - 1] ?? 0
    const residual = z % 2 === 0 ? z / 2 : -(z + 1) / 2
    const predicted = level + drift
    const actual = predicted + residual
    value = order === 0 ? actual : value + actual
    level =
      residual < limit && residual > -limit ? predicted + ((residual + half) >> shift) : actual
    to[at + i] = value / divisor
  }
}

function plan(column: Float64Array, count: number, guess: Model): ColumnHead {
  let model = guess
  let size = findResiduals(column, count, model)
  if (size === Number.POSITIVE_INFINITY) {
    model = { order: 0, step: 0, shift: 0, reach: 0 }
    size = findResiduals(column, count, model)
  }
  const head = { kind: kinds.constant, first: column[0] ?? 0, ...model, gapK: 0, k: 0 }
  return size === 0 ? head : { ...head, ...chooseKind(count - 1) }
}

/** The cheapest for values: numbers or their growth, noise evened out or not. */
function valueModel(column: Float64Array, count: number): Model {
  const [trial, length] = count <= TRIAL ? [column, count] : [stretches(column, count), TRIAL]
  const growth = (column[1] ?? 0) - (column[0] ?? 0)
  const numbers: Model = { order: 0, step: 0, shift: 0, reach: 0 }
  let best = numbers
  let least = Number.POSITIVE_INFINITY
  for (const plain of [numbers, { ...numbers, order: 1, step: count > 1 ? growth : 0 }]) {
    const size = findResiduals(trial, length, plain)
    if (size < least) [best, least] = [plain, size]
    if (size === 0) return plain
    if (size > 2 * least) continue
    // Four times the usual residual is no noise any more.
    const reach = Math.min(MAX_REACH, Math.ceil(size / length) + 2)
    for (const shift of SHIFTS) {
      const smooth = { ...plain, shift, reach }
      const smoothSize = findResiduals(trial, length, smooth)
      if (smoothSize < least) [best, least] = [smooth, smoothSize]
    }
  }
  return best
}

/** Numbers from all parts of a column, as many as a trial takes. */
function stretches(column: Float64Array, count: number): Float64Array {
  const length = TRIAL / 4
  for (let i = 0; i < 4; i++) {
    const from = Math.floor(((count - length) * i) / 3)
    trialNumbers.set(column.subarray(from, from + length), i * length)
  }
  return trialNumbers
}

/** Times on a grid, some of them late; or each one step after the last. */
function timeModel(times: Float64Array, count: number): Model {
  const step = usualStep(times, count)
  const each = { order: 0, step, shift: 0, reach: 0 }
  if (step < 4) return each
  const grid = { ...each, shift: HOLD, reach: Math.min(MAX_REACH, Math.floor(Math.log2(step)) - 1) }
  return findResiduals(times, count, grid) <= findResiduals(times, count, each) ? grid : each
}

/** Fills `residuals`; answers how many bits these have in all, infinite if one has more than 53. */
function findResiduals(column: Float64Array, count: number, model: Model): number {
  if (residuals.length < count) residuals = new Float64Array(2 * count)
  const { order, step, shift, reach } = model
  const drift = order === 0 ? step : 0
  const half = shift === 0 ? 0 : 2 ** (shift - 1)
  const limit = shift === 0 ? 0 : 2 ** reach
  let last = column[0] ?? 0
  let level = order === 0 ? last : step
  let size = 0
  let sum = 0
  for (let i = 1; i < count; i++) {
    const number = column[i] ?? 0
    const actual = order === 0 ? number : number - last
    last = number
    const predicted = level + drift
    const residual = actual - predicted
    level =
      residual < limit && residual > -limit ? predicted + ((residual + half) >> shift) : actual
    const z = residual < 0 ? -2 * residual - 1 : 2 * residual
    residuals[i - 1] = z
    size += 32 - Math.clz32(z)
    sum += z
  }
  return sum < 2 ** 32 ? size : sizeOfLarge(count - 1)
}

function sizeOfLarge(count: number): number {
  let size = 0
  for (let i = 0; i < count; i++) size += bitLength(residuals[i] ?? 0)
  return size
}

/** Runs of zeros or blocks, whichever is shorter. */
function chooseKind(count: number): Pick<ColumnHead, 'kind' | 'gapK' | 'k'> {
  let others = 0
  let sum = 0
  let dense = 0
  for (let from = 0; from < count; from += BLOCK) {
    const to = Math.min(count, from + BLOCK)
    let blockSum = 0
    for (let i = from; i < to; i++) {
      const z = residuals[i] ?? 0
      blockSum += z
      if (z !== 0) others++
    }
    sum += blockSum
    dense += 1 + (blockSum === 0 ? 0 : riceBits(blockSum, to - from))
  }
  const sparse = riceBits(count - others, others + 1) + riceBits(sum - others, others)
  if (sparse > dense) return { kind: kinds.dense, gapK: 0, k: blockK(0, Math.min(BLOCK, count)) }
  const gapK = riceParameter(count - others, others + 1)
  return { kind: kinds.sparse, gapK, k: riceParameter(sum - others, others) }
}

function writeDense(out: BitWriter, head: ColumnHead, count: number): void {
  let last = head.k
  for (let from = 0; from < count; from += BLOCK) {
    const to = Math.min(count, from + BLOCK)
    const k = blockK(from, to)
    if (k === last) out.write(1, 1)
    else out.write(k, 6)
    last = k
    if (k === ZERO_BLOCK) continue
    for (let i = from; i < to; i++) writeRice(out, residuals[i] ?? 0, k)
  }
}

function readDense(bits: BitReader, { k: firstK }: ColumnHead, count: number): void {
  if (bits.left < count / BLOCK) throw new Error(`chunk: ${bits.left} bits for ${count} numbers`)
  let k = firstK
  for (let from = 0; from < count; from += BLOCK) {
    const to = Math.min(count, from + BLOCK)
    if (bits.read(1) === 0) k = bits.read(5)
    if (k === ZERO_BLOCK) residuals.fill(0, from, to)
    else if (k > MAX_K) throw new Error(`chunk: parameter ${k}, expected at most ${MAX_K}`)
    else for (let i = from; i < to; i++) residuals[i] = readRice(bits, k)
  }
}

function blockK(from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += residuals[i] ?? 0
  return sum === 0 ? ZERO_BLOCK : riceParameter(sum, to - from)
}

function writeSparse(out: BitWriter, { gapK, k }: ColumnHead, count: number): void {
  let gap = 0
  for (let i = 0; i < count; i++) {
    const z = residuals[i] ?? 0
    if (z === 0) {
      gap++
    } else {
      writeRice(out, gap, gapK)
      writeRice(out, z - 1, k)
      gap = 0
    }
  }
  if (gap > 0) writeRice(out, gap, gapK)
}

function readSparse(bits: BitReader, { gapK, k }: ColumnHead, count: number): void {
  if (gapK > MAX_K || k > MAX_K) {
    throw new Error(`chunk: parameters ${gapK} and ${k}, expected at most ${MAX_K}`)
  }
  residuals.fill(0, 0, count)
  for (let i = 0; i < count; i++) {
    i += readRice(bits, gapK)
    if (i > count) throw new Error(`chunk: residual ${i} of ${count}`)
    if (i < count) residuals[i] = readRice(bits, k) + 1
  }
}

function readResiduals(bits: BitReader, head: ColumnHead, count: number): void {
  if (residuals.length < count) residuals = new Float64Array(2 * count)
  if (head.kind === kinds.dense) readDense(bits, head, count)
  else if (head.kind === kinds.sparse) readSparse(bits, head, count)
  else if (head.kind === kinds.constant) residuals.fill(0, 0, count)
  else throw new Error(`chunk: column of kind ${head.kind}, expected 0, 1 or 2`)
}

function writeRice(out: BitWriter, z: number, k: number): void {
  if (z < 8 << k) {
    const ones = z >>> k
    out.write((((2 << ones) - 2) << k) | (z & ((1 << k) - 1)), ones + 1 + k)
    return
  }
  const length = bitLength(z)
  out.write((255 << 6) | length, 14)
  if (length > 32) out.write(Math.floor(z / 2 ** 32), length - 32)
  out.write(z >>> 0, Math.min(32, length))
}

function readRice(bits: BitReader, k: number): number {
  const head = bits.peek()
  const ones = Math.clz32(~head)
  if (ones < 8) {
    bits.skip(ones + 1 + k)
    return (ones << k) | (((head << (ones + 1)) >>> 1) >>> (31 - k))
  }
  bits.skip(8)
  const length = bits.read(6)
  if (length > 53) throw new Error(`chunk: a number of ${length} bits, expected at most 53`)
  const high = length > 32 ? bits.read(length - 32) : 0
  return high * 2 ** 32 + bits.read(Math.min(32, length))
}

/** The k for numbers of such a sum: 2^k is just below their mean. */
function riceParameter(sum: number, count: number): number {
  return Math.min(MAX_K, Math.max(0, bitLength(Math.floor(sum / Math.max(1, count))) - 1))
}

/** About how many bits the Rice codes of so many numbers have; one for all if they are zero. */
function riceBits(sum: number, count: number): number {
  if (sum === 0) return count
  const k = riceParameter(sum, count)
  return count * (k + 1) + sum / (1 << k)
}

/** Of a whole number below 2^53; infinite above. */
function bitLength(value: number): number {
  if (value < 2 ** 32) return 32 - Math.clz32(value)
  return value < 2 ** 53 ? 64 - Math.clz32(value / 2 ** 32) : Number.POSITIVE_INFINITY
}

/** The median of some steps; 0 if that is none a clock would make. */
function usualStep(times: Float64Array, count: number): number {
  const steps = []
  const stride = Math.max(1, Math.floor(count / 16))
  for (let i = 1; i < count; i += stride) steps.push((times[i] ?? 0) - (times[i - 1] ?? 0))
  const median = steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0
  return median >= 0 && median < 2 ** 31 ? median : 0
}
