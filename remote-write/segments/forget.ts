import type { PoolClient } from 'pg'

/** Series in one transaction: whoever asks for ids meanwhile waits some 50 ms. */
const seriesAtOnce = 1000

/** Until then every receiver has learnt of them, or learns all its ids anew. */
const rememberedFor = '7 days'

/**
 * Series go in two steps, each in transactions of its own (functions/forget.sql). This is the
 * first; both must be called under a lock against other processes.
 */
export async function markSeries(
  client: PoolClient,
  { metrics, seconds }: { metrics: readonly string[]; seconds: number },
  signal?: AbortSignal,
): Promise<void> {
  for (let last = -1; !signal?.aborted; ) {
    const { rows } = await client.query<{ last: number | null }>(
      `with old as (
         select id from series
         where id > $1 and metric = any($2) and created_at < now() - make_interval(secs => $3)
         order by id limit $4
       )
       select max(old.id) as last, mark_series(array_agg(old.id)) from old`,
      [last, metrics, seconds, seriesAtOnce],
    )
    const end = rows[0]?.last ?? null
    if (end === null) return
    last = end
  }
}

/** The second step, for what was marked before the last epoch began; how many series went. */
export async function forgetMarked(client: PoolClient, signal?: AbortSignal): Promise<number> {
  await freeFrames(client, signal)
  const left = await client.query<{ left: boolean }>('select is_epoch_left() as left')
  let forgotten = 0
  for (let taken = left.rows[0]?.left ? 1 : 0; taken > 0 && !signal?.aborted; ) {
    const { rows } = await client.query<{ taken: number; forgotten: number }>(
      'select taken::float8, forgotten::float8 from forget_series($1)',
      [seriesAtOnce],
    )
    taken = rows[0]?.taken ?? 0
    forgotten += rows[0]?.forgotten ?? 0
  }
  return forgotten
}

async function freeFrames(client: PoolClient, signal?: AbortSignal): Promise<void> {
  for (let lost = 1; lost > 0 && !signal?.aborted; ) {
    const { rows } = await client.query<{ lost: number }>(
      'select free_frames(now() - $1::interval, $2)::float8 as lost',
      [rememberedFor, seriesAtOnce],
    )
    lost = rows[0]?.lost ?? 0
  }
}
