create or replace function energy_metrics() returns text[]
language sql immutable parallel safe
as $$
  select array['cray_node_energy_joules_total', 'cray_pm_energy_joules_total',
    'cray_node_power_watts', 'cray_node_idle_power_watts', 'cray_accelerator_power_watts',
    'cray_sensor_reading_timestamp_seconds']
$$;
comment on function energy_metrics is 'The metrics that the energy of a job follows from.';

create or replace function forget_energy() returns trigger
language plpgsql
as $$
begin
  -- What schedulers tell is mostly of later than what is kept.
  if (select max(k.ended_at) from run_energy k) >= (select min(c.started_at) from changed c) then
    delete from run_energy k
    using (
      select c.run from changed c
      union
      select o.run
      from changed c
      join allocation o on o.xname = c.xname and o.started_at < coalesce(c.ended_at, 'infinity')
        and o.ended_at > c.started_at
    ) r
    where k.run = r.run;
  end if;
  return null;
end
$$;
comment on function forget_energy is
  'Deletes from run_energy what allocations that were inserted, updated or deleted have a part in: '
  'their own runs, and those that share their nodes meanwhile.';

create or replace function forget_late_energy(
  late_frames int4[], from_times timestamptz[], to_times timestamptz[], oldest timestamptz)
returns void
language sql
as $$
  delete from run_energy k
  using unnest(late_frames, from_times, to_times) as l (frame, from_time, to_time)
  join series s on s.frame = l.frame and s.metric = any (energy_metrics())
  join allocation a on a.xname = s.labels ->> 'xname'
    and a.ended_at >= l.from_time - interval '1 day'
  where k.run = a.run and k.since <= l.to_time and k.until >= l.from_time and k.since >= oldest
$$;
comment on function forget_late_energy is
  'Deletes from run_energy what late samples of these frames matter to, but not what is older than '
  'the oldest samples: that could not be reckoned again.';

create or replace function kept_energy(
  runs int8[], as_of timestamptz, max_gap_seconds float8)
returns setof run_energy
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
  any_late constant bool := exists (select from late_frame);
begin
  return query
  select k.*
  -- Not "= any": that may compare each run with all of the array.
  from (select distinct u.run from unnest(runs) as u (run)) r
  join run_energy k on k.run = r.run
  where k.ended_at <= as_of and k.max_gap_seconds = kept_energy.max_gap_seconds
    and (not any_late or not exists (
      select
      from allocation a
      join series s
        on s.labels ->> 'xname' = a.xname and s.metric = any (energy_metrics())
      join late_frame l on l.frame = s.frame and l.from_time <= k.until and l.to_time >= k.since
      where a.run = k.run));
end
$$;
comment on function kept_energy is
  'What run_energy has of runs that ended by as_of, where no late sample has come since.';

create or replace function settled_run(asked_runs int8[], asked_until timestamptz)
returns table (run int8, ended_at timestamptz, since timestamptz, until timestamptz)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with held as (
    select a.run, a.xname, min(a.started_at) as started_at, max(a.ended_at) as ended_at,
      bool_and(a.ended_at is not null) as has_ended
    from allocation a
    where a.run = any (asked_runs)
    group by a.run, a.xname
  ),
  -- Device times are within 300 s of their samples', and so are the readings that matter of these
  -- times; beyond lies one more on either side, if within a day.
  looked as (
    select h.*, s.frame, s.position, s.id is null as is_blind,
      reading_before(s.frame, s.position, h.started_at - interval '1 day',
        h.started_at - interval '600 seconds') as before,
      -- What a node draws idle is taken from before.
      case when s.metric = 'cray_node_idle_power_watts' then h.ended_at
        else reading_after(s.frame, s.position, h.ended_at + interval '600 seconds',
          h.ended_at + interval '1 day') end as after
    from held h
    left join series s on s.metric = any (energy_metrics()) and s.labels ->> 'xname' = h.xname
  )
  select l.run, max(l.ended_at),
    min(case when l.is_blind then l.started_at
      else coalesce(l.before, l.started_at - interval '1 day') end),
    max(case when l.is_blind then l.ended_at
      else coalesce(l.after, l.ended_at + interval '1 day') end)
  from (
    select k.*,
      case when k.before is null and k.after is null and not k.is_blind
        then bool_or(k.after is not null) over (partition by k.run, k.xname)
          and reading_after(k.frame, k.position, k.started_at - interval '600 seconds',
            k.ended_at + interval '600 seconds') is null
        else false end as is_silent
    from looked k
  ) l
  group by l.run
  having bool_and(l.has_ended) and max(l.ended_at) <= asked_until
    and max(case when l.is_blind then l.ended_at when not l.is_silent
      then coalesce(l.after, l.ended_at + interval '1 day') end) <= asked_until;
end
$$;
comment on function settled_run is
  'Those of the runs whose energy no sample after asked_until changes, since all series of their '
  'nodes have one between the end and asked_until, or a day has passed; and the samples that '
  'matter to it. A series that is silent from a day before on is not waited for where others '
  'of the node are there.';

create or replace function keep_energy(
  asked_now timestamptz, max_gap_seconds float8, most int4 default 200)
