-- It returned less.
drop function if exists job_overhead(int8[], timestamptz, float8);

create or replace function job_overhead(
  runs int8[], as_of timestamptz, max_gap_seconds float8, cooling_ratio float8 default null)
returns table (
  cabinet text, node_joules float8, cabinet_node_joules float8, rectifier_loss_joules float8,
  switch_joules float8, other_joules float8, cooling_joules float8)
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
  -- Regulators feed each other: that of the brick which feeds all of a switch stands for it.
  meter (part, metric, matching) as (
    values ('Input', 'cray_chassis_power_watts', '{"side": "Input"}'::jsonb),
      ('Output', 'cray_chassis_power_watts', '{"side": "Output"}'),
      ('switch', 'cray_sensor_power_watts', '{"sensor": "ASICVoltageRegulator7OutputPower"}')
  ),
  -- One meter may be scraped twice.
  metered as (
    select distinct on (o.run, o.cabinet, m.part, s.labels ->> 'xname') o.run, o.cabinet, m.part,
      e.joules
    from own o
    cross join meter m
    join series s on s.metric = m.metric and s.labels @> m.matching
      and substring(s.labels ->> 'xname' from '^x\d+') = o.cabinet
    cross join lateral power_energy(
      array[s.frame], array[s.position], array[null]::int4[], array[null]::int2[],
      o.from_time, o.to_time, max_gap_seconds) e
    order by o.run, o.cabinet, m.part, s.labels ->> 'xname', e.covered_seconds desc, s.id
  ),
  drawn as (
    select m.run, m.cabinet, sum(m.joules) filter (where m.part = 'Input') as input,
      sum(m.joules) filter (where m.part = 'Output') as output,
      sum(m.joules) filter (where m.part = 'switch') as switches
    from metered m
    group by m.run, m.cabinet
  ),
  share as (
    select o.cabinet, o.joules, n.joules as all_joules, o.joules / nullif(n.joules, 0) as part,
      d.input, d.output, d.switches
    from own o
    left join nodes n on n.run = o.run and n.cabinet = o.cabinet
    left join drawn d on d.run = o.run and d.cabinet = o.cabinet
  )
  select s.cabinet, sum(s.joules), sum(s.all_joules), sum((s.input - s.output) * s.part),
    sum(s.switches * s.part),
    sum((s.output - s.all_joules - coalesce(s.switches, 0)) * s.part),
    sum(s.input * s.part) * cooling_ratio
  from share s
  group by s.cabinet
  order by s.cabinet;
end
$$;
comment on function job_overhead is
  'What runs (job.id) bear of their cabinets'' overhead, by their part of all nodes'' energy '
  'there, never mixed into job_energy(): rectifier_loss_joules, of AC input less DC output; '
  'switch_joules, of the switches whose controllers tell their power; other_joules, of the output '
  'that neither nodes nor these explain: fans, controllers, other switches; cooling_joules, that '
  'part of the input which a site''s cooling takes by its own figure, cooling_ratio. Null: nobody '
  'measured it, or the site has told no figure.';
