create or replace function node_meter(xnames text[], metric text, sensor text)
returns table (
  xname text, meter text,
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[])
language sql stable parallel safe
as $$
  select s.labels ->> 'xname',
    concat_ws(' ', s.labels ->> 'bmc', s.labels ->> 'source', s.labels ->> 'chassis'),
    array_agg(s.frame order by s.id), array_agg(s.position order by s.id),
    array_agg(clock.frame order by s.id), array_agg(clock.position order by s.id)
  from series s
  left join lateral (
    select c.frame, c.position
    from series c
    where c.metric = 'cray_sensor_reading_timestamp_seconds'
      and c.labels ->> 'xname' = s.labels ->> 'xname'
      and c.labels ->> 'sensor' = node_meter.sensor
      and c.labels @> s.labels
    order by c.id
    limit 1
  ) clock on true
  where s.metric = node_meter.metric and s.labels ->> 'xname' = any (xnames)
  group by 1, 2
$$;
comment on function node_meter is
  'The meters of nodes: series of one metric with equal xname, bmc, source and chassis show the '
  'same meter, be it scraped by several Prometheus or under another instance label after a move. '
  'Beside each series stands, or null, the series of its sensor''s device times: '
  'cray_sensor_reading_timestamp_seconds with all the labels of the first and this sensor.';

-- In plpgsql, where the interval and the frame are parameters of a small cached plan: it reads
-- only the partitions in question, by key. As a part of a larger query that took ten times as long.
create or replace function series_reading(
  in_frame int4, in_position int2, clock_frame int4, clock_position int2,
  from_time timestamptz, to_time timestamptz)
returns table (scraped float8, value float8, clock float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  first timestamptz;
  last timestamptz;
begin
  select f.time into first
  from frames f
  where f.frame = in_frame and f.v[in_position + 1] < 'Infinity'
    and f.time <= from_time - interval '300 seconds' and f.time > from_time - interval '1 day'
  order by f.time desc
  limit 1;

  select f.time into last
  from frames f
  where f.frame = in_frame and f.v[in_position + 1] < 'Infinity'
    and f.time >= to_time + interval '300 seconds' and f.time < to_time + interval '1 day'
  order by f.time
  limit 1;

  first := coalesce(first, from_time - interval '300 seconds');
  last := coalesce(last, to_time + interval '300 seconds');

  if clock_frame = in_frame then
    return query
    select date_part('epoch', f.time), f.v[in_position + 1], f.v[clock_position + 1]
    from frames f
    where f.frame = in_frame and f.time between first and last
      and f.v[in_position + 1] < 'Infinity'
    order by f.time;
  else
    return query
    select date_part('epoch', f.time), f.v[in_position + 1], g.v[clock_position + 1]
    from frames f
    left join frames g on g.frame = clock_frame and g.time = f.time
      and g.time between first and last
    where f.frame = in_frame and f.time between first and last
      and f.v[in_position + 1] < 'Infinity'
    order by f.time;
  end if;
end
$$;
comment on function series_reading is
  'The samples of a series, and beside each its device time, that matter to [from_time, to_time): '
  'those within 300 s around it, and the last before and the first after that, up to a day away. '
  'NaN and infinite values are no readings. Times are Unix time in seconds.';

create or replace function meter_reading(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz)
returns table (at float8, value float8)
language sql stable parallel safe
as $$
  select timed.at, timed.value
  from (
    select r.at, r.value, max(r.at) over earlier as latest,
      r.clock > 0 and r.clock = lag(r.clock) over w and r.value = lag(r.value) over w as repeated
    from (
      select e.scraped, s.nth, e.value, e.clock,
        case when abs(e.clock - e.scraped) <= 300 then e.clock else e.scraped end as at,
        bool_or(e.clock is not null) over (partition by s.nth) as clocked
      from unnest(frames, positions, clock_frames, clock_positions)
        with ordinality as s (frame, position, clock_frame, clock_position, nth)
      cross join lateral series_reading(
        s.frame, s.position, s.clock_frame, s.clock_position, from_time, to_time) e
    ) r
    where r.clock is not null or not r.clocked
    window w as (order by r.scraped, r.nth),
      earlier as (w rows between unbounded preceding and 1 preceding)
  ) timed
  where timed.latest is null or (timed.at > timed.latest and timed.repeated is not true)
$$;
comment on function meter_reading is
  'The readings of a meter that matter to [from_time, to_time), each at the time of the device''s '
  'own clock, or of the scrape where the device tells none or one more than 300 s away: Unix time '
  'in seconds. Value and clock of one scrape may arrive apart: where the device tells its clock, a '
  'reading counts once both are there. In the order of the scrapes a reading is left out unless it '
  'is later than all before it, so that a reading seen twice counts once.';
