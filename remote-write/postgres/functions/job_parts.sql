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
      e.joules * (p.joules - p.own_joules) / (p.node_joules - p.owned_joules) as joules
    from place
    cross join source s
    cross join lateral node_meter(place.xnames, s.metric, s.sensor, s.matching) m
    join piece p on p.xname = m.xname and p.node_joules > p.owned_joules
      and not exists (
        select from jsonb_array_elements(p.accelerators) a
        where s.part = 'accel' || (a ->> 'accelerator'))
    cross join lateral counter_energy(
      m.frames, m.positions, m.clock_frames, m.clock_positions,
      p.from_time, p.to_time, max_gap_seconds) e
    order by p.nth, s.part, s.rank, e.covered_seconds desc, m.meter
  )
  select m.domain, sum(m.joules), count(distinct m.node)::int4
  from (
    select m.* from metered m
    union all
    select p.node, 'accelerator', p.own_joules from piece p where p.own_joules > 0
  ) m
  group by m.domain
  order by m.domain;
end
$$;
comment on function job_domain_energy is
  'What of the energy of runs (job.id) went to cpu, memory and accelerator, in joules: of each '
  'domain''s counter the part that the run bears of the node, of accelerators that runs own those '
  'that are its own. A part of job_energy(), never to be added to it. No row for a domain that '
  'nobody measured.';

create or replace function suspension_energy(
  runs int8[], as_of timestamptz, max_gap_seconds float8)
returns table (
  started_at timestamptz, ended_at timestamptz, joules float8, joules_low float8,
  joules_high float8, coverage_ratio float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  select s.started_at, s.ended_at, sum(p.joules), sum(p.joules_low),
    case when count(p.joules_high) = count(*) then sum(p.joules_high) end,
    coalesce(sum(p.covered_seconds) / nullif(sum(p.seconds), 0), 0)
  from suspension s
  cross join lateral job_piece(
    array[s.run], least(s.ended_at, as_of), max_gap_seconds, s.started_at) p
  where s.run = any (runs) and p.from_time is not null
  group by s.run, s.started_at, s.ended_at
  order by s.started_at;
end
$$;
comment on function suspension_energy is
  'What runs bear of their nodes while they are suspended, as job_energy() has it: all of a node '
  'that they have to themselves, of one that they share only the floor while others run there.';
