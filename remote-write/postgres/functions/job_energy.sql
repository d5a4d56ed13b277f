drop function if exists job_share(float8, float8, float8, float8, float8);
create or replace function job_share(
  node_joules float8, idle_joules float8, cores float8, cores_held float8, node_cores float8,
  share float8)
returns float8
language sql immutable parallel safe
as $$
  -- least and greatest pass over nulls; what was not measured stays null.
  select case when node_joules is not null then
    least(idle_joules, node_joules) * cores / greatest(node_cores, cores_held)
      + greatest(node_joules - idle_joules, 0) * share end
$$;
comment on function job_share is
  'What a job with some cores bears of a node''s energy while jobs hold cores_held of its '
  'node_cores: the idle floor by the part of the node, the rest by its share of what is above.';

create or replace function busy_share(
  cores float8, cores_held float8, busy_cores float8, busy_held float8)
returns float8
language sql immutable parallel safe
as $$
  -- A part below 1e-30 is none: PostgreSQL fails at what a float8 is too coarse to hold.
  select case when (busy_held > 0) is not true then cores / cores_held
    when busy_cores * 1e200 < busy_held * 1e170 then 0 else busy_cores / busy_held end
$$;
comment on function busy_share is
  'The part of a run in what a node draws above its floor: by the cores that runs kept busy there, '
  'where it is told of all of them (busy_held is null else), or by the cores that they held.';

create or replace function idle_watts(asked_xname text, asked_time timestamptz) returns float8
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
as $$
begin
  return coalesce((
    select v.value
    from series s
    cross join lateral reading_before(
      s.frame, s.position, asked_time - interval '1 day', asked_time) as latest (time)
    cross join lateral series_values(s.frame, s.position, latest.time, latest.time) v
    where s.metric = 'cray_node_idle_power_watts' and s.labels ->> 'xname' = asked_xname
    order by latest.time desc, s.id
    limit 1), 0);
end
$$;
comment on function idle_watts is
  'What a node draws without load, by the latest cray_node_idle_power_watts within the day before '
  'asked_time; 0 where there is none.';

drop function if exists job_readings(int8[], timestamptz, float8);
drop function if exists job_piece(int8[], timestamptz, float8, timestamptz);
create or replace function job_piece(
  runs int8[], as_of timestamptz, max_gap_seconds float8, since timestamptz default null)
