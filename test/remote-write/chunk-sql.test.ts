import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import { decodeChunk, encodeChunk } from '../../remote-write/segments/chunk.ts'
import { SampleColumn } from '../../remote-write/segments/column.ts'
import { columnOf, orderedColumns } from '../support/columns.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { nodeSamples } from '../support/telemetry-data.ts'

/** Of a column or what SQL made of its chunk: milliseconds, and values, every NaN as NaN. */
type Samples = [times: number[], values: number[]]

describe('chunk_samples', () => {
  let pool: Pool

  before(async () => {
    pool = (await cloneDatabase()).pool
  })

  it('reads what decodeChunk reads, from and to any time', async () => {
    const asked = fc.record({
      column: orderedColumns(),
      from: fc.option(fc.nat({ max: 300 })),
      to: fc.option(fc.nat({ max: 300 })),
      offMs: fc.constantFrom(0, 0.001, -0.001, 0.5),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 20, maxLength: 40 }), async (asked) => {
        const cases = asked.map(({ column, from, to, offMs }) => ({
          chunk: encodeChunk(column),
          fromMs: from === null ? null : (column.times[from % column.count] ?? 0) + offMs,
          toMs: to === null ? null : (column.times[to % column.count] ?? 0) + offMs,
        }))
        assert.deepEqual(await readInSql(pool, cases), cases.map(readHere))
      }),
      { numRuns: 40 },
    )
  })

  it('reads a node of sensors', async () => {
    const columns = nodeSamples(3, { steps: 960, startMs: 1.8e12 })
    const cases = columns.map((column) => ({
      chunk: encodeChunk(column),
      fromMs: null,
      toMs: null,
    }))
    assert.deepEqual(await readInSql(pool, cases), cases.map(readHere))
  })

  it('reads XOR chunks with changes of steps at the edges of what so many bits hold', async () => {
    const times = [0, 0, 8192, 8193, 16_387, -40_954, -32_758, 499_727, 499_727 + 532_485 + 65_536]
    const samples = times.map((time, i) => [time, Math.PI * i] as const)
    const cases = [{ chunk: encodeChunk(columnOf(samples)), fromMs: null, toMs: null }]
    assert.equal(cases[0]?.chunk[0], 0)
    assert.deepEqual(await readInSql(pool, cases), cases.map(readHere))
  })

  it('reads the whole of time between infinite bounds, and nothing from no chunk', async () => {
    const chunk = encodeChunk(
      columnOf([
        [-5, 1],
        [9, 2],
      ]),
    )
    const { rows } = await pool.query(
      `select count(*)::int4 from chunk_samples($1, '-infinity', 'infinity')
       union all select count(*)::int4 from chunk_samples(null, null, null)`,
      [chunk],
    )
    assert.deepEqual(rows, [{ count: 2 }, { count: 0 }])
  })

  it('makes a float8 of any 64 bits, NaN of any kind of NaN', async () => {
    const bits = fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc
        .tuple(fc.bigInt(0n, 4095n), fc.bigInt(0n, 9n))
        .map(([high, low]) => BigInt.asIntN(64, (high << 52n) | low)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(bits, { minLength: 500, maxLength: 1000 }), async (all) => {
        const { rows } = await pool.query<{ values: number[] }>(
          `select array_agg(float8_of_bits(b.bits) order by b.nth) as values
           from unnest($1::int8[]) with ordinality as b (bits, nth)`,
          [all.map(String)],
        )
        const expected = new Float64Array(BigInt64Array.from(all).buffer)
        assert.deepEqual(rows[0]?.values.map(signed), [...expected].map(signed))
      }),
      { numRuns: 10 },
    )
  })

  it('refuses bytes that are no chunk, or reads some samples, and ends', async () => {
    const chunks = [1, 0.1, Math.PI].map((step) =>
      encodeChunk(columnOf(Array.from({ length: 99 }, (_, i) => [15_000 * i, step * (i % 7)]))),
    )
    const hostile = fc
      .tuple(fc.constantFrom(...chunks), fc.nat({ max: 99 }), fc.uint8Array({ maxLength: 20 }))
      .map(([chunk, at, bytes]) => Buffer.concat([chunk.subarray(0, at), bytes]))
    await fc.assert(
      fc.asyncProperty(hostile, async (chunk) => {
        const query = 'select count(*)::int4 as n from chunk_samples($1, null, null)'
        const n = await pool.query<{ n: number }>(query, [chunk]).then(
          ({ rows }) => rows[0]?.n,
          (error: { code: string }) => {
            assert.match(error.code, /^(XX001|22...)$/)
            return 0
          },
        )
        assert.ok(Number(n) <= 1_000_000)
      }),
      { numRuns: 150 },
    )
  })
})

interface Case {
  chunk: Buffer
  fromMs: number | null
  toMs: number | null
}

function readHere({ chunk, fromMs, toMs }: Case): Samples {
  const column = new SampleColumn()
  decodeChunk(chunk, column)
  const places = Array.from({ length: column.count }, (_, i) => i).filter((i) => {
    const time = column.times[i] ?? 0
    return time >= (fromMs ?? -Infinity) && time <= (toMs ?? Infinity)
  })
  return [places.map((i) => column.times[i] ?? 0), places.map((i) => column.values[i] ?? 0)]
}

async function readInSql(pool: Pool, cases: readonly Case[]): Promise<Samples[]> {
  const { rows } = await pool.query<{ times: number[]; values: number[] }>(
    `select
       array(
         select (extract(epoch from s.time) * 1000)::float8
         from chunk_samples(c.chunk, c.from_time, c.to_time) s) as times,
       array(select s.value from chunk_samples(c.chunk, c.from_time, c.to_time) s) as values
     from unnest($1::bytea[], $2::timestamptz[], $3::timestamptz[]) with ordinality
       as c (chunk, from_time, to_time, nth)
     order by c.nth`,
    [
      cases.map(({ chunk }) => chunk),
      cases.map(({ fromMs }) => timeInSql(fromMs)),
      cases.map(({ toMs }) => timeInSql(toMs)),
    ],
  )
  return rows.map(({ times, values }) => [times, values])
}

/** To the microsecond, which Date lacks. */
function timeInSql(ms: number | null): string | null {
  if (ms === null) return null
  const micros = Math.round((ms - Math.floor(ms)) * 1000)
  return new Date(Math.floor(ms)).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`)
}

/** Tells -0 from 0, which deepEqual does too, and one NaN from none. */
function signed(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}
