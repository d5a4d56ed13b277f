import { BitReader, BitWriter } from './bits.ts'
import type { SampleColumn } from './column.ts'

// Prometheus' XOR chunk (tsdb/docs/format/chunks.md; tsdb/chunkenc/xor.go): a count of 16 bits, the
// first sample whole, then times by how much the step between them changes, and values by the bits
// in which they differ from the value before.

const writer = new BitWriter()
const reader = new BitReader()

/** What 16 bits can count. */
const MAX_SAMPLES = 65_535
/** A sample at its worst: 68 bits of time and 77 of value. */
const SAMPLE_BYTES = 19
/** Differences below it are exact. */
const EXACT = 2 ** 53

/**
 * The samples [from, to) of a column as a chunk that Prometheus reads.
 * @throws {RangeError} for no samples, more than 65,535, or times that aren't whole milliseconds.
 */
export function encodeXorChunk(column: SampleColumn, from: number, to: number): Buffer {
  const count = to - from
  if (!(count > 0 && count <= MAX_SAMPLES)) {
    throw new RangeError(`XOR chunk: ${count} samples, expected 1 to ${MAX_SAMPLES}`)
  }
  writer.begin(SAMPLE_BYTES * count + 32)
  writer.write(count, 16)
  writeXorSamples(writer, column, from, to)
  return writer.finish()
}

/**
 * Appends the samples of an XOR chunk.
 * @throws {Error} saying what is wrong with bytes that are none; `into` is then as before.
 */
export function decodeXorChunk(chunk: Uint8Array, into: SampleColumn): void {
  reader.begin(chunk)
  const count = reader.read(16)
  if (chunk.length < 2 || count === 0) throw new Error('XOR chunk: no samples')
  readXorSamples(reader, count, into)
}

/** What follows the count; at least one sample, and room for 19 bytes each and 32. */
export function writeXorSamples(
  out: BitWriter,
  column: SampleColumn,
  from: number,
  to: number,
): void {
  const { times, words } = column
  let time = times[from] ?? 0
  out.writeSignedVarint(checkedTime(time))
  let low = words[2 * from] ?? 0
  let high = words[2 * from + 1] ?? 0
  out.write(high, 32)
  out.write(low, 32)
  let delta = 0
  // Impossible values, so that the first that differs brings its own.
  let leading = 64
  let trailing = 64
  for (let i = from + 1; i < to; i++) {
    const next = times[i] ?? 0
    const step = next - time
    if (i === from + 1) writeFirstStep(out, time, next)
    else if (step === delta && Math.abs(step) < EXACT) out.write(0, 1)
    else writeStepChange(out, times, i)
    delta = step
    time = next

    const xorLow = (words[2 * i] ?? 0) ^ low
    const xorHigh = (words[2 * i + 1] ?? 0) ^ high
    if ((xorLow | xorHigh) === 0) {
      out.write(0, 1)
      continue
    }
    low ^= xorLow
    high ^= xorHigh
    const zerosLeft = Math.min(31, Math.clz32(xorHigh))
    const zerosRight =
      xorLow === 0 ? 63 - Math.clz32(xorHigh & -xorHigh) : 31 - Math.clz32(xorLow & -xorLow)
    if (zerosLeft >= leading && zerosRight >= trailing) {
      out.write(0b10, 2)
    } else {
      leading = zerosLeft
      trailing = zerosRight
      // 64 significant bits are written as 0.
      out.write((0b11 << 11) | (leading << 6) | ((64 - leading - trailing) & 63), 13)
    }
    if (trailing >= 32) {
      out.write(xorHigh >>> (trailing - 32), 64 - leading - trailing)
    } else {
      out.write(xorHigh, 32 - leading)
      out.write(xorLow >>> trailing, 32 - trailing)
    }
  }
  checkedTime(time)
}

/**
 * Appends `count` samples; the caller judges whether so many may be.
 * @throws {Error} saying what is wrong; `into.count` is then as before.
 */
