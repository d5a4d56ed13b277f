import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeChunk, encodeChunk } from '../../remote-write/segments/chunk.ts'
import { SampleColumn } from '../../remote-write/segments/column.ts'
import { decodeXorChunk, encodeXorChunk } from '../../remote-write/segments/xor.ts'
import { anyColumns, assertSameSamples, columnOf, samplesOf } from '../support/columns.ts'
import { nodeSamples } from '../support/telemetry-data.ts'

const stale = 0x7ff0_0000_0000_0002n
const xor = 0
const decimal = 1

describe('a chunk', () => {
  it('brings back every bit of any value and every time, in any order', () => {
    fc.assert(
      fc.property(anyColumns(), (column) => {
        assertSameSamples(decoded(encodeChunk(column)), column)
      }),
      { numRuns: 3000 },
    )
  })

  it('is decoded behind what the column already holds', () => {
    const column = columnOf([[1, 2]])
    decodeChunk(encodeChunk(columnOf([[3, 4]])), column)
    assert.deepEqual([...column.values.subarray(0, column.count)], [2, 4])
  })

  it('takes at most 0.6 bytes for a sample of a node', () => {
    const columns = [0, 1, 2].flatMap((node) => nodeSamples(node, { steps: 960, startMs: 1.8e12 }))
    const bytes = columns.reduce((sum, column) => sum + encodeChunk(column).length, 0)
    const perSample = bytes / (960 * columns.length)
    assert.ok(perSample <= 0.6, `${perSample} bytes`)
  })

  it('takes a few bytes for a value that stays, however long', () => {
    const bytes = encodeChunk(steady(100_000, () => 21.5)).length
    assert.ok(bytes <= 30, `${bytes} bytes`)
  })

  it('keeps a stale marker and an odd value by themselves among decimal numbers', () => {
    const plain = encodeChunk(steady(960, (i) => 400 + (i % 7)))
    const odd = encodeChunk(steady(960, (i) => (i === 500 ? 0.1 + 0.2 : 400 + (i % 7))))
    const gone = encodeChunk(steady(960, (i) => (i === 959 ? stale : 400 + (i % 7))))
    for (const chunk of [odd, gone]) {
      assert.equal(chunk[0], decimal)
      assert.ok(chunk.length <= plain.length + 16, `${chunk.length} and ${plain.length} bytes`)
    }
  })

  it('bridges runs of stale markers, of a counter too, at both ends and between', () => {
    const gone = new Set([0, 1, 40, 41, 42, 43, 98, 99])
    const column = steady(100, (i) => (gone.has(i) ? stale : 1e9 + 6000 * i))
    const chunk = encodeChunk(column)
    assertSameSamples(decoded(chunk), column)
    assert.ok(chunk.length < 11 * gone.size + 70, `${chunk.length} bytes`)
  })

  it('survives a spike so high that its residual has more than 53 bits', () => {
    const column = steady(1000, (i) => (i === 200 ? 2e15 : -2e15 + 6000 * i))
    const chunk = encodeChunk(column)
    assert.equal(chunk[0], decimal)
    assertSameSamples(decoded(chunk), column)
  })

  it('is an XOR chunk where values are not decimal numbers, and no larger than that', () => {
    const column = steady(480, (i) => Math.sin(i))
    const chunk = encodeChunk(column)
    assert.equal(chunk[0], xor)
    assert.ok(chunk.length <= encodeXorChunk(column, 0, 480).length + 3)
  })

  it('codes counters of a thousand million joules by how their growth changes', () => {
    const chunk = encodeChunk(steady(960, (i) => 1e12 + 6000 * i + (i % 3)))
    assert.ok(chunk.length / 960 < 0.4, `${chunk.length} bytes`)
  })

  it('keeps its format: these bytes are in databases', () => {
    const lateAndStale = columnOf([
      [1_800_000_000_000, 21.5],
      [1_800_000_015_000, 21.5],
      [1_800_000_030_003, 21.6],
      [1_800_000_045_000, stale],
      [1_800_000_060_000, 21.4],
      [1_800_000_075_000, -3],
      [1_800_000_090_000, 21.5],
      [1_800_000_105_000, 21.5],
    ])
    const counter = steady(40, (i) => 1e9 + 6000 * i + (i % 5) * (i % 3))
    const odd = columnOf([
      [-5, Math.PI],
      [70, Math.E],
      [60, -Math.E],
      [9e15, 5e-324],
    ])
    const chunks = [lateAndStale, counter, odd].map((column) => encodeChunk(column))
    assert.deepEqual(
      chunks.map((chunk) => chunk.toString('hex')),
      golden,
    )
    assert.deepEqual(
      golden.map((hex) => samplesOf(decoded(Buffer.from(hex, 'hex')))),
      [lateAndStale, counter, odd].map((column) => samplesOf(column)),
    )
  })

  it('is refused without samples, with too many, or with times between milliseconds', () => {
    assert.throws(() => encodeChunk(new SampleColumn()), /0 samples, expected 1 to 1000000/)
    const large = new SampleColumn(1_000_001)
    large.count = 1_000_001
    assert.throws(() => encodeChunk(large), /1000001 samples/)
    for (const time of [0.5, Number.NaN, 2 ** 53]) {
      const column = columnOf([
        [0, 1],
        [time, 1],
        [2 * time, 1],
      ])
      assert.throws(() => encodeChunk(column), /time .*, expected whole milliseconds/)
    }
  })
})