returns int4
language plpgsql
set jit = off
as $$
declare
  -- As for the stretches: what is older is told of when it comes.
  until constant timestamptz := asked_now - interval '10 minutes';
  -- Of what is older a day in turn is looked at again, for runs that were amended or told late.
  day constant timestamptz := until
    - make_interval(days => 1 + (date_part('epoch', asked_now) / 300)::int8::int4 % 31);
  candidates int8[];
  added int4;
  kept int4 := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('joulebridge stretches')) or not writers_ended() then
    return null;
  end if;
  -- No allocation may change until what follows from it is written.
  perform pg_advisory_xact_lock(hashtext('joulebridge jobs'));
  candidates := array(
    select j.id
    from job j
    where (j.ended_at between until - interval '26 hours' and until
        or j.ended_at between day - interval '1 day' and day)
      and not exists (
        select from run_energy k
        where k.run = j.id and k.max_gap_seconds = keep_energy.max_gap_seconds)
    order by j.ended_at desc);
  for nth in 1 .. cardinality(candidates) by most loop
    with settled as materialized (
      select s.* from settled_run(candidates[nth:nth + most - 1], until) s
    ),
    node as (
      select n.*
      from reckoned_energy(array(select s.run from settled s), until, max_gap_seconds) n
    ),
    run as (
      select n.run, sum(n.joules) as joules, array_agg(n.node order by n.node, n.xname) as nodes,
        array_agg(n.xname order by n.node, n.xname) as xnames,
        array_agg(n.joules order by n.node, n.xname) as node_joules,
        array_agg(n.joules_low order by n.node, n.xname) as node_joules_low,
        array_agg(n.joules_high order by n.node, n.xname) as node_joules_high,
        array_agg(n.seconds order by n.node, n.xname) as node_seconds,
        array_agg(n.covered_seconds order by n.node, n.xname) as node_covered_seconds,
        array_agg(n.method order by n.node, n.xname) as node_methods,
        array_agg(n.resets order by n.node, n.xname) as node_resets
      from node n
      group by n.run
    )
    insert into run_energy as o (run, max_gap_seconds, ended_at, since, until, joules, nodes,
      xnames, node_joules, node_joules_low, node_joules_high, node_seconds, node_covered_seconds,
      node_methods, node_resets)
    select s.run, max_gap_seconds, s.ended_at, s.since, s.until, r.joules, r.nodes, r.xnames,
      r.node_joules, r.node_joules_low, r.node_joules_high, r.node_seconds, r.node_covered_seconds,
      r.node_methods, r.node_resets
    from settled s
    join run r on r.run = s.run
    on conflict (run) do update set max_gap_seconds = excluded.max_gap_seconds,
      ended_at = excluded.ended_at, since = excluded.since, until = excluded.until,
      joules = excluded.joules, nodes = excluded.nodes, xnames = excluded.xnames,
      node_joules = excluded.node_joules, node_joules_low = excluded.node_joules_low,
      node_joules_high = excluded.node_joules_high, node_seconds = excluded.node_seconds,
      node_covered_seconds = excluded.node_covered_seconds, node_methods = excluded.node_methods,
      node_resets = excluded.node_resets;
    get diagnostics added = row_count;
    kept := kept + added;
    exit when kept >= most;
  end loop;
  return kept;
end
$$;
comment on function keep_energy is
  'Writes the energy of runs that have settled ten minutes before asked_now, the database''s own '
  'time, into run_energy, the latest first, until there are so many; how many there are now, or '
  'null when another is at it or a writer does not end. Nobody can tell of jobs meanwhile: some '
  '0.5 ms a run.';

create or replace function common_method(first_method text, last_method text) returns text
language sql immutable parallel safe
as $$ select case when first_method = last_method then first_method
  when first_method < last_method then 'mixed' end $$;
comment on function common_method is
  'The method of parts, of whose methods these are the first and last in order; null: none has '
  'one.';

create or replace function reckoned_energy(
  runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  run int8, node text, xname text, joules float8, joules_low float8, joules_high float8,
  seconds float8, covered_seconds float8, method text, resets int4)
language sql stable parallel safe
as $$
  select p.run, p.node, p.xname, sum(p.joules), sum(p.joules_low),
    case when count(p.joules_high) = count(*) then sum(p.joules_high) end, sum(p.seconds),
    sum(p.covered_seconds), common_method(min(p.method), max(p.method)),
    sum(p.resets)::int4
  from job_piece(runs, as_of, max_gap_seconds) p
  group by p.run, p.node, p.xname
$$;
comment on function reckoned_energy is
  'What runs bear of each of their nodes, reckoned from the samples: job_piece() added up.';

create or replace function node_share(runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  run int8, node text, xname text, joules float8, joules_low float8, joules_high float8,
  seconds float8, covered_seconds float8, method text, resets int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with kept as materialized (select k.* from kept_energy(runs, as_of, max_gap_seconds) k)
  select k.run, n.*
  from kept k
  cross join lateral unnest(k.nodes, k.xnames, k.node_joules, k.node_joules_low,
    k.node_joules_high, k.node_seconds, k.node_covered_seconds, k.node_methods, k.node_resets) n
  union all
  select r.*
  from reckoned_energy(
    array(select u.run from unnest(runs) as u (run) except select k.run from kept k), as_of,
    max_gap_seconds) r;
end
$$;
comment on function node_share is
  'What runs (job.id) bear of each of their nodes until as_of, with nulls for what was not '
  'measured: kept in run_energy, or reckoned.';

create or replace function run_joules(runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (run int8, joules float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with kept as materialized (
    select k.run, k.joules from kept_energy(runs, as_of, max_gap_seconds) k
  ),
  -- So many at a time sort and join in memory.
  lot as (
    select array_agg(u.run) as runs
    from (
      select n.run, row_number() over (order by n.run) / 500 as nth
      from unnest(array(
        select r.run from unnest(runs) as r (run) except select k.run from kept k)) as n (run)
    ) u
    group by u.nth
  )
  select k.* from kept k
  union all
  select p.run, sum(p.joules)
  from lot l
  cross join lateral job_piece(l.runs, as_of, max_gap_seconds) p
  group by p.run;
end
$$;
comment on function run_joules is
  'Joules of runs (job.id) until as_of, the sum of node_share(); null: nothing was measured.';
