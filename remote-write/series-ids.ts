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

/**
 * Adds the series to the index that had samples last: of those frames that have a row in the two
 * latest windows that are not compacted. Another one is learnt when it comes.
 */
export async function loadSeries(pool: Pool, index: SeriesIndex): Promise<void> {
  // Before the ids are read: what goes meanwhile is learnt at the first commit.
  index.epoch = await readEpoch(pool)
  const frames = await recentFrames(pool)
  for (let from = 0; from < frames.length; from += framesAtOnce) {
    const { rows } = await pool.query<{ id: number; metric: string; labels: object }>(
      `select s.id, s.metric, s.labels
       from series s
       where s.frame = any($1) and not exists (select from forgotten_series f where f.id = s.id)
       order by s.id`,
      [frames.slice(from, from + framesAtOnce)],
    )
    for (const { id, metric, labels } of rows) {
      const pairs = Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }))
      index.add(encodeLabels([{ name: '__name__', value: metric }, ...pairs]), id)
    }
  }
  index.begin()
}

/** Some ten thousand series. */
const framesAtOnce = 200

async function readEpoch(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ epoch: number }>('select epoch from series_epoch')
  return rows[0]?.epoch ?? 0
}

/** One look at the index for each. */
async function recentFrames(pool: Pool): Promise<number[]> {
  const { rows } = await pool.query<{ frame: number }>(
    `with recursive recent (since) as (
       select min(w.from_time)
       from (
         select p.from_time from partitions('frames') p
         where exists (
           select from frames f where f.time >= p.from_time and f.time < p.to_time)
         order by p.from_time desc limit 2
       ) w
     ),
     found (frame) as (
       (select f.frame from frames f where f.time >= (select since from recent)
        order by f.frame limit 1)
       union all
       select (
         select f.frame from frames f
         where f.frame > found.frame and f.time >= (select since from recent)
         order by f.frame limit 1)
       from found where found.frame is not null
     )
     select frame from found where frame is not null`,
  )
  return rows.map(({ frame }) => frame)
}

/**
 * Brings the index to the present epoch: entries whose ids went have none any more, and are
 * returned by the ids they had.
 */
export async function enterNewEpoch(
  client: ClientBase,
  index: SeriesIndex,
): Promise<Map<number, number>> {
  const { rows } = await client.query<{ epoch: number; ids: number[] | null }>(
    `select e.epoch, case when e.kept_epoch <= $1 then array(
       select f.id from forgotten_series f where f.epoch > $1) end as ids
     from series_epoch e`,
    [index.epoch],
  )
  const { epoch, ids } = rows[0] ?? { epoch: index.epoch, ids: null }
  const gone = ids && new Set(ids)
  index.epoch = epoch
  return index.dropIds((id) => gone?.has(id) ?? true)
}
