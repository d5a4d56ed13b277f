import type { Pool } from 'pg'

/** What a node is counted as when it is turned on, and by what. */
export interface Draw {
  watts: number
  from: 'power_limit' | 'measured' | 'watts_per_node'
}

/**
 * Of nodes: the limit that was in force when it was last told, within a day; and the highest power
 * of the last seven days by the hour, else, before there are roll-ups, of the last eight hours. A
 * node that was off all that time has shown its standby power only, which tells nothing.
 */
const drawsSql = `
  with highest as (
    select labels ->> 'xname' as xname, metric = 'cray_power_state' as is_state,
      max(coalesce(
        (select max(hours.max) from sample_hour as hours
          where series_id = series.id and hour > $2::timestamptz - interval '7 days'),
        (select max(value)
          from series_samples(frame, position, $2::timestamptz - interval '8 hours', $2)))) as value
    from series
    where metric = any ('{cray_node_power_watts,cray_server_power_watts,cray_power_state}')
      and labels ->> 'xname' = any ($1)
      and (metric <> 'cray_power_state' or labels ->> 'state' = 'On')
    group by 1, 2
  ), measured as (
    select xname, max(value) filter (where not is_state) as watts
    from highest
    group by xname
    having coalesce(max(value) filter (where is_state), 1) > 0
  ), limited as (
    select xname, max(value) as watts
    from unnest($1::text[]) as wanted (xname)
    cross join lateral latest(
      'cray_power_limit_watts', jsonb_build_object('xname', xname), '1 day', $2) as told
    where value > 0 and labels ->> 'processor' is null
      and coalesce(labels ->> 'control', '') !~* 'accel|gpu'
      and labels ->> 'mode' is distinct from 'Disabled'
    group by xname
  )
  select xname, least(measured.watts, limited.watts) as watts,
    case when measured.watts < limited.watts or limited.watts is null then 'measured'
      else 'power_limit' end as "from"
  from measured full join limited using (xname)
  where coalesce(measured.watts, limited.watts) > 0`

/** Tells of every one of these nodes what it is counted as now. */
export type Draws = (
  client: Pick<Pool, 'query'>,
  xnames: readonly string[],
  now: Date,
) => Promise<(xname: string) => Draw>

const keptSeconds = 300
const mostKept = 50_000

/** Goes by what is recorded of a node, else by `wattsPerNode`; both are kept for some minutes. */
export function createDraws(wattsPerNode: number): Draws {
  const fallback: Draw = { watts: wattsPerNode, from: 'watts_per_node' }
  const kept = new Map<string, Draw & { until: number }>()
  return async (client, xnames, now) => {
    const isKept = (xname: string) => (kept.get(xname)?.until ?? 0) > now.getTime()
    const asked = [...new Set(xnames)].filter((xname) => !isKept(xname))
    if (asked.length > 0) {
      if (kept.size + asked.length > mostKept) kept.clear()
      const until = now.getTime() + keptSeconds * 1000
      for (const xname of asked) kept.set(xname, { ...fallback, until })
      for (const { xname, watts, from } of await recordedDraws(client, asked, now)) {
        kept.set(xname, { watts, from, until })
      }
    }
    return (xname) => kept.get(xname) ?? fallback
  }
}

async function recordedDraws(client: Pick<Pool, 'query'>, xnames: readonly string[], now: Date) {
  return (await client.query<Draw & { xname: string }>(drawsSql, [xnames, now])).rows
}
