import type { Pool } from 'pg'
import type { Metadata } from './samples.ts'

/** Longer names cannot stand in an index and are no metric's. */
const metricBytes = 1024

/**
 * Keeps the latest type, help and unit of each metric. Rows are written in order of the name, so
 * that senders of the same metrics wait for each other and never in a circle.
 */
export async function storeMetadata(pool: Pool, metadata: readonly Metadata[]): Promise<void> {
  const known = new Map(metadata.filter(isValid).map((entry) => [entry.metric, entry]))
  if (known.size === 0) return
  await pool.query(
    `insert into metric_metadata as m (metric, type, help, unit)
     select metric, type, help, unit
     from jsonb_to_recordset($1) as r (metric text, type text, help text, unit text)
     order by metric
     on conflict (metric) do update
     set type = excluded.type, help = excluded.help, unit = excluded.unit
     where (m.type, m.help, m.unit) is distinct from (excluded.type, excluded.help, excluded.unit)`,
    [JSON.stringify([...known.values()])],
  )
}

function isValid({ metric, help, unit }: Metadata): boolean {
  const named = metric !== '' && Buffer.byteLength(metric) <= metricBytes
  return named && !`${metric}${help}${unit}`.includes('\0')
}