describe('bytes that are no chunk', () => {
  const chunks = [
    ...nodeSamples(7, { steps: 70, startMs: 1.8e12 }),
    steady(50, (i) => (i % 9 === 0 ? stale : i)),
    steady(50, Math.sin),
  ].map((column) => encodeChunk(column))

  it('are refused when they end early or go on', () => {
    for (const chunk of chunks) {
      for (let length = 0; length < chunk.length; length++) {
        assert.throws(() => decoded(chunk.subarray(0, length)), /chunk: /, `${length} bytes`)
      }
      assert.throws(() => decoded(Buffer.concat([chunk, Buffer.of(0)])), /bits too many/)
    }
    const long = new SampleColumn(300_000)
    for (let i = 0; i < 300_000; i++) long.push(i, 0, 0)
    for (let i = 0; i < 300_000; i++) long.values[i] = (i * 7919) % 1009
    assert.throws(() => decoded(encodeChunk(long).subarray(0, 1300)), /chunk: /)
  })

  it('are told by what is wrong with them', () => {
    const told = new Set<string>()
    for (const hex of golden) {
      const bytes = Buffer.from(hex, 'hex')
      for (let bit = 0; bit < 8 * bytes.length; bit++) {
        const flipped = Buffer.from(bytes)
        flipped[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        try {
          decoded(flipped)
        } catch (error) {
          told.add(String(error).replaceAll(/-?\d+/g, '#'))
        }
      }
    }
    assert.deepEqual([...told].sort(), faults)
  })

  it('are refused or give samples, in bounded memory, and leave the column usable', () => {
    const flipped = fc
      .tuple(fc.constantFrom(...chunks), fc.array(fc.nat({ max: 4000 }), { minLength: 1 }))
      .map(([chunk, places]) => {
        const bytes = Buffer.from(chunk)
        for (const place of places) {
          const at = (place >> 3) % bytes.length
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (place & 7))
        }
        return bytes
      })
    const random = fc
      .tuple(fc.nat({ max: 2 }), fc.uint8Array({ maxLength: 200 }))
      .map(([encoding, bytes]) => Buffer.from([encoding, ...bytes]))
    const column = columnOf([[1, 2]])
    fc.assert(
      fc.property(fc.oneof(flipped, random), (bytes) => {
        for (const decode of [decodeChunk, decodeXorChunk]) {
          column.count = 1
          try {
            decode(bytes, column)
          } catch (error) {
            assert.match(String(error), /^Error: (XOR )?chunk: /)
            assert.equal(column.count, 1)
          }
          assert.ok(column.count <= 1_000_001)
          assert.deepEqual([column.times[0], column.values[0]], [1, 2])
        }
      }),
      { numRuns: 5000 },
    )
    assert.ok(column.times.length <= 2_000_002)
  })
})

