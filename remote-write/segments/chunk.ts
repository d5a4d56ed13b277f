import { BitReader, BitWriter } from './bits.ts'
import { MAX_INTEGER, scaleToIntegers } from './chunk-decimals.ts'
import {
  planTimes,
  planValues,
  readColumn,
  readHead,
  writeHead,
  writeResiduals,
} from './chunk-integers.ts'
import type { SampleColumn } from './column.ts'
import { readXorSamples, writeXorSamples } from './xor.ts'

// A chunk: the samples of one series in one window, in bits, the highest of each number first.
//
//   8 bits   encoding
//   varint   number of samples
//   XOR      the samples as in Prometheus' XOR chunk, without its count
//   decimal  varints  number of exceptions; bits of the times' residuals; then signed: the times'
//                     first and step, the values' first and step
//            4 bits   decimal places: values are whole numbers / 10^places, times are milliseconds
//            46 bits  times, then values: 2 bits kind, 1 order, 5 each shift, reach, gapK, k
//            84 bits  for each exception, a value that isn't such a number: its place in 20, itself
//            the rest the residuals of times, then of values
//
// chunk-integers.ts says what the heads and residuals are. The last byte is filled up with
// zeros. functions/chunk.sql reads the same: what changes needs another encoding, and both readers
// go on reading those of before.
const encodings = { xor: 0, decimal: 1 } as const

/** More than one per 20 ms of a window of 4 h; 16 bytes each when decoded. */
const MAX_SAMPLES = 1_000_000
/** From here on XOR might be shorter: large steps between whole numbers of no pattern. */
const POOR_BYTES_PER_SAMPLE = 7

// Memory that is used again: nothing here waits, so one call is through before the next.
const out = new BitWriter()
const bits = new BitReader()
let integers = new Float64Array(1024)
/** The times encoded last, and what became of them. */
let lastTimes = new Float64Array([0])
let timesHead = planTimes(lastTimes, 1)
const timesOut = new BitWriter()

/**
 * The samples of a column, 1 to 1,000,000, without loss of a bit, in any order of time.
 * @throws {RangeError} when there are none or too many, or times aren't whole milliseconds.
 */
export function encodeChunk(column: SampleColumn): Buffer {
  const { count } = column
  if (!(count > 0 && count <= MAX_SAMPLES)) {
    throw new RangeError(`chunk: ${count} samples, expected 1 to ${MAX_SAMPLES}`)
  }
  const chunk = encodeDecimal(column)
  if (chunk && chunk.length <= POOR_BYTES_PER_SAMPLE * count + 16) return chunk
  const xor = encodeXor(column)
  return chunk && chunk.length <= xor.length ? chunk : xor
}

/**
 * Appends the samples of a chunk.
 * @throws {Error} saying what is wrong with bytes that are none; `into` then has as many samples
 * as before.
 */
export function decodeChunk(chunk: Uint8Array, into: SampleColumn): void {
  bits.begin(chunk)
  const encoding = bits.read(8)
  const count = Number(bits.readVarint())
  if (!(count > 0 && count <= MAX_SAMPLES)) {
    throw new Error(`chunk: ${count} samples, expected 1 to ${MAX_SAMPLES}`)
  }
  if (encoding === encodings.xor) readXorSamples(bits, count, into)
  else if (encoding === encodings.decimal) readDecimal(count, into)
  else throw new Error(`chunk: encoding ${encoding}, expected 0 or 1`)
  if (bits.left < 0 || bits.left > 7) {
    into.count -= count
    const fault = bits.left < 0 ? 'it ends early' : `${bits.left} bits too many`
    throw new Error(`chunk: ${chunk.length} bytes, ${fault}`)
  }
}

function encodeXor(column: SampleColumn): Buffer {
  out.begin(19 * column.count + 32)
  out.write(encodings.xor, 8)
  out.writeVarint(column.count)
  writeXorSamples(out, column, 0, column.count)
  return out.finish()
}

/** Undefined where too many values aren't decimal numbers. */
function encodeDecimal(column: SampleColumn): Buffer | undefined {
  const { count, times } = column
  if (integers.length < count) integers = new Float64Array(2 * count)
  const decimals = scaleToIntegers(column, integers)
  if (!decimals || !areSmall(times, count)) return undefined
  if (!areLast(times, count)) encodeTimes(times, count)
  const values = planValues(integers, count)
  const { places, exceptions } = decimals
  out.begin(34 * count + 11 * exceptions.length + 256)
  out.write(encodings.decimal, 8)
  for (const number of [count, exceptions.length, timesOut.length]) out.writeVarint(number)
  for (const { first, step } of [timesHead, values]) {
    out.writeSignedVarint(first)
    out.writeSignedVarint(step)
  }
  out.write(places, 4)
  writeHead(out, timesHead)
  writeHead(out, values)
  for (const place of exceptions) {
    out.write(place, 20)
    out.write(column.words[2 * place + 1] ?? 0, 32)
    out.write(column.words[2 * place] ?? 0, 32)
  }
  out.append(timesOut)
  writeResiduals(out, values, count)
  return out.finish()
}

function readDecimal(count: number, into: SampleColumn): void {
  const [exceptions, timeBits] = [Number(bits.readVarint()), Number(bits.readVarint())]
  const [firstTime, timeStep] = [bits.readSignedVarint(), bits.readSignedVarint()]
  const [firstValue, valueStep] = [bits.readSignedVarint(), bits.readSignedVarint()]
  const divisor = 10 ** bits.read(4)
  const timesHead = readHead(bits, firstTime, timeStep)
  const valuesHead = readHead(bits, firstValue, valueStep)
  const odd = readExceptions(exceptions, count)
  const at = into.count
  into.reserve(at + count)
  const left = bits.left
  readColumn(bits, timesHead, { count, divisor: 1, to: into.times, at })
  if (left - bits.left !== timeBits) {
    throw new Error(`chunk: times have ${left - bits.left} bits, not ${timeBits}`)
  }
  readColumn(bits, valuesHead, { count, divisor, to: into.values, at })
  for (const { place, low, high } of odd) {
    into.words[2 * (at + place)] = low
    into.words[2 * (at + place) + 1] = high
  }
  into.count = at + count
}

function readExceptions(length: number, count: number) {
  if (length > bits.left / 84) throw new Error(`chunk: ${length} exceptions in ${bits.left} bits`)
  return Array.from({ length }, () => {
    const place = bits.read(20)
    if (place >= count) throw new Error(`chunk: exception at ${place} of ${count}`)
    const high = bits.read(32)
    return { place, low: bits.read(32), high }
  })
}

function encodeTimes(times: Float64Array, count: number): void {
  timesHead = planTimes(times, count)
  timesOut.begin(17 * count + 64)
  writeResiduals(timesOut, timesHead, count)
  lastTimes = times.slice(0, count)
}

/** Whether the times are those of the chunk before: sensors scraped together share them. */
function areLast(times: Float64Array, count: number): boolean {
  if (lastTimes.length !== count) return false
  for (let i = 0; i < count; i++) if (times[i] !== lastTimes[i]) return false
  return true
}

/** Whether they are small enough for differences of differences to be exact. */
function areSmall(times: Float64Array, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const time = times[i] ?? 0
    if (time !== Math.floor(time) || time > MAX_INTEGER || time < -MAX_INTEGER) return false
  }
  return true
}
