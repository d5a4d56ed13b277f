create or replace function job_domain_energy(
  runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (domain text, joules float8, nodes_with_data int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with piece as (
    select p.*, row_number() over () as nth
    from job_piece(runs, as_of, max_gap_seconds) p
    where p.node_joules > 0
  ),
  place as (select array(select distinct p.xname from piece p) as xnames),
  -- What the node's controller tells goes before what the node sees itself.
  source (domain, part, rank, metric, sensor, matching) as (
    values
      ('cpu', 'cpu', 1, 'cray_domain_energy_joules_total', 'ChassisCPUSubsystem0OutputEnergy',
        '{"domain": "CPU"}'::jsonb),
      ('memory', 'memory', 1, 'cray_domain_energy_joules_total',
        'ChassisMemorySubsystem0OutputEnergy', '{"domain": "Memory"}'),
      ('cpu', 'cpu', 2, 'cray_pm_energy_joules_total', '', '{"domain": "cpu"}'),
      ('memory', 'memory', 2, 'cray_pm_energy_joules_total', '', '{"domain": "memory"}')
    union all
    select 'accelerator', 'accel' || n, 1, 'cray_pm_energy_joules_total', '',
      jsonb_build_object('domain', 'accel' || n)
    from generate_series(0, 7) as n
  ),
  metered as (
    select distinct on (p.nth, s.part) p.node, s.domain,
      e.joules * p.joules / p.node_joules as joules
    from place
    cross join source s
    cross join lateral node_meter(place.xnames, s.metric, s.sensor, s.matching) m
    join piece p on p.xname = m.xname
    cross join lateral counter_energy(
      m.frames, m.positions, m.clock_frames, m.clock_positions,
      p.from_time, p.to_time, max_gap_seconds) e
    order by p.nth, s.part, s.rank, e.covered_seconds desc, m.meter
  )
  select m.domain, sum(m.joules), count(distinct m.node)::int4
  from metered m
  group by m.domain
  order by m.domain;
end
$$;
comment on function job_domain_energy is
  'What of the energy of runs (job.id) went to cpu, memory and accelerator, in joules: of each '
  'domain''s counter the part that the run bears of the node. A part of job_energy(), never to be '
  'added to it. No row for a domain that nobody measured.';

create or replace function job_overhead(runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  cabinet text, node_joules float8, cabinet_node_joules float8,
  rectifier_loss_joules float8, other_joules float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with own as (
    select p.run, substring(p.xname from '^x\d+') as cabinet, sum(p.joules) as joules,
      min(p.from_time) as from_time, max(p.to_time) as to_time
    from job_piece(runs, as_of, max_gap_seconds) p
    where p.joules is not null
    group by p.run, 2
  ),
  place as (
    select o.run, o.cabinet, o.from_time, o.to_time, n.xname,
      row_number() over (order by o.run, n.xname) as nth
    from own o
    join (
      select distinct s.labels ->> 'xname' as xname
      from series s
      where s.metric in ('cray_node_energy_joules_total', 'cray_node_power_watts')
    ) n on substring(n.xname from '^x\d+') = o.cabinet
  ),
  nodes as (
    select p.run, p.cabinet, sum(e.joules) as joules
    from node_energy(
      array(select p.xname from place p order by p.nth),
      array(select p.from_time from place p order by p.nth),
      array(select p.to_time from place p order by p.nth),
      max_gap_seconds) e
    join place p on p.nth = e.nth
    group by p.run, p.cabinet
  ),
  rectified as (
    select o.run, o.cabinet, sum(e.joules) filter (where s.labels ->> 'side' = 'Input') as input,
      sum(e.joules) filter (where s.labels ->> 'side' = 'Output') as output
    from own o
    join series s on s.metric = 'cray_chassis_power_watts'
      and substring(s.labels ->> 'xname' from '^x\d+') = o.cabinet
    cross join lateral power_energy(
      array[s.frame], array[s.position], array[null]::int4[], array[null]::int2[],
      o.from_time, o.to_time, max_gap_seconds) e
    group by o.run, o.cabinet
  )
  select o.cabinet, sum(o.joules), sum(n.joules),
    sum((r.input - r.output) * o.joules / nullif(n.joules, 0)),
    sum((r.output - n.joules) * o.joules / nullif(n.joules, 0))
  from own o
  left join nodes n on n.run = o.run and n.cabinet = o.cabinet
  left join rectified r on r.run = o.run and r.cabinet = o.cabinet
  group by o.cabinet
  order by o.cabinet;
end
$$;
comment on function job_overhead is
  'What runs (job.id) bear of their cabinets'' overhead, by their part of all nodes'' energy '
  'there, never mixed into job_energy(): rectifier_loss_joules, of AC input less DC output, and '
  'other_joules, of the output that nodes do not explain: switches, fans and controllers. Null: '
  'the cabinet''s chassis tell no power, or not both sides. Cooling is measured per site, not '
  'here.';
