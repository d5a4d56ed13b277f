-- Most jobs lie, with some steps to spare, within a stretch of each of their nodes' counters. All
-- of their edges are read by one statement here, at a fifth of the price of a call for each node.
create or replace function stretch_energy(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_times timestamptz[], to_times timestamptz[], max_gap_seconds float8)
returns table (
  nth int8, joules float8, joules_low float8, joules_high float8, metered_seconds float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with asked as materialized (
    select a.*, date_part('epoch', a.from_time) as from_at, date_part('epoch', a.to_time) as to_at,
      t.margin, t.whole, h.at as h, h.value as hc, e.at as t, e.value as tc
    from unnest(frames, positions, clock_frames, clock_positions, from_times, to_times)
      with ordinality
      as a (frame, position, clock_frame, clock_position, from_time, to_time, nth)
    cross join lateral (
      select s.*,
        make_interval(secs => 2 * s.longest_seconds + s.most_lag_seconds + 1) as margin
      from counter_stretch s
      where s.frame = a.frame and s.position = a.position and s.from_time < a.from_time
      order by s.from_time desc
      limit 1
    ) t
    left join lateral (
      select r.at, r.value
      from edge_reading r
      where r.frame = a.frame and r.position = a.position and r.edge = a.from_time
        and r.stretch_from = t.from_time
    ) h on true
    left join lateral (
      select r.at, r.value
      from edge_reading r
      where r.frame = a.frame and r.position = a.position and r.edge = a.to_time
        and r.stretch_from = t.from_time
    ) e on true
    where t.clock_frame is not distinct from a.clock_frame
      and t.clock_position is not distinct from a.clock_position
      and t.longest_seconds <= max_gap_seconds
      and t.from_time <= a.from_time - t.margin and t.to_time >= a.to_time + t.margin
      and a.from_time + 2 * t.margin < a.to_time - t.margin
      and not exists (
        select from late_frame l
        where l.frame in (a.frame, a.clock_frame) and l.from_time <= t.to_time
          and l.to_time >= t.from_time)
  ),
  live as materialized (
    select a.*,
      case when a.h is null and coalesce(a.clock_frame, a.frame) = a.frame
        then not exists (
          select from segments s
          where s.frame = a.frame and s.position in (a.position, a.clock_position)
            and s.t0 > a.from_time - a.margin - interval '4 hours'
            and s.t0 <= a.from_time + a.margin
            and s.t1 >= a.from_time - a.margin) end as is_start_live,
      case when a.t is null and coalesce(a.clock_frame, a.frame) = a.frame
        then not exists (
          select from segments s
          where s.frame = a.frame and s.position in (a.position, a.clock_position)
            and s.t0 > a.to_time - a.margin - interval '4 hours'
            and s.t0 <= a.to_time + a.margin
            and s.t1 >= a.to_time - a.margin) end as is_end_live
    from asked a
  ),
  readings as materialized (
    select a.nth, a.from_at, a.to_at, a.whole, a.clock_frame is not null as clocked,
      coalesce(a.h, h.at) as h, coalesce(a.hc, h.value) as hc,
      coalesce(a.t, t.at) as t, coalesce(a.tc, t.value) as tc
    from live a
    cross join lateral (
      select array_agg(coalesce(f.v[a.clock_position + 1], date_part('epoch', f.time))) as at,
        array_agg(f.v[a.position + 1]) as value
      from (
        select * from frames f
        where a.is_start_live and f.frame = a.frame
          and f.time between a.from_time - a.margin and a.from_time + a.margin
          and f.v[a.position + 1] between -1e300 and 1e300
        order by f.time
      ) f
    ) h
    cross join lateral (
      select array_agg(coalesce(f.v[a.clock_position + 1], date_part('epoch', f.time))) as at,
        array_agg(f.v[a.position + 1]) as value
      from (
        select * from frames f
        where a.is_end_live and f.frame = a.frame
          and f.time between a.to_time - a.margin and a.to_time + a.margin
          and f.v[a.position + 1] between -1e300 and 1e300
        order by f.time
      ) f
    ) t
  ),
  edge as materialized (
    select r.*, width_bucket(r.from_at, r.h) + 1 as hn,
      coalesce(array_position(r.t, r.to_at), width_bucket(r.to_at, r.t) + 1) as tn
    from readings r
  ),
  -- The readings from two before the edge to two behind it; what was told before counts once.
  step as materialized (
    select e.nth, e.from_at, e.to_at, e.whole, e.clocked,
      e.h[array_position(e.h, e.h[e.hn - 1]) - 1] as h0, e.h[e.hn - 1] as h1, e.h[e.hn] as h2,
      e.h[width_bucket(e.h[e.hn], e.h) + 1] as h3,
      e.hc[array_position(e.h, e.h[e.hn - 1]) - 1] as hc0, e.hc[e.hn - 1] as hc1,
      e.hc[e.hn] as hc2, e.hc[width_bucket(e.h[e.hn], e.h) + 1] as hc3,
      e.t[array_position(e.t, e.t[e.tn - 1]) - 1] as t0, e.t[e.tn - 1] as t1, e.t[e.tn] as t2,
      e.t[width_bucket(e.t[e.tn], e.t) + 1] as t3,
      e.tc[array_position(e.t, e.t[e.tn - 1]) - 1] as tc0, e.tc[e.tn - 1] as tc1,
      e.tc[e.tn] as tc2, e.tc[width_bucket(e.t[e.tn], e.t) + 1] as tc3
    from edge e
  ),
  power as materialized (
    select s.*,
      counter_watts(s.hc0, s.hc1, s.h1 - s.h0) as hw1,
      counter_watts(s.hc1, s.hc2, s.h2 - s.h1) as hw2,
      counter_watts(s.hc2, s.hc3, s.h3 - s.h2) as hw3,
      counter_watts(s.tc0, s.tc1, s.t1 - s.t0) as tw1,
      counter_watts(s.tc1, s.tc2, s.t2 - s.t1) as tw2,
      counter_watts(s.tc2, s.tc3, s.t3 - s.t2) as tw3,
      counter_rise(s.hc1, s.hc2, s.h2 - s.h1) as h_rise,
      counter_rise(s.tc1, s.tc2, s.t2 - s.t1) as t_rise,
      s.tc2 - s.hc1 - (s.hc2 - s.hc1) - (s.tc2 - s.tc1) as plain,
      case when s.whole then 1 else 0 end as rounding,
      case when s.hc0 <> floor(s.hc0) or s.hc1 <> floor(s.hc1) or s.hc2 <> floor(s.hc2)
        or s.hc3 <> floor(s.hc3) or s.tc0 <> floor(s.tc0) or s.tc1 <> floor(s.tc1)
        or s.tc2 <> floor(s.tc2) or s.tc3 <> floor(s.tc3) then true else s.whole end as known
    from step s
    where s.h0 < s.h1 and s.h2 < s.h3 and s.t0 < s.t1 and s.t2 < s.t3
  ),
  reckoned as materialized (
    select p.*, case when abs(p.plain) < 1e-30 then 0 else p.plain end as rest,
      case when p.hw2 > 0 and p.h2 - p.h0 <= 300 and p.h3 - p.h1 <= 300 then p.hw1 end as h_before,
      case when p.tw2 > 0 and p.t2 - p.t0 <= 300 and p.t3 - p.t1 <= 300 then p.tw1 end as t_before,
      case when p.clocked
        then 2 * greatest(p.hw1, p.hw2, p.hw3) + 2 * greatest(p.tw1, p.tw2, p.tw3) else 0
        end as lag
    from power p
    where p.known
  )
  select r.nth,
    r.h_rise * (1 - part_before(r.from_at, r.h1, r.h2, r.hw2, r.h_before, r.hw3))
      + r.t_rise * part_before(r.to_at, r.t1, r.t2, r.tw2, r.t_before, r.tw3) + r.rest,
    greatest(
      case when r.h1 >= r.from_at then r.h_rise else 0 end
        + case when r.t2 <= r.to_at then r.t_rise else 0 end + r.rest - r.rounding - r.lag, 0),
    r.h_rise + r.t_rise + r.rest + r.rounding + r.lag,
    r.to_at - r.from_at
  from reckoned r;
end
$$;
comment on function stretch_energy is
  'What counter_energy() has of meters of one series each, frames[nth], positions[nth] and so on, '
  'in [from_times[nth], to_times[nth]), where that lies well within a stretch (counter_stretch), '
  'no late sample has come, and the readings around its edges are live or in edge_reading: all of '
  'it is covered then, without a reset. Not a row for the others.';
