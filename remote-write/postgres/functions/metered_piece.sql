-- It returned less.
drop function if exists metered_piece(text[], timestamptz[], timestamptz[], float8);

-- Both what a job bears and where all joules went start from here: a node's time is cut in one way.
create or replace function metered_piece(
  xnames text[], from_times timestamptz[], to_times timestamptz[], max_gap_seconds float8)
returns table (
  nth int8, from_time timestamptz, to_time timestamptz, cores_held float8, node_cores float8,
  cores_running float8, busy_running float8, idle_joules float8, joules float8,
  joules_low float8, joules_high float8, metered_seconds float8, covered_seconds float8,
  method text, resets int4, frames int4[],
  positions int2[], clock_frames int4[], clock_positions int2[], accelerators jsonb,
  owned_joules float8, owned_joules_low float8, owned_joules_high float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
-- What a node's jobs are is looked up for each span, by the index, however small the table.
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  return query
  with span as materialized (
    select s.* from spans(xnames, from_times, to_times) s where s.from_time < s.to_time
  ),
  -- Apart, so that the index finds both.
  there as materialized (
    select s.nth, o.run, o.started_at, o.ended_at, coalesce(o.cores, o.node_cores, 1) as cores,
      o.node_cores, o.busy_cores, o.accelerators, count(*) over (partition by s.nth) as runs
    from span s
    cross join lateral (
      select a.* from allocation a
      where a.xname = s.xname and a.started_at < s.to_time and a.ended_at > s.from_time
      union all
      select a.* from allocation a
      where a.xname = s.xname and a.started_at < s.to_time and a.ended_at is null
    ) o
  ),
  -- Who is suspended matters to those who share the node meanwhile.
  halt as materialized (
    select distinct t.nth, h.run, h.started_at, h.ended_at
    from there t
    join suspension h on h.run = t.run
    where t.runs > 1 and exists (
      select from there o
      where o.nth = t.nth and o.run <> t.run
        and (h.ended_at > o.started_at or h.ended_at is null)
        and (o.ended_at > h.started_at or o.ended_at is null))
  ),
  edge as (
    select t.nth, t.started_at, t.ended_at from there t
    union all
    select h.nth, h.started_at, h.ended_at from halt h
  ),
  cut as (
    select s.nth, edge.at
    from span s cross join lateral (values (s.from_time), (s.to_time)) as edge (at)
    union
    select t.nth, edge.at
    from edge t
    join span s on s.nth = t.nth
    cross join lateral (values (t.started_at), (t.ended_at)) as edge (at)
    where edge.at > s.from_time and edge.at < s.to_time
  ),
  -- Runs that share a node share its pieces: what the node drew is looked up once for a place.
  piece as materialized (
    select p.*, s.xname,
      dense_rank() over (order by s.xname collate "C", p.from_time, p.to_time) as place
    from (
      select c.nth, c.at as from_time, lead(c.at) over (partition by c.nth order by c.at) as to_time
      from cut c
    ) p
    join span s on s.nth = p.nth
    where p.to_time is not null
  ),
  place as materialized (
    select distinct on (p.place) p.xname, p.from_time, p.to_time from piece p order by p.place
  ),
  metered as (
    select e.*
    from node_energy(
      array(select p.xname from place p), array(select p.from_time from place p),
      array(select p.to_time from place p), max_gap_seconds) e
  ),
  holding as materialized (
    select p.nth, p.place, p.xname, p.from_time, p.to_time, count(t.nth) as runs,
      max(t.node_cores)::float8 as node_cores, sum(t.cores)::float8 as cores_held,
      -- Where all are suspended it is as if none were.
      coalesce(sum(t.cores) filter (where h.run is null), sum(t.cores))::float8 as cores_running,
      case when count(t.busy_cores) = count(t.nth)
        then coalesce(sum(t.busy_cores) filter (where h.run is null), sum(t.busy_cores)) end
        as busy_running
    from piece p
    left join there t on t.nth = p.nth and t.started_at <= p.from_time
      and (t.ended_at >= p.to_time or t.ended_at is null)
    left join halt h on h.nth = t.nth and h.run = t.run and h.started_at <= p.from_time
      and (h.ended_at >= p.to_time or h.ended_at is null)
    group by p.nth, p.place, p.xname, p.from_time, p.to_time
  ),
  owned as (
    select h.place, h.xname, h.from_time, h.to_time, o.accelerator, count(*) as owners
    from (select distinct on (h.place) h.* from holding h order by h.place, h.nth) h
    join there t on t.nth = h.nth and t.started_at <= h.from_time
      and (t.ended_at >= h.to_time or t.ended_at is null)
    cross join lateral unnest(t.accelerators) as o (accelerator)
    where h.runs > 1 or h.cores_held < h.node_cores
    group by h.place, h.xname, h.from_time, h.to_time, o.accelerator
  ),
  measured as (
    select o.place, o.accelerator, o.owners, e.*,
      sum(e.joules) over (partition by o.place) as together
    from owned o
    cross join lateral accelerator_energy(
      o.xname, o.accelerator, o.from_time, o.to_time, max_gap_seconds) e
  ),
  -- Together they are no more than the node, though meters differ.
  bounded as (
    select o.*, f.own, least(o.joules_low, f.own) as low,
      coalesce(o.joules_high, m.joules_high) as high
    from measured o
    join metered m on m.nth = o.place
    cross join lateral (
      select o.joules * least(1, m.joules / nullif(o.together, 0)) as own
    ) f
  ),
  accelerated as (
    select o.place, sum(o.own) as joules, sum(o.low) as low, sum(o.high) as high,
      jsonb_agg(jsonb_build_object('accelerator', o.accelerator, 'owners', o.owners,
        'joules', o.own, 'joules_low', o.low, 'joules_high', o.high, 'method', o.method,
        'frames', o.frames, 'positions', o.positions, 'clock_frames', o.clock_frames,
        'clock_positions', o.clock_positions) order by o.accelerator) as accelerators
    from bounded o
    group by o.place
  )
  select h.nth, h.from_time, h.to_time, h.cores_held, h.node_cores, h.cores_running,
    h.busy_running,
    case when h.runs = 1 and (h.cores_held < h.node_cores) is not true then m.metered_seconds * 0
      when m.nth is not null then idle_watts(h.xname, h.from_time) * m.metered_seconds end,
    m.joules, m.joules_low, m.joules_high, m.metered_seconds, m.covered_seconds, m.method,
    m.resets, m.frames, m.positions, m.clock_frames, m.clock_positions, a.accelerators,
    coalesce(a.joules, 0), coalesce(a.low, 0), coalesce(a.high, 0)
  from holding h
  left join metered m on m.nth = h.place
  left join accelerated a on a.place = h.place;
end
$$;
comment on function metered_piece is
  'The time [from_times[nth], to_times[nth]) of the nodes xnames[nth] in pieces at the starts and '
  'ends of all runs there, and of the suspensions of those that share it, each with how many of '
  'its cores runs hold then (null: none does), how many those that are not suspended hold and keep '
  'busy, null unless all tell, and what the node drew, as node_energy() has it: nulls where '
  'nothing was measured. idle_joules is the node''s floor; it is 0 where one run holds all of the node '
  'alone. accelerators: those that runs which share the node have as their own, with what each '
  'drew, by how many it is shared, and its meter; owned_joules is their sum.';