export function readXorSamples(bits: BitReader, count: number, into: SampleColumn): void {
  if (bits.left < 72 + 2 * (count - 1)) {
    throw new Error(`XOR chunk: ${bits.left} bits cannot hold ${count} samples`)
  }
  const first = into.count
  into.reserve(first + count)
  const { times, words } = into
  let time = bits.readSignedVarint()
  let high = bits.read(32)
  let low = bits.read(32)
  let leading = 0
  let trailing = 0
  for (let i = first; ; ) {
    times[i] = time
    words[2 * i] = low
    words[2 * i + 1] = high
    if (++i === first + count) break

    time = i === first + 1 ? readSecondTime(bits, time) : readTime(bits, times, i)
    if (!(Math.abs(time) <= Number.MAX_SAFE_INTEGER)) throw new Error(`XOR chunk: time ${time}`)
    const head = bits.peek()
    if (head >= 0) {
      bits.skip(1)
      continue
    }
    if (head << 1 >= 0) {
      bits.skip(2)
    } else {
      leading = (head >>> 25) & 31
      trailing = 64 - leading - ((head >>> 19) & 63 || 64)
      if (trailing < 0) throw new Error(`XOR chunk: sample ${i - first} has more than 64 bits`)
      bits.skip(13)
    }
    if (trailing >= 32) {
      high ^= bits.read(64 - leading - trailing) << (trailing - 32)
    } else {
      high ^= bits.read(32 - leading)
      low ^= bits.read(32 - trailing) << trailing
    }
  }
  if (bits.left < 0) throw new Error('XOR chunk: it ends early')
  into.count = first + count
}

function writeFirstStep(out: BitWriter, time: number, next: number): void {
  const step = checkedTime(next) - time
  const exact = step >= 0 && step < EXACT
  out.writeVarint(exact ? step : BigInt.asUintN(64, BigInt(next) - BigInt(time)))
}

function readSecondTime(bits: BitReader, first: number): number {
  const step = bits.readVarint()
  if (typeof step === 'number') return first + step
  return Number(BigInt(first) + BigInt.asIntN(64, step))
}

/** By how much the step to time i differs from the one before it. */
function writeStepChange(out: BitWriter, times: Float64Array, i: number): void {
  const time = checkedTime(times[i] ?? 0)
  const last = checkedTime(times[i - 1] ?? 0)
  const lastButOne = times[i - 2] ?? 0
  const [step, lastStep] = [time - last, last - lastButOne]
  const change = step - lastStep
  // A change of few bits between steps that are not exact would be read wrong.
  const exact = Math.abs(step) < EXACT && Math.abs(lastStep) < EXACT
  if (exact && fits(change, 14)) out.write((0b10 << 14) | (change & 0x3fff), 16)
  else if (exact && fits(change, 17)) out.write((0b110 << 17) | (change & 0x1ffff), 20)
  else if (exact && fits(change, 20)) out.write((0b1110 << 20) | (change & 0xfffff), 24)
  else {
    const whole = BigInt(time) - 2n * BigInt(last) + BigInt(lastButOne)
    out.write(0b1111, 4)
    out.write(Number(BigInt.asUintN(32, whole >> 32n)), 32)
    out.write(Number(BigInt.asUintN(32, whole)), 32)
  }
}

function readTime(bits: BitReader, times: Float64Array, i: number): number {
  const last = times[i - 1] ?? 0
  const lastStep = last - (times[i - 2] ?? 0)
  const head = bits.peek()
  if (head >= 0) {
    bits.skip(1)
    return last + lastStep
  }
  if (head << 1 >= 0) {
    bits.skip(16)
    return last + (lastStep + signed((head >>> 16) & 0x3fff, 14))
  }
  if (head << 2 >= 0) {
    bits.skip(20)
    return last + (lastStep + signed((head >>> 12) & 0x1ffff, 17))
  }
  if (head << 3 >= 0) {
    bits.skip(24)
    return last + (lastStep + signed((head >>> 8) & 0xfffff, 20))
  }
  bits.skip(4)
  const change = BigInt.asIntN(64, (BigInt(bits.read(32)) << 32n) | BigInt(bits.read(32)))
  return Number(2n * BigInt(last) - BigInt(times[i - 2] ?? 0) + change)
}

/** Prometheus' ranges have one more number above zero than below. */
function fits(value: number, bits: number): boolean {
  const most = 2 ** (bits - 1)
  return value > -most && value <= most
}

function signed(value: number, bits: number): number {
  return value > 2 ** (bits - 1) ? value - 2 ** bits : value
}

function checkedTime(timeMs: number): number {
  if (Number.isSafeInteger(timeMs)) return timeMs
  throw new RangeError(`chunk: time ${timeMs}, expected whole milliseconds`)
}
