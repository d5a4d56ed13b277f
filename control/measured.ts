import type { Pool } from 'pg'

/**
 * Power that was measured around a command, by the series of each type of component: newest in the
 * two minutes before it was sent, newest since the state was reached. A rise or fall counts from a
 * tenth and 5 W on; it has a minute to show.
 */
const confirmByTelemetrySql = `
  with candidate as (
    select task_id, xname, sent_at, task.ended_at, operation, confirmed_by,
      case when xname ~ 'n[0-9]+$' then array['cray_node_power_watts', 'cray_server_power_watts']
        else array['cray_pdu_outlet_power_watts'] end as metrics
    from task join transition using (transition_id)
    where state = 'succeeded' and sent_at is not null and watts_after is null
      and task.ended_at > $1::timestamptz - interval '2 minutes'
      and task.ended_at < $1::timestamptz
      and xname ~ '(n|m[0-9]+p[0-9]+v)[0-9]+$'
    order by task.ended_at
    limit 500
  ), measured as (
    select candidate.*, before.value as watts_before, after.value as watts_after
    from candidate
    cross join lateral (
      select value from unnest(metrics) as metric
      cross join lateral latest(metric, jsonb_build_object('xname', xname), '2 minutes', sent_at)
      order by "time" desc limit 1
    ) as before
    cross join lateral (
      select value from unnest(metrics) as metric
      cross join lateral samples(metric, jsonb_build_object('xname', xname), ended_at, $1)
      order by "time" desc limit 1
    ) as after
  )
  update task
  set watts_before = measured.watts_before, watts_after = measured.watts_after,
    confirmed_by = case when not has_moved then measured.confirmed_by
      when measured.confirmed_by is null then 'telemetry' else 'both' end
  from measured
  cross join lateral (
    select case when operation in ('Off', 'Soft-Off', 'Force-Off')
      then measured.watts_after < 0.9 * measured.watts_before - 5
      else measured.watts_after > 1.1 * measured.watts_before + 5 end as has_moved
  ) as verdict
  where task.task_id = measured.task_id
    and (has_moved or measured.ended_at < $1::timestamptz - interval '1 minute')`

/** Notes for tasks that have just succeeded whether their power rose or fell; returns how many. */
export async function confirmByTelemetry(pool: Pool, now: Date): Promise<number> {
  return (await pool.query(confirmByTelemetrySql, [now])).rowCount ?? 0
}
