import type { ClientBase } from 'pg'
import type { Exemplar } from './samples.ts'

/**
 * Writes exemplars, within the caller's transaction. Of two with the same series, time and labels
 * the first stays. In order of the key, as histograms are.
 */
export async function insertExemplars(
  client: ClientBase,
  exemplars: readonly Exemplar[],
  idOf: (entry: number) => number,
): Promise<void> {
  if (exemplars.length === 0) return
  await client.query(
    `insert into exemplar (frame, position, time, labels, value)
     select e.id >> 6, e.id & 63, e.time, e.labels, e.value
     from unnest($1::int4[], $2::timestamptz[], $3::jsonb[], $4::float8[])
       as e (id, time, labels, value)
     order by e.id, e.time, e.labels
     on conflict (frame, position, time, labels) do nothing`,
    [
      exemplars.map(({ entry }) => idOf(entry)),
      exemplars.map(({ timeMs }) => new Date(timeMs).toISOString()),
      exemplars.map(({ labels }) => JSON.stringify(toObject(labels))),
      exemplars.map(({ value }) => value),
    ],
  )
}

function toObject(labels: Exemplar['labels']): Record<string, string> {
  return Object.fromEntries(labels.map(({ name, value }) => [name, value]))
}
