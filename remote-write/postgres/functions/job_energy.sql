create or replace function job_share(
  node_joules float8, idle_joules float8, cores float8, cores_held float8, node_cores float8)
returns float8
language sql immutable parallel safe
as $$
  -- least and greatest pass over nulls; what was not measured stays null.
  select case when node_joules is not null then
    least(idle_joules, node_joules) * cores / greatest(node_cores, cores_held)
      + greatest(node_joules - idle_joules, 0) * cores / cores_held end
$$;
comment on function job_share is
  'What a job with some cores bears of a node''s energy while jobs hold cores_held of its '
  'node_cores: the idle floor by the part of the node, the rest by the part of what is held.';

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
  with held as (
    select a.run, a.node, a.xname, coalesce(a.cores, a.node_cores, 1) as cores,
      a.started_at, least(a.ended_at, as_of) as ended_at
    from allocation a
    where a.run = any (runs)
  ),
  -- A run's time on a node falls into pieces at the starts and ends of all others there.
  cut as (
    select h.run, h.node, h.xname, h.started_at, edge.at
    from held h
    cross join lateral (values (h.started_at), (h.ended_at)) as edge (at)
    where h.started_at < h.ended_at
    union
    select h.run, h.node, h.xname, h.started_at, edge.at
    from held h
    join allocation o on o.xname = h.xname and o.started_at < h.ended_at
      and (o.ended_at > h.started_at or o.ended_at is null)
    cross join lateral (values (o.started_at), (o.ended_at)) as edge (at)
    where edge.at > h.started_at and edge.at < h.ended_at
  ),
  piece as (
    select p.*
    from (
      select c.run, c.node, c.xname, c.started_at, c.at as from_time,
        lead(c.at) over (partition by c.run, c.node, c.started_at order by c.at) as to_time
      from cut c
    ) p
    where p.to_time is not null
  ),
  -- Runs that share a node share its pieces: what the node drew is looked up once.
  place as (
    select d.*, row_number() over (order by d.xname, d.from_time, d.to_time) as nth
    from (
      select distinct p.xname, p.from_time, p.to_time from piece p where p.xname is not null
    ) d
  ),
  holding as (
    select p.nth, count(*) as jobs, max(o.node_cores)::float8 as node_cores,
      sum(coalesce(o.cores, o.node_cores, 1))::float8 as cores_held
    from place p
    join allocation o on o.xname = p.xname and o.started_at <= p.from_time
      and (o.ended_at >= p.to_time or o.ended_at is null)
    group by p.nth
  ),
  metered as (
    select p.xname, p.from_time, p.to_time, e.*, h.cores_held, h.node_cores,
      case when h.jobs > 1 or h.cores_held < h.node_cores
        then idle_watts(p.xname, p.from_time) * e.metered_seconds else 0 end as idle_joules
    from node_energy(
      array(select p.xname from place p order by p.nth),
      array(select p.from_time from place p order by p.nth),
      array(select p.to_time from place p order by p.nth),
      max_gap_seconds) e
    join place p on p.nth = e.nth
    join holding h on h.nth = e.nth
  ),
  borne as (
    select h.run, h.node, h.xname, m.covered_seconds, m.method, m.resets,
      job_share(m.joules, m.idle_joules, h.cores, m.cores_held, m.node_cores) as joules,
      job_share(m.joules_low, m.idle_joules, h.cores, m.cores_held, m.node_cores) as joules_low,
      job_share(m.joules_high, m.idle_joules, h.cores, m.cores_held, m.node_cores) as joules_high,
      date_part('epoch', p.to_time) - date_part('epoch', p.from_time) as seconds
    from held h
    left join piece p on p.run = h.run and p.node = h.node and p.started_at = h.started_at
    left join metered m
      on m.xname = p.xname and m.from_time = p.from_time and m.to_time = p.to_time
  )
  select j.cluster, j.job_id, grouping(b.node) = 1, b.node, b.xname,
    sum(b.joules), sum(b.joules_low),
    case when count(b.joules_high) = count(*) then sum(b.joules_high) end,
    coalesce(sum(b.covered_seconds) / nullif(sum(b.seconds), 0), 0),
    count(distinct b.node)::int4,
    (count(distinct b.node) filter (where b.joules is not null))::int4,
    coalesce(
      case when count(distinct b.method) = 1 then min(b.method)
        when count(distinct b.method) > 1 then 'mixed' end,
      'none'),
    coalesce(sum(b.resets), 0)::int4
  from job j
  left join borne b on b.run = j.id
  where j.id = any (runs)
  group by grouping sets ((j.cluster, j.job_id), (j.cluster, j.job_id, b.node, b.xname))
  having grouping(b.node) = 1 or b.node is not null;
end
$$;
comment on function job_energy is
  'Energy of jobs, by which the given runs (job.id) are summed, in joules: one row for the whole '
  'job and one for each of its nodes. A run that has not ended counts until as_of. Nulls are what '
  'was not measured: joules and joules_low leave such nodes out, joules_high is null then. '
  'coverage_ratio: node-seconds with readings / node-seconds held. method: counter, power, mixed '
  'or none.';
