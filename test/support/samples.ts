import type { Pool } from 'pg'

/** A series to store: seconds since 1970 and values; null where a scrape had none. */
export interface StoredSeries {
  metric: string
  labels: Record<string, string>
  samples: readonly (readonly [seconds: number, value: number | null])[]
}

const windowSeconds = 4 * 3600

/**
 * Writes samples straight into the tables series and frames. `spread` gives each series a frame of
 * its own; else they share frames, and those of one time a row.
 */
export async function storeSeries(
  pool: Pool,
  series: readonly StoredSeries[],
  { spread = false } = {},
): Promise<void> {
  const { rows } = await pool.query<{ id: number }>(
    'select coalesce((max(id) / 64 + 1) * 64, 0) as id from series',
  )
  const first = rows[0]?.id ?? 0
  const placed = series.map((one, i) => ({ ...one, id: first + (spread ? i * 64 : i) }))
  await pool.query(
    `insert into series (id, metric, labels)
     select s.id, s.metric, s.labels
     from jsonb_to_recordset($1) as s (id int4, metric text, labels jsonb)`,
    [JSON.stringify(placed.map(({ id, metric, labels }) => ({ id, metric, labels })))],
  )
  const frames = frameRows(placed)
  await makePartitions(
    pool,
    frames.map(({ time }) => Date.parse(time) / 1000),
  )
  await pool.query(
    `insert into frames (frame, time, v)
     select f.frame, f.time, f.v
     from jsonb_to_recordset($1) as f (frame int4, time timestamptz, v float8[])`,
    [JSON.stringify(frames)],
  )
}

interface FrameRow {
  frame: number
  time: string
  v: (number | string | null)[]
}

function frameRows(series: readonly (StoredSeries & { id: number })[]): FrameRow[] {
  const rows = new Map<string, FrameRow>()
  for (const { id, samples } of series) {
    for (const [seconds, value] of samples) {
      const frame = id >> 6
      const time = new Date(seconds * 1000).toISOString()
      const row = rows.get(`${frame} ${time}`) ?? { frame, time, v: [] }
      rows.set(`${frame} ${time}`, row)
      while (row.v.length <= (id & 63)) row.v.push(null)
      row.v[id & 63] = Number.isFinite(value) ? value : value === null ? null : String(value)
    }
  }
  return [...rows.values()]
}

async function makePartitions(pool: Pool, seconds: readonly number[]): Promise<void> {
  const windows = new Set(seconds.map((at) => Math.floor(at / windowSeconds)))
  await pool.query(
    `select make_partition(
       'frames', to_timestamp(w * $2::float8), to_timestamp((w + 1) * $2::float8))
     from unnest($1::float8[]) as w`,
    [[...windows], windowSeconds],
  )
}
