create or replace function part_before(
  at float8, t0 float8, t1 float8, watts_before float8, watts_after float8)
returns float8
language sql immutable parallel safe
as $$
  select case when at >= t1 then 1 when at <= t0 then 0
    else watts_before * (at - t0) / (watts_before * (at - t0) + watts_after * (t1 - at)) end
$$;
comment on function part_before is
  'Which part, 0 to 1, of the energy of a step from t0 to t1 was drawn before the instant at, if '
  'power jumped there: as it is where a job starts or ends.';

create or replace function counter_energy(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz, max_gap_seconds float8)
returns table (
  joules float8, joules_low float8, joules_high float8, metered_seconds float8,
  covered_seconds float8, resets int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
as $$
declare
  from_at float8 := date_part('epoch', from_time);
  to_at float8 := date_part('epoch', to_time);
begin
  -- "offset 0" keeps what a level computes from being computed again wherever it is used.
  return query
  select e.joules,
    greatest(0, e.low - e.grain),
    case when e.first_at <= from_at and e.last_at >= to_at
        and (e.resets = 0 or e.most_watts is not null) then
      e.high + e.grain
        + greatest(0, 2 * e.most_watts * e.reset_seconds - e.reset_joules) end,
    e.metered_seconds,
    e.covered_seconds,
    e.resets
  from (
    select
      sum(p.rise * (part_before(to_at, p.t0, p.t1, p.w0, p.w1)
        - part_before(from_at, p.t0, p.t1, p.w0, p.w1))) filter (where p.inside > 0) as joules,
      coalesce(sum(p.rise) filter (where p.inside = p.seconds), 0) as low,
      sum(p.rise) filter (where p.inside > 0) as high,
      sum(p.inside) filter (where p.inside > 0) as metered_seconds,
      coalesce(sum(p.inside) filter (where p.inside > 0 and p.seconds <= max_gap_seconds), 0)
        as covered_seconds,
      min(p.t0) as first_at,
      max(p.t1) as last_at,
      max(p.watts) as most_watts,
      (count(*) filter (where p.inside > 0 and p.watts is null))::int4 as resets,
      coalesce(sum(p.seconds) filter (where p.inside > 0 and p.watts is null), 0)
        as reset_seconds,
      coalesce(sum(p.rise) filter (where p.inside > 0 and p.watts is null), 0) as reset_joules,
      case when bool_and(p.c1 = floor(p.c1)) then 1 else 0 end as grain
    from (
      select n.t0, n.t1, n.c1, n.seconds, n.rise, n.watts,
        least(n.t1, to_at) - greatest(n.t0, from_at) as inside,
        case when n.near then n.watts_before else 1 end as w0,
        case when n.near then n.watts_after else 1 end as w1
      from (
        select s.*, lag(s.watts) over w as watts_before, lead(s.watts) over w as watts_after,
          s.watts > 0 and lag(s.watts) over w + lead(s.watts) over w > 0
            and s.t1 - lag(s.t0) over w <= 300 and lead(s.t1) over w - s.t0 <= 300 as near
        from (
          select r.t0, r.t1, r.c1, r.seconds,
            case when r.rise <= 100000 * r.seconds then r.rise else 0 end as rise,
            case when r.c1 >= r.c0 and r.rise <= 100000 * r.seconds
              then r.rise / r.seconds end as watts
          from (
            select q.*, q.t1 - q.t0 as seconds,
              case when q.c1 < q.c0 then q.c1 else q.c1 - q.c0 end as rise
            from (
              select lag(m.at) over w as t0, m.at as t1, lag(m.value) over w as c0, m.value as c1
              from meter_reading(
                frames, positions, clock_frames, clock_positions, from_time, to_time) m
              window w as (order by m.at)
            ) q
            where q.t0 is not null
            offset 0
          ) r
        ) s
        window w as (order by s.t1)
        offset 0
      ) n
      offset 0
    ) p
  ) e
  where e.joules is not null;
end
$$;
comment on function counter_energy is
  'Energy of one meter in [from_time, to_time) from its energy counter; no row without two '
  'readings around some part of it. The step between two readings that an edge cuts is divided as '
  'if power jumped at the edge from that of the step before to that of the step after, where '
  'these lie within 300 s, else evenly. A fall is a restart from zero: the new value counts. A '
  'rise that 100 kW could not make counts nothing. Both are resets. Only the part between the '
  'first and the last reading is metered; a longer gap than max_gap_seconds counts by its readings '
  'but is not covered. joules_low leaves out the steps that an edge cuts, joules_high has them '
  'whole, and for the steps with resets twice the highest power seen; null: a reading beyond an '
  'edge is missing. Counters of whole joules widen both by 1 J.';

create or replace function power_energy(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz, max_gap_seconds float8)
returns table (joules float8, covered_seconds float8)
language sql stable parallel safe
as $$
  select sum(e.joules), sum(e.seconds)
  from (
    select p.r - p.l as seconds,
      (p.r - p.l) * (p.w0 + (p.w1 - p.w0) * ((p.l + p.r) / 2 - p.t0) / (p.t1 - p.t0)) as joules
    from (
      select i.t0, i.t1, i.w0, i.w1,
        greatest(i.t0, date_part('epoch', from_time)) as l,
        least(i.t1, date_part('epoch', to_time)) as r
      from (
        select lag(r.at) over w as t0, r.at as t1, lag(r.value) over w as w0, r.value as w1
        from meter_reading(
          frames, positions, clock_frames, clock_positions, from_time, to_time) r
        window w as (order by r.at)
      ) i
      where i.t1 - i.t0 <= max_gap_seconds
    ) p
    where p.r > p.l
  ) e
  having count(*) > 0
$$;
comment on function power_energy is
  'Energy of one meter in [from_time, to_time) as the integral of its power, linear between '
  'readings; a gap over max_gap_seconds adds nothing. No row where nothing is covered.';
