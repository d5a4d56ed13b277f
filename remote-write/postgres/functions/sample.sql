create or replace function series_values(
  frame int4, "position" int2, from_time timestamptz, to_time timestamptz)
returns table ("time" timestamptz, value float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
  return query
  select f.time, f.v[series_values.position + 1]
  from frames f
  where f.frame = series_values.frame and f.time between from_time and to_time
    and f.v[series_values.position + 1] is not null
  union all
  select c.time, c.value
  from segments s
  cross join lateral chunk_samples(s.chunk, from_time, to_time) c
  where s.frame = series_values.frame and s.position = series_values.position
    and s.t0 > from_time - interval '4 hours' and s.t0 <= to_time and s.t1 >= from_time
  order by 1;
end
$$;
comment on function series_values is
  'All samples of the series at a position of a frame from from_time to to_time, both included, in '
  'order of time; stale markers and other NaN too.';

create or replace function series_samples(
  frame int4, "position" int2, from_time timestamptz, to_time timestamptz)
returns table ("time" timestamptz, value float8)
language sql stable parallel safe
as $$
  select s.time, s.value
  from series_values(
    frame, "position", coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity')) s
  where s.value <> 'NaN'
  order by s.time
$$;
comment on function series_samples is
  'Samples of the series at a position of a frame from from_time to to_time, both included (null: '
  'no bound), in order of time; live and compacted ones alike, NaN left out.';

-- By way of series, so that a series_id finds its frame.
create or replace view sample (series_id, frame, position, time, value) as
select s.id, s.frame, s.position, f.time, f.v[s.position + 1]
from series s
join frames f on f.frame = s.frame
where f.v[s.position + 1] <> 'NaN'
union all
select s.id, s.frame, s.position, c.time, c.value
from series s
join segments g on g.frame = s.frame and g.position = s.position
cross join lateral chunk_samples(g.chunk, null, null) c
where c.value <> 'NaN';
comment on view sample is
  'Every sample, one a row, without stale markers and NaN. Filter by a constant series_id, or '
  'frame and position: a join does not narrow what is read, a filter by time only what is live; '
  'samples() and series_samples() read only the windows in question.';
comment on column sample.series_id is 'series.id.';
comment on column sample.frame is 'series.frame.';
comment on column sample.position is 'series.position.';
comment on column sample.time is 'Time of the sample.';
comment on column sample.value is 'In the unit that the metric''s name ends with.';

create or replace view sample_hour
  (series_id, frame, position, hour, n, min, max, sum, mean, area, increase) as
select s.id, s.frame, s.position, r.t0 + make_interval(hours => h.hour), r.n[e.nth], r.min[e.nth],
  r.max[e.nth], r.sum[e.nth], r.sum[e.nth] / r.n[e.nth], r.area[e.nth], r.increase[e.nth]
from series s
join rollup r on r.frame = s.frame
cross join generate_series(0, 3) as h (hour)
cross join lateral (values (64 * h.hour + s.position + 1)) as e (nth)
where r.n[e.nth] > 0;
comment on view sample_hour is
  'Hourly statistics of each series, of windows of 4 h that are compacted: complete some hours '
  'after their end, and kept when the samples go. Filter by series_id or frame.';
comment on column sample_hour.series_id is 'series.id.';
comment on column sample_hour.frame is 'series.frame.';
comment on column sample_hour.position is 'series.position.';
comment on column sample_hour.hour is 'Start of the hour.';
comment on column sample_hour.n is 'Samples that are not NaN.';
comment on column sample_hour.min is 'Least value, in the unit that the metric''s name ends with.';
comment on column sample_hour.max is 'Greatest value.';
comment on column sample_hour.sum is 'Sum of the values.';
comment on column sample_hour.mean is 'sum / n.';
comment on column sample_hour.area is
  'Area under the curve in unit-seconds of the steps that end in the hour: linear from sample to '
  'sample, none across more than 300 s; of watts these are joules.';
comment on column sample_hour.increase is
  'For counters: what the steps that end in the hour rose by; after a fall it counts from zero.';
