drop function if exists node_meter(text[], text, text);

create or replace function node_meter(
  xnames text[], metric text, sensor text, matching jsonb default '{}')
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
    and s.labels @> matching
  group by 1, 2
$$;
comment on function node_meter is
  'The meters of nodes: series of one metric with equal xname, bmc, source and chassis show the '
  'same meter, be it scraped by several Prometheus or under another instance label after a move. '
  'Beside each series stands, or null, the series of its sensor''s device times: '
  'cray_sensor_reading_timestamp_seconds with all the labels of the first and this sensor. '
  'matching: only series with these labels.';

-- Their successors hand on arrays, at a tenth of the price of rows.
drop function if exists meter_reading(int4[], int2[], int4[], int2[], timestamptz, timestamptz);
drop function if exists series_reading(int4, int2, int4, int2, timestamptz, timestamptz);

create or replace function reading_before(
  in_frame int4, in_position int2, since timestamptz, until timestamptz)
returns timestamptz
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  live timestamptz;
  compacted timestamptz;
  segment record;
begin
  select f.time into live
  from frames f
  where f.frame = in_frame and f.v[in_position + 1] between -1e300 and 1e300
    and f.time > since and f.time <= until
  order by f.time desc
  limit 1;
  for segment in
    select s.chunk
    from segments s
    where s.frame = in_frame and s.position = in_position
      and s.t0 > since - interval '4 hours' and s.t0 <= until and s.t1 > coalesce(live, since)
    order by s.t0 desc
  loop
    select max(c.time) into compacted
    from chunk_samples(segment.chunk, since, until) c
    where c.value between -1e300 and 1e300 and c.time > since;
    exit when compacted is not null;
  end loop;
  return greatest(live, compacted);
end
$$;
comment on function reading_before is
  'Time of the last reading of a series in (since, until]; null: there is none.';

create or replace function reading_after(
  in_frame int4, in_position int2, since timestamptz, until timestamptz)
returns timestamptz
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  live timestamptz;
  compacted timestamptz;
  segment record;
begin
  select f.time into live
  from frames f
  where f.frame = in_frame and f.v[in_position + 1] between -1e300 and 1e300
    and f.time >= since and f.time < until
  order by f.time
  limit 1;
  for segment in
    select s.chunk
    from segments s
    where s.frame = in_frame and s.position = in_position
      and s.t0 > since - interval '4 hours' and s.t0 < coalesce(live, until) and s.t1 >= since
    order by s.t0
  loop
    select min(c.time) into compacted
    from chunk_samples(segment.chunk, since, until) c
    where c.value between -1e300 and 1e300 and c.time < until;
    exit when compacted is not null;
  end loop;
  return least(live, compacted);
end
$$;
comment on function reading_after is
  'Time of the first reading of a series in [since, until); null: there is none.';

-- In plpgsql, where the interval and the frame are parameters of a small cached plan: it reads
-- only the partitions in question, by key. As a part of a larger query that took ten times as long.
-- By the index alone: it gives the rows in order, where a bitmap has them sorted anew.
create or replace function series_readings(
  in_frame int4, in_position int2, clock_frame int4, clock_position int2,
  from_time timestamptz, to_time timestamptz,
  out scraped float8[], out at float8[], out value float8[], out clock float8[])
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  day constant interval := '1 day';
  early timestamptz := from_time - interval '300 seconds';
  late timestamptz := to_time + interval '300 seconds';
  since timestamptz := early - interval '300 seconds';
  until timestamptz := late + interval '300 seconds';
  compacted bool;
  times timestamptz[];
  clock_times timestamptz[];
  low int4;
  high int4;