returns table (
  run int8, node text, xname text, from_time timestamptz, to_time timestamptz, cores int4,
  cores_held float8, node_cores float8, share float8, idle_joules float8, node_joules float8,
  joules float8, joules_low float8, joules_high float8, seconds float8, covered_seconds float8,
  method text, resets int4, frames int4[], positions int2[], clock_frames int4[],
  clock_positions int2[], own_joules float8, own_accelerators int2[], accelerators jsonb,
  owned_joules float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with held as materialized (
    select a.run, a.node, a.xname, coalesce(a.cores, a.node_cores, 1) as cores, a.busy_cores,
      a.accelerators, greatest(a.started_at, since) as started_at,
      least(a.ended_at, as_of) as ended_at,
      row_number() over () as nth
    from allocation a
    where a.run = any (runs)
  )
  select h.run, h.node, h.xname, m.from_time, m.to_time, h.cores, m.cores_held, m.node_cores,
    b.share, m.idle_joules, m.joules,
    piece_share(m.joules, m.owned_joules, o.joules, m.idle_joules, h.cores, m.cores_held,
      m.node_cores, b.share),
    piece_share(m.joules_low, m.owned_joules_high, o.low, m.idle_joules, h.cores, m.cores_held,
      m.node_cores, b.share),
    piece_share(m.joules_high, m.owned_joules_low, o.high, m.idle_joules, h.cores, m.cores_held,
      m.node_cores, b.share),
    date_part('epoch', m.to_time) - date_part('epoch', m.from_time), m.covered_seconds, m.method,
    m.resets, m.frames, m.positions, m.clock_frames, m.clock_positions, o.joules, h.accelerators,
    m.accelerators, m.owned_joules
  from held h
  left join metered_piece(
    array(select h.xname from held h order by h.nth),
    array(select h.started_at from held h order by h.nth),
    array(select h.ended_at from held h order by h.nth),
    max_gap_seconds) m on m.nth = h.nth
  cross join lateral (
    select run_part(h.run, m.from_time, h.cores, h.busy_cores, m.cores_held, m.cores_running,
      m.busy_running) as share) b
  cross join lateral (
    select own_accelerators(h.accelerators, m.accelerators, 'joules') as joules,
      own_accelerators(h.accelerators, m.accelerators, 'joules_low') as low,
      own_accelerators(h.accelerators, m.accelerators, 'joules_high') as high) o;
end
$$;
comment on function job_piece is
  'The time of runs (job.id) on nodes from since (null: their start) until as_of, in pieces at '
  'the starts and ends of all runs there, with what the node drew in each, node_joules, and what '
  'the run bears of it, joules. idle_joules is the node''s floor; it is 0 where the run holds all '
  'of the node alone. The arrays name the meter, as node_meter() does. accelerators and '
  'owned_joules are those of metered_piece(), own_joules what the run bears of them by the '
  'numbers of its own. Nulls are what was not measured.';

create or replace function job_energy(runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  cluster text, job_id int8, whole bool, node text, xname text,
  joules float8, joules_low float8, joules_high float8, coverage_ratio float8,
  nodes_expected int4, nodes_with_data int4, method text, resets int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
  return query
  with share as materialized (
    select j.cluster, j.job_id, n.node collate "C" as node, n.xname collate "C" as xname, n.joules,
      n.joules_low, n.joules_high, n.seconds, n.covered_seconds, n.method, n.resets
    from job j
    left join node_share(runs, as_of, max_gap_seconds) n on n.run = j.id
    where j.id = any (runs)
  ),
  -- Apart: to count the different nodes of each node takes longer than all the rest.
  summed as (
    select s.cluster, s.job_id, true as whole, null as node, null as xname,
      count(distinct s.node)::int4 as nodes,
      (count(distinct s.node) filter (where s.joules is not null))::int4 as nodes_with_data,
      sum(s.joules) as joules, sum(s.joules_low) as joules_low,
      case when count(s.joules_high) = count(*) then sum(s.joules_high) end as joules_high,
      sum(s.covered_seconds) / nullif(sum(s.seconds), 0) as coverage_ratio,
      common_method(min(s.method collate "C"), max(s.method collate "C")) as method,
      sum(s.resets) as resets
    from share s
    group by s.cluster, s.job_id
    union all
    select s.cluster, s.job_id, false, s.node, s.xname, 1, least(count(s.joules), 1)::int4,
      sum(s.joules), sum(s.joules_low),
      case when count(s.joules_high) = count(*) then sum(s.joules_high) end,
      sum(s.covered_seconds) / nullif(sum(s.seconds), 0),
      common_method(min(s.method collate "C"), max(s.method collate "C")), sum(s.resets)
    from share s
    where s.node is not null
    group by s.cluster, s.job_id, s.node, s.xname
  )
  select s.cluster, s.job_id, s.whole, s.node, s.xname, s.joules, s.joules_low, s.joules_high,
    coalesce(s.coverage_ratio, 0), s.nodes, s.nodes_with_data, coalesce(s.method, 'none'),
    coalesce(s.resets, 0)::int4
  from summed s;
end
$$;
comment on function job_energy is
  'Energy of jobs, by which the given runs (job.id) are summed, in joules: one row for the whole '
  'job and one for each of its nodes. A run that has not ended counts until as_of. Nulls are what '
  'was not measured: joules and joules_low leave such nodes out, joules_high is null then. '
  'coverage_ratio: node-seconds with readings / node-seconds held. method: counter, in-band, '
  'power, mixed or none.';

create or replace function step_energy(runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  run int8, step text, started_at timestamptz, ended_at timestamptz,
  joules float8, joules_low float8, joules_high float8, coverage_ratio float8,
  nodes_expected int4, nodes_with_data int4, resets int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  select s.run, s.step, s.started_at, s.ended_at, sum(p.joules), sum(p.joules_low),
    case when count(p.joules_high) = count(*) then sum(p.joules_high) end,
    coalesce(sum(p.covered_seconds) / nullif(sum(p.seconds), 0), 0),
    count(distinct p.node)::int4,
    (count(distinct p.node) filter (where p.joules is not null))::int4,
    coalesce(sum(p.resets), 0)::int4
  from job_step s
  join job j on j.id = s.run
  cross join lateral (
    select case when s.nodelist <> j.nodelist then array(select nodelist_names(s.nodelist)) end
      as names
  ) own
  cross join lateral job_piece(
    array[s.run], least(s.ended_at, as_of), max_gap_seconds, s.started_at) p
  where s.run = any (runs) and p.from_time is not null
    and (own.names is null or p.node = any (own.names))
  group by s.run, s.step, s.started_at, s.ended_at
  order by s.started_at, s.step;
end
$$;
comment on function step_energy is
  'What the run bears of a step''s nodes while the step ran (job_step), as job_energy() has it: of '
  'all the run''s nodes where the step''s own are not told. Steps at the same time on the same '
  'nodes have the same joules each.';

create or replace function edge_step(
  at float8[], c float8[], edge float8, out nth int4, out part float8)
language plpgsql immutable parallel safe
as $$
declare
  near bool;
  i int4 := width_bucket(edge, at) + 1;
begin
  if i < 2 or i > cardinality(at) then
    return;
  end if;
  nth := i;
  near := at[i] - at[i - 2] <= 300 and at[i + 1] - at[i - 1] <= 300;
  part := part_before(edge, at[i - 1], at[i], counter_watts(c[i - 1], c[i], at[i] - at[i - 1]),
    case when near and c[i] > c[i - 1]
      then counter_watts(c[i - 2], c[i - 1], at[i - 1] - at[i - 2]) end,
    counter_watts(c[i], c[i + 1], at[i + 1] - at[i]));
end
$$;
comment on function edge_step is
  'The step between readings of a counter that an instant cuts: the number, from 1, of the '
  'reading after it, and which part of the step''s rise counter_energy() has before the instant. '
  'Null where no reading lies on either side.';

create or replace function job_readings(
  runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  run int8, node text, xname text, from_time timestamptz, to_time timestamptz, cores int4,
  cores_held float8, node_cores float8, share float8, idle_joules float8, node_joules float8,
  joules float8, joules_low float8, joules_high float8, covered_seconds float8, method text,
  resets int4, times float8[], readings float8[], start_nth int4, start_part float8, end_nth int4,
  end_part float8, accelerators jsonb)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  select p.run, p.node, p.xname, p.from_time, p.to_time, p.cores, p.cores_held, p.node_cores,
    p.share, p.idle_joules, p.node_joules, p.joules, p.joules_low, p.joules_high, p.covered_seconds,
    p.method, p.resets, m.at, m.value, b.nth, b.part, e.nth, e.part, a.accelerators
  from job_piece(runs, as_of, max_gap_seconds) p
  left join lateral meter_readings(
    p.frames, p.positions, p.clock_frames, p.clock_positions, p.from_time, p.to_time) m
    on p.method is not null
  left join lateral edge_step(m.at, m.value, date_part('epoch', p.from_time)) b
    on p.method in ('counter', 'in-band')
  left join lateral edge_step(m.at, m.value, date_part('epoch', p.to_time)) e
    on p.method in ('counter', 'in-band')
  left join lateral accelerator_readings(
    p.own_accelerators, p.accelerators, p.from_time, p.to_time) as a (accelerators)
    on p.accelerators is not null
  where p.from_time is not null
  order by p.node, p.from_time, p.run;
end
$$;
comment on function job_readings is
  'The pieces of runs as in job_piece(), each with all readings that it follows from, by the '
  'device''s clock, in Unix time: joules of a counter, watts where method is power; and for '
  'counters how each edge cuts its step, as in edge_step(). accelerators: those that runs which '
  'share the node own, as accelerator_readings() has them. Whoever doubts a job''s energy has '
  'here what it takes to reckon it anew.';
