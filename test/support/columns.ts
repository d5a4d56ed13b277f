import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SampleColumn } from '../../remote-write/segments/column.ts'

/** A column of these samples; a value is a number, or 64 bits where NaN's matter. */
export function columnOf(
  samples: readonly (readonly [timeMs: number, value: number | bigint])[],
): SampleColumn {
  const column = new SampleColumn(4)
  for (const [timeMs, value] of samples) {
    const bits = typeof value === 'bigint' ? value : bitsOf(value)
    column.push(timeMs, Number(bits & 0xffff_ffffn), Number(bits >> 32n))
  }
  return column
}

/** The samples [from, to) as text with each bit of the values, to be compared. */
export function samplesOf(column: SampleColumn, from = 0, to = column.count): string[] {
  return Array.from({ length: to - from }, (_, k) => {
    const i = from + k
    const halves = [column.words[2 * i + 1] ?? 0, column.words[2 * i] ?? 0]
    return `${column.times[i]} ${halves.map((half) => half.toString(16).padStart(8, '0')).join('')}`
  })
}

export function assertSameSamples(actual: SampleColumn, expected: SampleColumn): void {
  assert.deepEqual(samplesOf(actual), samplesOf(expected))
}

/** Columns of 1 to some 300 samples with times such as senders have, in order. */
export function orderedColumns(): fc.Arbitrary<SampleColumn> {
  return columns(
    fc.oneof(
      regularTimes(fc.nat({ max: 9 })),
      regularTimes(fc.oneof(fc.constant(0), fc.nat({ max: 14_000 }), fc.nat({ max: 2 ** 33 }))),
    ),
  )
}

/** Columns with any times that are whole milliseconds, in any order. */
export function anyColumns(): fc.Arbitrary<SampleColumn> {
  const edge = fc.nat({ max: 9 }).map((n) => Number.MAX_SAFE_INTEGER - n)
  const time = fc.oneof(
    fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
    edge,
    edge.map((n) => -n),
    fc.integer({ min: -2e15, max: 2e15 }),
  )
  return fc.oneof(orderedColumns(), columns(fc.array(time, { minLength: 1, maxLength: 30 })))
}

function columns(times: fc.Arbitrary<number[]>): fc.Arbitrary<SampleColumn> {
  const oddities = fc.array(fc.tuple(fc.nat({ max: 100 }), oddValue()), { maxLength: 4 })
  return fc.tuple(times, values(), oddities).map(([times, values, oddities]) => {
    const column = columnOf(times.map((time, i) => [time, values[i % values.length] ?? 0] as const))
    for (const [place, bits] of oddities) {
      if (place >= column.count) continue
      column.words[2 * place] = Number(bits & 0xffff_ffffn)
      column.words[2 * place + 1] = Number(bits >> 32n)
    }
    return column
  })
}

/** Steps of 15 s, each prolonged by what `extra` says now and then. */
function regularTimes(extra: fc.Arbitrary<number>): fc.Arbitrary<number[]> {
  const steps = fc.array(fc.tuple(extra, fc.integer({ min: 1, max: 60 })), {
    minLength: 1,
    maxLength: 8,
  })
  return fc.tuple(fc.nat({ max: 2e12 }), steps).map(([start, steps]) => {
    let time = start
    return steps.flatMap(([extra, run]) => {
      time += extra
      return Array.from({ length: run }, () => (time += 15_000))
    })
  })
}

function values(): fc.Arbitrary<(number | bigint)[]> {
  const lengths = { minLength: 1, maxLength: 200 }
  const decimal = fc
    .tuple(fc.nat({ max: 11 }), fc.nat({ max: 15 }))
    .chain(([places, digits]) =>
      fc
        .array(fc.integer({ min: -(10 ** digits), max: 10 ** digits }), lengths)
        .map((integers) => integers.map((integer) => integer / 10 ** places)),
    )
  const counter = fc
    .tuple(fc.nat({ max: 1e12 }), fc.array(fc.integer({ min: 0, max: 9000 }), lengths))
    .map(([start, growths]) => {
      let joules = start
      return growths.map((growth) => {
        joules = growth < 50 ? 0 : joules + growth
        return joules
      })
    })
  const runs = fc
    .array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 1, max: 90 })), lengths)
    .map((runs) => runs.flatMap(([value, length]) => Array<number>(length).fill(60 * value)))
  const products = fc.array(
    fc.nat({ max: 1e6 }).map((n) => n * 0.01),
    lengths,
  )
  return fc.oneof(
    decimal,
    counter,
    runs,
    products,
    fc.array(fc.bigInt(0n, 2n ** 64n - 1n), lengths),
  )
}

/** Stale marker, other NaN, infinities, -0, subnormals, the edges of whole numbers. */
function oddValue(): fc.Arbitrary<bigint> {
  const edges = [2 ** 53, 2 ** 53 - 1, -(2 ** 53), 2e15, 2e15 + 1, 0.1 + 0.2, 1e300, 5e-324]
  return fc.oneof(
    fc.constant(0x7ff0_0000_0000_0002n),
    fc.constantFrom(0x7ff8_0000_0000_0001n, 0xfff4_0000_0000_0123n, 0x7ff0_0000_0000_0000n),
    fc.constantFrom(0x8000_0000_0000_0000n, 1n, 0x800f_ffff_ffff_ffffn, 0x0010_0000_0000_0000n),
    fc.constantFrom(...edges.map(bitsOf)),
  )
}

function bitsOf(value: number): bigint {
  return new BigUint64Array(Float64Array.of(value).buffer)[0] ?? 0n
}