begin
  select exists (
    select from segments s
    where s.frame = in_frame and s.position in (in_position, clock_position)
      and s.t0 > since - interval '4 hours' and s.t0 <= until and s.t1 >= since
  ) into compacted;
  if not compacted and coalesce(clock_frame, in_frame) = in_frame then
    -- Value and clock lie side by side.
    since := coalesce(reading_before(in_frame, in_position, from_time - day, early), early);
    until := coalesce(reading_after(in_frame, in_position, late, to_time + day), late);
    select array_agg(r.scraped), array_agg(r.value), array_agg(r.clock),
      array_agg(case when abs(r.clock - r.scraped) <= 300 then r.clock else r.scraped end)
    into scraped, value, clock, at
    from (
      select date_part('epoch', f.time) as scraped, f.v[in_position + 1] as value,
        f.v[clock_position + 1] as clock
      from frames f
      where f.frame = in_frame and f.time between since and until
        and f.v[in_position + 1] between -1e300 and 1e300
      order by f.time
    ) r;
  else
    -- To find the samples before and after costs as much as to read all: so it is only done where
    -- a first look at what lies near has none.
    for look in 1 .. 2 loop
      select array_agg(s.time), array_agg(s.value) into times, value
      from series_values(in_frame, in_position, since, until) s
      where s.value between -1e300 and 1e300;
      exit when look = 2 or times[1] <= early and times[cardinality(times)] >= late;
      since := coalesce(reading_before(in_frame, in_position, from_time - day, early), early);
      until := coalesce(reading_after(in_frame, in_position, late, to_time + day), late);
    end loop;
    low := greatest(width_bucket(early, times), 1);
    high := width_bucket(late, times);
    high := case when times[high] = late then high else high + 1 end;
    times := times[low:high];
    value := value[low:high];
    select array_agg(s.time), array_agg(s.value) into clock_times, clock
    from series_values(clock_frame, clock_position, times[1], times[cardinality(times)]) s;
    if clock_times is distinct from times then
      clock := array(
        select c.clock
        from unnest(times) as t (time)
        left join unnest(clock_times, clock) as c (time, clock) on c.time = t.time
        order by t.time);
    end if;
    select array_agg(r.scraped),
      array_agg(case when abs(r.clock - r.scraped) <= 300 then r.clock else r.scraped end)
    into scraped, at
    from (
      select date_part('epoch', u.time) as scraped, u.clock
      from unnest(times, clock) with ordinality as u (time, clock, nth)
      order by u.nth
    ) r;
  end if;
  -- Value and clock of one scrape may arrive apart.
  if array_position(clock, null) is not null
    and exists (select from unnest(clock) c where c is not null)
  then
    select array_agg(r.scraped), array_agg(r.value), array_agg(r.clock), array_agg(r.at)
    into scraped, value, clock, at
    from (
      select u.* from unnest(scraped, value, clock, at) as u (scraped, value, clock, at)
      where u.clock is not null order by u.scraped
    ) r;
  end if;
end
$$;
comment on function series_readings is
  'The samples of a series, in order of time, that matter to [from_time, to_time): those within '
  '300 s around it, and the last before and the first after that, up to a day away. NaN and what '
  'is beyond 1e300 are no readings: they could not be added up. clock is the device time beside a '
  'sample; where there are any, samples without one are left out until it has arrived. at is the '
  'device time, or that of the scrape where the device tells none or one more than 300 s away. '
  'Times are Unix time in seconds; null instead of an empty array.';

create or replace function settle_readings(
  inout at float8[], inout value float8[], clock float8[])
language plpgsql immutable parallel safe
as $$
declare
  latest float8 := '-Infinity';
  plain bool := true;
  n int4 := 0;
begin
  -- Mostly all of them count.
  for i in 2 .. coalesce(cardinality(at), 0) loop
    plain := at[i] > at[i - 1] and (clock[i] = clock[i - 1]) is not true;
    exit when not plain;
  end loop;
  if plain then
    return;
  end if;
  for i in 1 .. coalesce(cardinality(at), 0) loop
    continue when at[i] <= latest;
    latest := at[i];
    continue when clock[i] > 0 and clock[i] = clock[i - 1] and value[i] = value[i - 1];
    n := n + 1;
    continue when n = i;
    at[n] := at[i];
    value[n] := value[i];
  end loop;
  at := at[:n];
  value := value[:n];
end
$$;
comment on function settle_readings is
  'Readings in the order of their scrapes without those that are not later than all before, and '
  'those that the device told before.';

-- It returned less.
drop function if exists meter_readings(int4[], int2[], int4[], int2[], timestamptz, timestamptz);

create or replace function meter_readings(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz,
  out at float8[], out value float8[], out is_clocked bool)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
as $$
declare
  clock float8[];
begin
  if cardinality(frames) = 1 then
    select r.at, r.value, r.clock into at, value, clock
    from series_readings(
      frames[1], positions[1], clock_frames[1], clock_positions[1], from_time, to_time) r;
  else
    select array_agg(o.at), array_agg(o.value), array_agg(o.clock) into at, value, clock
    from (
      select u.at, u.value, u.clock
      from unnest(frames, positions, clock_frames, clock_positions)
        with ordinality as s (frame, position, clock_frame, clock_position, nth)
      cross join lateral series_readings(
        s.frame, s.position, s.clock_frame, s.clock_position, from_time, to_time) r
      cross join lateral unnest(r.scraped, r.at, r.value, r.clock)
        as u (scraped, at, value, clock)
      order by u.scraped, s.nth
    ) o;
  end if;
  is_clocked := exists (select from unnest(clock) c where c is not null);
  select r.* into at, value from settle_readings(at, value, clock) r;
end
$$;
comment on function meter_readings is
  'The readings of a meter that matter to [from_time, to_time), each at its time as in '
  'series_readings: Unix time in seconds. In the order of the scrapes a reading is left out '
  'unless it is later than all before it, so that a reading seen twice counts once.';

drop function if exists sample_readings(int4, int2, int4, int2, timestamptz, timestamptz);

create or replace function sample_readings(
  in_frame int4, in_position int2, clock_frame int4, clock_position int2,
  since timestamptz[], until timestamptz[],
  out at float8[], out value float8[], out clock float8[])
language plpgsql stable parallel safe
as $$
declare
  compacted bool;
