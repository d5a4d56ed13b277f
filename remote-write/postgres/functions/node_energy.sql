-- It returned less.
drop function if exists node_energy(text[], timestamptz[], timestamptz[], float8);

-- A planner that expects few spans joins them by nested loops, which takes the square of the time.
create or replace function spans(
  xnames text[], from_times timestamptz[], to_times timestamptz[])
returns table (nth int8, xname text, from_time timestamptz, to_time timestamptz)
language plpgsql immutable parallel safe
rows 1000
as $$
begin
  return query
  select u.ordinality, u.x, u.f, u.t
  from unnest(xnames, from_times, to_times) with ordinality as u (x, f, t);
end
$$;
comment on function spans is 'The arrays side by side as rows, numbered from 1.';

create or replace function node_energy(
  xnames text[], from_times timestamptz[], to_times timestamptz[], max_gap_seconds float8)
returns table (
  nth int8, joules float8, joules_low float8, joules_high float8, metered_seconds float8,
  covered_seconds float8, method text, resets int4,
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[])
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
  return query
  with span as materialized (
    select s.* from spans(xnames, from_times, to_times) s
  ),
  meter as materialized (
    select row_number() over () as id, s.nth, s.from_time, s.to_time, m.*
    from node_meter(
      xnames, 'cray_node_energy_joules_total', 'ChassisVoltageRegulator0InputEnergy') m
    join span s on s.xname = m.xname
  ),
  simple as materialized (
    select q.*
    from (
      select array_agg(m.id) as ids, array_agg(m.frames[1]) as frames,
        array_agg(m.positions[1]) as positions, array_agg(m.clock_frames[1]) as clock_frames,
        array_agg(m.clock_positions[1]) as clock_positions, array_agg(m.from_time) as from_times,
        array_agg(m.to_time) as to_times
      from meter m
      where cardinality(m.frames) = 1
    ) a
    cross join lateral (
      select a.ids[e.nth] as id, e.joules, e.joules_low, e.joules_high, e.metered_seconds
      from stretch_energy(a.frames, a.positions, a.clock_frames, a.clock_positions, a.from_times,
        a.to_times, max_gap_seconds) e
    ) q
  ),
  counted as (
    select distinct on (m.nth) m.nth, e.*, m.frames, m.positions, m.clock_frames,
      m.clock_positions
    from (
      select q.id, q.joules, q.joules_low, q.joules_high, q.metered_seconds,
        q.metered_seconds as covered_seconds, 0 as resets
      from simple q
      union all
      select m.id, e.*
      from meter m
      cross join lateral counter_energy(
        m.frames, m.positions, m.clock_frames, m.clock_positions,
        m.from_time, m.to_time, max_gap_seconds) e
      where not exists (select from simple q where q.id = m.id)
    ) e
    join meter m on m.id = e.id
    order by m.nth, e.covered_seconds desc, m.meter
  ),
  silent as (
    select s.nth, s.xname, s.from_time, s.to_time
    from span s
    where not exists (select from counted c where c.nth = s.nth)
  ),
  in_band as (
    select distinct on (s.nth) s.nth, e.*, m.frames, m.positions, m.clock_frames,
      m.clock_positions
    from node_meter(
      array(select distinct u.xname from silent u),
      'cray_pm_energy_joules_total', '', '{"domain": "node"}') m
    join silent s on s.xname = m.xname
    cross join lateral counter_energy(
      m.frames, m.positions, m.clock_frames, m.clock_positions,
      s.from_time, s.to_time, max_gap_seconds) e
    order by s.nth, e.covered_seconds desc, m.meter
  ),
  uncounted as (
    select s.*
    from silent s
    where not exists (select from in_band i where i.nth = s.nth)
  ),
  integrated as (
    select distinct on (s.nth) s.nth, e.*, m.frames, m.positions, m.clock_frames,
      m.clock_positions
    from node_meter(
      array(select distinct u.xname from uncounted u),
      'cray_node_power_watts', 'ChassisVoltageRegulator0InputPower') m
    join uncounted s on s.xname = m.xname
    cross join lateral power_energy(
      m.frames, m.positions, m.clock_frames, m.clock_positions,
      s.from_time, s.to_time, max_gap_seconds) e
    order by s.nth, e.covered_seconds desc, m.meter
  )
  select c.nth, c.joules, c.joules_low, c.joules_high, c.metered_seconds, c.covered_seconds,
    'counter', c.resets, c.frames, c.positions, c.clock_frames, c.clock_positions
  from counted c
  union all
  select b.nth, b.joules, b.joules_low, b.joules_high, b.metered_seconds, b.covered_seconds,
    'in-band', b.resets, b.frames, b.positions, b.clock_frames, b.clock_positions
  from in_band b
  union all
  select i.nth, i.joules, 0, null, i.covered_seconds, i.covered_seconds, 'power', 0,
    i.frames, i.positions, i.clock_frames, i.clock_positions
  from integrated i;
end
$$;
comment on function node_energy is
  'Energy that the node xnames[nth] drew in [from_times[nth], to_times[nth]), in joules: from '
  'its energy counter, else from that of pm_counters (in-band), else from its power, which '
  'bounds nothing: joules_low is 0, joules_high null. No row where there is neither. Of several '
  'meters the one that covers most is taken: its series, as node_meter() has them, stand behind '
  'the figures.';
