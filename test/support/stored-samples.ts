import type { Pool } from 'pg'
import { decodeChunk } from '../../remote-write/segments/chunk.ts'
import { SampleColumn } from '../../remote-write/segments/column.ts'

/** A stored sample with the 64 bits of its value in hexadecimal. */
export interface StoredSample {
  id: number
  timeMs: number
  bits: string
}

/**
 * Every sample in frames and segments, as often as it stands there, of one state of the database,
 * ordered by series and time.
 */
export async function storedSamples(pool: Pool): Promise<StoredSample[]> {
  const client = await pool.connect()
  try {
    await client.query('begin transaction isolation level repeatable read read only')
    const live = await client.query<StoredSample>(
      `select frame * 64 + (u.nth - 1)::int4 as id, (extract(epoch from time) * 1000)::float8 as
         "timeMs", encode(float8send(u.value), 'hex') as bits
       from frames cross join lateral unnest(v) with ordinality as u (value, nth)
       where u.value is not null`,
    )
    const compacted = await client.query<{ id: number; chunk: Buffer }>(
      'select frame * 64 + position as id, chunk from segments',
    )
    await client.query('commit')
    return [...live.rows, ...compacted.rows.flatMap(samplesOf)].sort(
      (a, b) => a.id - b.id || a.timeMs - b.timeMs,
    )
  } finally {
    client.release()
  }
}

function samplesOf({ id, chunk }: { id: number; chunk: Buffer }): StoredSample[] {
  const column = new SampleColumn()
  decodeChunk(chunk, column)
  return Array.from({ length: column.count }, (_, i) => {
    const bits = Buffer.alloc(8)
    bits.writeUInt32BE(column.words[2 * i + 1] ?? 0, 0)
    bits.writeUInt32BE(column.words[2 * i] ?? 0, 4)
    return { id, timeMs: column.times[i] ?? 0, bits: bits.toString('hex') }
  })
}

/** Eight bytes in hexadecimal, most significant first. */
export function bitsOf(value: number): string {
  const bits = Buffer.alloc(8)
  bits.writeDoubleBE(value)
  return bits.toString('hex')
}