begin
  if coalesce(clock_frame, in_frame) = in_frame then
    select array_agg(coalesce(f.v[clock_position + 1], date_part('epoch', f.time))),
      array_agg(f.v[in_position + 1]), array_agg(f.v[clock_position + 1]),
      exists (
        select from segments s
        where s.frame = in_frame and s.position in (in_position, clock_position)
          and s.t0 > since[1] - interval '4 hours' and s.t0 <= until[cardinality(until)]
          and s.t1 >= since[1])
    into at, value, clock, compacted
    from generate_series(1, cardinality(since)) as n
    cross join lateral (
      select * from frames f
      where f.frame = in_frame and f.time between since[n] and until[n]
        and f.v[in_position + 1] between -1e300 and 1e300
      order by f.time
    ) f;
  end if;
  if compacted is not false then
    select array_agg(coalesce(r.clock, r.scraped)), array_agg(r.value), array_agg(r.clock)
    into at, value, clock
    from (
      select date_part('epoch', v.time) as scraped, v.value, k.value as clock
      from generate_series(1, cardinality(since)) as n
      cross join lateral series_values(in_frame, in_position, since[n], until[n]) v
      left join lateral series_values(clock_frame, clock_position, since[n], until[n]) k
        on k.time = v.time
      where v.value between -1e300 and 1e300
      order by v.time
    ) r;
  end if;
end
$$;
comment on function sample_readings is
  'The samples of a series in some intervals, of which nth is from since[nth] to until[nth], both '
  'included, in order of time, where each has its device time or the sensor tells none: as '
  'series_readings has them.';

-- Where a counter is known to have risen without an event, only its readings around the edges are
-- looked at: what it rose between them is their difference.
create or replace function edge_readings(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  began timestamptz, ended timestamptz, max_gap_seconds float8,
  out at float8[], out value float8[], out hole_at float8, out is_whole bool)
language plpgsql stable parallel safe
as $$
declare
  stretch counter_stretch;
  margin interval;
  beyond interval;
  has_head bool;
  has_tail bool;
  head_ends timestamptz;
  tail_begins timestamptz;
  clock float8[];
  before_hole int4;
begin
  if cardinality(frames) > 1 then
    return;
  end if;
  select s.* into stretch
  from counter_stretch s
  where s.frame = frames[1] and s.position = positions[1] and s.from_time < ended
    and s.to_time > began
  order by least(s.to_time, ended) - greatest(s.from_time, began) desc
  limit 1;
  if stretch.frame is null or stretch.longest_seconds > max_gap_seconds
    or stretch.clock_frame is distinct from clock_frames[1]
    or stretch.clock_position is distinct from clock_positions[1]
  then
    return;
  end if;
  -- Two steps before an edge and two behind it.
  margin := make_interval(secs => 2 * stretch.longest_seconds + stretch.most_lag_seconds + 1);
  beyond := make_interval(secs => 300 + stretch.longest_seconds);
  has_head := stretch.from_time <= began - margin;
  has_tail := stretch.to_time >= ended + margin;
  head_ends := case when has_head then began + margin else stretch.from_time + beyond end;
  tail_begins := case when has_tail then ended - margin else stretch.to_time - beyond end;
  if head_ends + margin >= tail_begins
    or exists (
      select from late_frame l
      where l.frame in (stretch.frame, stretch.clock_frame) and l.from_time <= stretch.to_time
        and l.to_time >= stretch.from_time)
  then
    return;
  end if;
  if has_head and has_tail then
    select r.at, r.value, r.clock into at, value, clock from sample_readings(
      stretch.frame, stretch.position, stretch.clock_frame, stretch.clock_position,
      array[began - margin, ended - margin], array[began + margin, ended + margin]) r;
  elsif has_head then
    select h.at || t.at, h.value || t.value, h.clock || t.clock into at, value, clock
    from sample_readings(
        stretch.frame, stretch.position, stretch.clock_frame, stretch.clock_position,
        array[began - margin], array[began + margin]) h,
      series_readings(
        stretch.frame, stretch.position, stretch.clock_frame, stretch.clock_position,
        stretch.to_time, ended) t;
  else
    select h.at || t.at, h.value || t.value, h.clock || t.clock into at, value, clock
    from series_readings(
        stretch.frame, stretch.position, stretch.clock_frame, stretch.clock_position,
        began, stretch.from_time) h,
      series_readings(
        stretch.frame, stretch.position, stretch.clock_frame, stretch.clock_position,
        case when has_tail then ended else stretch.to_time end, ended) t;
  end if;
  select r.* into at, value from settle_readings(at, value, clock) r;
  before_hole := width_bucket(
    date_part('epoch', head_ends + (tail_begins - head_ends) / 2), at);
  -- Retention may have taken samples that the stretch was made of.
  if (before_hole > 0 and before_hole < cardinality(at)) is not true then
    at := null;
    return;
  end if;
  hole_at := at[before_hole];
  is_whole := stretch.whole;
end
$$;
comment on function edge_readings is
  'The readings of a meter around the edges of [began, ended), where a stretch (counter_stretch) '
  'says that nothing happened between them and nothing late has come: null where none does. The '
  'step from hole_at stands for many. is_whole: all readings of the stretch are whole joules.';
