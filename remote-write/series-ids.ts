import assert from 'node:assert/strict'
import type { ClientBase, Pool } from 'pg'
import { encodeLabels, type SeriesIndex } from './series.ts'
import type { Label } from './validate.ts'

/** Series in one statement: some megabytes of JSON. */
const pageSize = 5000

export interface NewSeries {
  index: SeriesIndex
  /** Entries that have no id. */
  entries: readonly number[]
  targetLabels: readonly string[]
}

/**
 * Has the database give ids to new series, within the caller's transaction: until it commits they
 * are not valid, and other receivers that want ids wait. Returns entry -> id.
 */
export async function giveIds(
  client: ClientBase,
  { index, entries, targetLabels }: NewSeries,
): Promise<Map<number, number>> {
  const ids = new Map<number, number>()
  for (let from = 0; from < entries.length; from += pageSize) {
    const page = entries.slice(from, from + pageSize)
    const asked = page.map((entry) => describe(index.labels(entry), targetLabels))
    const { rows } = await client.query<{ id: number }>('select give_series_ids($1) as id', [
      JSON.stringify(asked),
    ])
    assert.equal(rows.length, page.length, 'one id for each series asked for')
    for (const [i, { id }] of rows.entries()) ids.set(page[i] ?? 0, id)
  }
  return ids
}

/** A series without any of the target labels shares frames with those of its metric's name. */
function describe(labels: readonly Label[], targetLabels: readonly string[]) {
  const metric = labels.find(({ name }) => name === '__name__')?.value ?? ''
  const target = labels.filter(({ name }) => targetLabels.includes(name))
  return {
    metric,
    labels: toObject(labels.filter(({ name }) => name !== '__name__')),
    target: target.length > 0 ? toObject(target) : { __name__: metric },
  }
}

/** By entries, so that a label may be called `__proto__`. */
function toObject(labels: readonly Label[]): Record<string, string> {
  return Object.fromEntries(labels.map(({ name, value }) => [name, value]))
}

/** Adds all series of the database to the index, some thousand at a time. */
export async function loadSeries(pool: Pool, index: SeriesIndex): Promise<void> {
  for (let last = -1; ; ) {
    const { rows } = await pool.query<{ id: number; metric: string; labels: object }>(
      'select id, metric, labels from series where id > $1 order by id limit 10000',
      [last],
    )
    for (const { id, metric, labels } of rows) {
      const pairs = Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }))
      index.add(encodeLabels([{ name: '__name__', value: metric }, ...pairs]), id)
    }
    const end = rows.at(-1)
    if (!end) return
    last = end.id
  }
}
