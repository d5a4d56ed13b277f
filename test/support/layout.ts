import fc from 'fast-check'
import type { Pool } from 'pg'
import { compactDue } from '../../remote-write/segments/compact.ts'

/**
 * Where the samples of a database lie: all in frames; all in segments; those of the last window in
 * frames; or every other row in frames, as if it had arrived after its window was compacted.
 */
export type Layout = 'live' | 'compacted' | 'last window live' | 'every other row live'

export const layouts: fc.Arbitrary<Layout> = fc.constantFrom(
  'live',
  'compacted',
  'last window live',
  'every other row live',
)

/** Brings samples that are in frames, all of past times, to a layout. */
export async function moveTo(pool: Pool, layout: Layout): Promise<void> {
  if (layout === 'live') return
  if (layout === 'every other row live') {
    await pool.query(
      `create table aside as
       with numbered as (
         select f.frame, f.time, row_number() over (partition by f.frame order by f.time) as nth
         from frames f),
       moved as (
         delete from frames f using numbered n
         where n.frame = f.frame and n.time = f.time and n.nth % 2 = 0
         returning f.frame, f.time, f.v)
       select frame, time, v from moved`,
    )
  }
  await compactDue(pool, { delaySeconds: layout === 'last window live' ? await delay(pool) : 0 })
  if (layout === 'every other row live') {
    await pool.query(
      `select make_partition('frames', to_timestamp(w * 14400.0), to_timestamp((w + 1) * 14400.0))
       from (select distinct floor(date_part('epoch', time) / 14400) as w from aside) windows`,
    )
    await pool.query('insert into frames (frame, time, v) select frame, time, v from aside')
    await pool.query('drop table aside')
  }
}

/** Seconds that keep the last window that has samples from being due. */
async function delay(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ seconds: number }>(
    `select date_part('epoch', now()) - floor(date_part('epoch', max(time)) / 14400) * 14400 - 60
       as seconds
     from frames`,
  )
  return rows[0]?.seconds ?? 0
}
