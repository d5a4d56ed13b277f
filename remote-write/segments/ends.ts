import type { ClientBase } from 'pg'
import { decodeChunk } from './chunk.ts'
import { SampleColumn } from './column.ts'
import { type End, longestStepMs } from './statistics.ts'
import { windowMs } from './window.ts'

/** The end of each series before a window, by frame * 64 + position. */
export type Ends = Map<number, End>

/** The last sample that is no NaN of each series of some frames, in the window before theirs. */
export async function endsBefore(
  client: ClientBase,
  { frames, windowStartMs }: { frames: readonly number[]; windowStartMs: number },
): Promise<Ends> {
  const { rows } = await client.query<EndRow>(
    `select frame, position, (extract(epoch from t1) * 1000)::float8 as ms, last as value,
       case when ended then chunk end as chunk
     from segments
     where frame = any($1) and t0 >= $2 and t0 < $3 and last is not null`,
    [frames, new Date(windowStartMs - windowMs), new Date(windowStartMs)],
  )
  return new Map(rows.map((row) => [row.frame * 64 + row.position, endOf(row)]))
}

/** The same for single series, from the windows before the one that `endsBefore` looks at. */
export async function earlierEnds(
  client: ClientBase,
  ids: readonly number[],
  windowStartMs: number,
): Promise<Ends> {
  const { rows } = await client.query<EndRow>(
    `select s.frame, s.position, (extract(epoch from s.t1) * 1000)::float8 as ms, s.last as value,
       case when s.ended then s.chunk end as chunk
     from unnest($1::int4[]) as asked (id)
     cross join lateral (
       select *
       from segments
       where frame = asked.id >> 6 and position = asked.id & 63
         and t0 >= $2 and t0 < $3 and last is not null
       order by t0 desc
       limit 1
     ) s`,
    [ids, new Date(windowStartMs - windowMs - longestStepMs), new Date(windowStartMs - windowMs)],
  )
  return new Map(rows.map((row) => [row.frame * 64 + row.position, endOf(row)]))
}

interface EndRow {
  frame: number
  position: number
  ms: number
  value: number
  /** Of a series that ended: when its last value was stands only there. */
  chunk: Buffer | null
}

function endOf({ ms, value, chunk }: EndRow): End {
  if (!chunk) return { timeMs: ms, value }
  const column = new SampleColumn()
  decodeChunk(chunk, column)
  let i = column.count - 1
  while (i > 0 && Number.isNaN(column.values[i])) i--
  return { timeMs: column.times[i] ?? 0, value }
}
