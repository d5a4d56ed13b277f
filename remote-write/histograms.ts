import type { ClientBase } from 'pg'
import type { HistogramSample } from './samples.ts'

/**
 * Writes native histograms, within the caller's transaction. Of two for one series and time the
 * first stays. In order of the key: receivers that write the same rows wait for each other, never
 * in a circle.
 */
export async function insertHistograms(
  client: ClientBase,
  histograms: readonly HistogramSample[],
  idOf: (entry: number) => number,
): Promise<void> {
  if (histograms.length === 0) return
  await client.query(
    `insert into histogram (frame, position, time, payload)
     select h.id >> 6, h.id & 63, h.time, h.payload
     from unnest($1::int4[], $2::timestamptz[], $3::bytea[]) as h (id, time, payload)
     order by h.id, h.time
     on conflict (frame, position, time) do nothing`,
    [
      histograms.map(({ entry }) => idOf(entry)),
      histograms.map(({ timeMs }) => new Date(timeMs).toISOString()),
      histograms.map(({ payload }) => payload),
    ],
  )
}