describe('an XOR chunk', () => {
  // Derived by hand from tsdb/docs/format/chunks.md and tsdb/chunkenc/xor.go.
  const one = 0x3ff0_0000_0000_0000n
  const vectors = [
    {
      title: 'a value that stays, and one that differs in 11 bits',
      samples: [
        [1, one],
        [16, one],
        [31, 2],
      ] as const,
      // xor 7ff0...: 1 zero on the left (5 bits), 11 significant (6 bits).
      bytes: ['0003', '02', '3ff0000000000000', '0f', '0', '0', '11 00001 001011 11111111111'],
    },
    {
      title: 'the window of the last difference, used again',
      samples: [
        [1, 0n],
        [2, 0xf0n << 40n],
        [3, 0x90n << 40n],
        [4, 0xffn << 40n],
      ] as const,
      // f0: 16 zeros on the left, 4 bits; then 60 fits the window as 0110; then 6f takes 7 bits.
      bytes: [
        ...['0004', '02', '0000000000000000', '01', '11 10000 000100 1111'],
        ...['0 10 0110', '0 11 10001 000111 1101111'],
      ],
    },
    {
      title: '64 significant bits written as 0, and zeros on the left counted to 31 only',
      samples: [
        [0, 0n],
        [1, 0x8000_0000_0000_0001n],
        [2, 0x8000_0000_0000_0000n],
      ] as const,
      bytes: [
        ...['0003', '00', '0000000000000000', '01'],
        ...[`11 00000 000000 1${'0'.repeat(62)}1`, `0 10 ${'0'.repeat(63)}1`],
      ],
    },
    {
      title: 'a first difference in the lowest bit',
      samples: [
        [0, 0n],
        [1, 1n],
      ] as const,
      bytes: ['0002', '00', '0000000000000000', '01', `11 11111 100001 ${'0'.repeat(32)}1`],
    },
    {
      title: 'steps that change by one less than 14, 17 and 20 bits hold',
      samples: [0, 0, -8192, -81_920, -679_936].map((time) => [time, 0n] as const),
      // Changes of -8192, -65536 and -524288.
      bytes: [
        ...['0005', '00', '0000000000000000', '00', '0', '110 11110000000000000 0'],
        `1110 ${'1111'}${'0'.repeat(16)} 0`,
        ...[`1111 ${'1'.repeat(45)}${'0'.repeat(19)} 0`],
      ],
    },
    {
      title: 'steps that change by as much as 14, 17, 20 and 64 bits hold',
      samples: [0, 0, 0, 8192, 8193, 16_387, -40_954, -32_758, 499_727].map(
        (time) => [time, 0n] as const,
      ),
      // Changes of 0, 8192, -8191, 8193, -65535, 65537 and 524289; a 0 after each for the value.
      bytes: [
        ...['0009', '00', '0000000000000000', '00', '0', '0 0'],
        ...['10 10000000000000 0', '10 10000000000001 0', '110 00010000000000001 0'],
        ...['110 10000000000000001 0', '1110 00010000000000000001 0'],
        ...[`1111 ${'0'.repeat(44)}10000000000000000001 0`],
      ],
    },
  ]
  for (const { title, samples, bytes } of vectors) {
    it(`has the bytes of Prometheus' format: ${title}`, () => {
      const expected = chunkOf(bytes)
      const column = columnOf(samples)
      assert.equal(encodeXorChunk(column, 0, samples.length).toString('hex'), expected)
      const back = new SampleColumn()
      decodeXorChunk(Buffer.from(expected, 'hex'), back)
      assertSameSamples(back, column)
    })
  }

  it('brings back every bit of any value and every time, in any order', () => {
    fc.assert(
      fc.property(anyColumns(), fc.nat(), (column, nth) => {
        const from = nth % column.count
        const into = columnOf([[5, 6]])
        decodeXorChunk(encodeXorChunk(column, from, column.count), into)
        assert.deepEqual(samplesOf(into, 1), samplesOf(column, from))
      }),
      { numRuns: 2000 },
    )
  })

  it('is refused without samples or with more than 16 bits can count', () => {
    assert.throws(
      () =>
        encodeXorChunk(
          steady(1, () => 0),
          1,
          1,
        ),
      /0 samples, expected 1 to 65535/,
    )
    assert.throws(
      () =>
        encodeXorChunk(
          steady(65_536, () => 0),
          0,
          65_536,
        ),
      /65536 samples/,
    )
    assert.throws(() => decodeXorChunk(Buffer.of(0, 0), new SampleColumn()), /no samples/)
  })
})

describe('a column of samples', () => {
  it('takes a part of another, bit for bit, and grows', () => {
    const column = columnOf([[1, stale]])
    column.append(
      steady(5000, (i) => i),
      10,
      4000,
    )
    column.append(columnOf([[9, 0xfff4_0000_0000_0001n]]))
    assert.equal(column.count, 3992)
    assert.deepEqual(samplesOf(column, 0, 2), ['1 7ff0000000000002', '150000 4024000000000000'])
    assert.deepEqual(samplesOf(column, 3991), ['9 fff4000000000001'])
  })
})

/** A sample every 15 s. */
function steady(count: number, value: (i: number) => number | bigint): SampleColumn {
  return columnOf(Array.from({ length: count }, (_, i) => [i * 15_000, value(i)] as const))
}

function decoded(chunk: Uint8Array): SampleColumn {
  const column = new SampleColumn(4)
  decodeChunk(chunk, column)
  return column
}

/** Four parts in hex, then bits; in hex. */
function chunkOf(parts: readonly string[]): string {
  const head = parts.slice(0, 4).join('')
  const bits = parts.slice(4).join('').replaceAll(' ', '')
  const bytes = bits.padEnd(8 * Math.ceil(bits.length / 8), '0').match(/.{8}/g) ?? []
  return head + bytes.map((byte) => parseInt(byte, 2).toString(16).padStart(2, '0')).join('')
}

/** Times once late and a stale marker; a counter in blocks; XOR. */
const golden = [
  '0108010a80c0e285e368b0ea01ae030015f604484501c0000dffc00000000000099d806007687698',
  '0128000000b0ea0180a8d6b907e25d01f600148600a233592ab92a631e555e2c463621d6bb55bc588c6c',
  '000409400921fb54442d184bd9a64f78efa83d38dfd5e007e003ff2e795f4ff9d83dc005bf0a8b145768',
]

/** What each bit of the golden chunks, turned over, can lead to; # is a number. */
const faults = [
  'Error: XOR chunk: # bits cannot hold # samples',
  'Error: XOR chunk: sample # has more than # bits',
  'Error: XOR chunk: time #',
  'Error: chunk: # bytes, # bits too many',
  'Error: chunk: # bytes, it ends early',
  'Error: chunk: # exceptions in # bits',
  'Error: chunk: # samples, expected # to #',
  'Error: chunk: column of kind #, expected #, # or #',
  'Error: chunk: encoding #, expected # or #',
  'Error: chunk: exception at # of #',
  'Error: chunk: parameter #, expected at most #',
  'Error: chunk: residual # of #',
  'Error: chunk: times have # bits, not #',
]
