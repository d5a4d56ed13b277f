create or replace function system_power(from_time timestamptz, to_time timestamptz)
returns table (
  cabinet int4, source text, buckets int4, avg_watts float8, min_watts float8, max_watts float8,
  coverage_ratio float8)
language plpgsql stable parallel safe
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with sample as (
    select substring(s.labels ->> 'xname' from '^x(\d+)')::int4 as cabinet, m.source, s.series_id,
      s.time, s.value
    from (values ('cray_chassis_power_watts', '{"side": "Input"}'::jsonb, 'rectifiers'),
      ('cray_node_power_watts', '{}', 'nodes')) as m (metric, matchers, source)
    cross join lateral samples(
      m.metric, m.matchers, from_time - interval '90 seconds', to_time) s
  ),
  held as (
    select s.*, least(
        lead(s.time, 1, 'infinity') over (partition by s.series_id order by s.time),
        s.time + interval '90 seconds') as until
    from sample s
  ),
  measured as (
    select h.cabinet, h.source, b.nth, h.value
    from held h
    join generate_series(1, (date_part('epoch', to_time - from_time) / 15)::int4) as b (nth)
      on from_time + b.nth * interval '15 seconds' > h.time
      and from_time + b.nth * interval '15 seconds' <= h.until
    where h.cabinet is not null
  ),
  bucket as (
    select m.cabinet, m.source, m.nth, sum(m.value) as watts, count(*) as meters
    from measured m
    group by m.cabinet, m.source, m.nth
  ),
  total as (
    select b.cabinet, b.source, count(*)::int4 as buckets, avg(b.watts) as avg_watts,
      min(b.watts) as min_watts, max(b.watts) as max_watts,
      sum(b.meters) / (max(b.meters) * floor(date_part('epoch', to_time - from_time) / 15))
        as coverage_ratio
    from bucket b
    group by b.cabinet, b.source
  ),
  chosen as (
    select distinct on (t.cabinet) t.* from total t order by t.cabinet, t.source desc
  ),
  whole as (
    select b.nth, sum(b.watts) as watts
    from bucket b
    join chosen c on c.cabinet = b.cabinet and c.source = b.source
    group by b.nth
  )
  select c.* from chosen c
  union all
  select null, null, count(*)::int4, avg(w.watts), min(w.watts), max(w.watts),
    (select avg(c.coverage_ratio) from chosen c)
  from whole w
  having count(*) > 0;
end
$$;
comment on function system_power is
  'What cabinets drew in [from_time, to_time), by buckets of 15 s: sums of the rectifiers'' AC '
  'input or, where a cabinet has none, of its nodes (source). A sample holds until the next, for '
  '90 s at most. coverage_ratio: what was measured of the buckets, of all meters that were seen. '
  'The row with cabinet null is the whole system.';
