-- Closed windows of time, compacted: one row for each series and window instead of one for each
-- scrape, and hourly roll-ups that stay when the samples go.

create table segments (
  frame int4 not null,
  position int2 not null check (position between 0 and 63),
  ended bool not null default false,
  t0 timestamptz not null,
  t1 timestamptz not null,
  n int4 not null check (n > 0),
  resets int4 not null check (resets >= 0),
  first float8,
  last float8,
  min float8,
  max float8,
  sum float8,
  area float8,
  increase float8,
  chunk bytea not null,
  -- Six windows come one after the other into a partition of a day, each in order of frames: the
  -- first leaves room in every page for the other five.
  primary key (frame, position, t0) with (fillfactor = 15),
  check (t1 >= t0)
) partition by range (t0);
-- Compressed already: PostgreSQL's own compression would only cost time.
alter table segments alter column chunk set storage external;

comment on table segments is
  'Compacted samples: a row holds those of one series in one window of 4 h (UTC: 00-04, 04-08, '
  '...). A sample is either here or in frames, never in both.';
comment on column segments.frame is 'series.frame.';
comment on column segments.position is 'series.position.';
comment on column segments.ended is
  'Whether the last sample is a stale marker or another NaN; before t0, where it takes no room.';
comment on column segments.t0 is 'Time of the first sample.';
comment on column segments.t1 is 'Time of the last sample, inclusive; in the same window as t0.';
comment on column segments.n is 'Number of samples, stale markers and NaN included.';
comment on column segments.resets is 'How often the value fell from one sample to the next.';
comment on column segments.first is
  'Value of the first sample that is not NaN, in the unit the metric''s name ends with; null here '
  'and in what follows: none is.';
comment on column segments.last is 'Value of the last sample that is not NaN.';
comment on column segments.min is 'Least value that is not NaN.';
comment on column segments.max is 'Greatest value that is not NaN.';
comment on column segments.sum is 'Sum of the values that are not NaN.';
comment on column segments.area is
  'Area under the curve in unit-seconds: linear from sample to sample, none across more than 300 s; '
  'for watts these are joules.';
comment on column segments.increase is
  'For counters: by how much the value rose in all; after a fall it counts from zero.';
comment on column segments.chunk is 'The samples, coded: chunk_samples() reads it.';

create table rollup (
  frame int4 not null,
  t0 timestamptz not null,
  n int4[] not null,
  min float8[] not null,
  max float8[] not null,
  sum float8[] not null,
  area float8[] not null,
  increase float8[] not null,
  primary key (frame, t0)
) partition by range (t0);
comment on table rollup is
  'Hourly statistics, a row for each frame and window of 4 h: the view sample_hour reads it.';
comment on column rollup.frame is 'series.frame.';
comment on column rollup.t0 is 'Start of the window.';
comment on column rollup.n is
  'Samples that are not NaN; this and the other arrays: element 64 * hour + position + 1, hour 0 to '
  '3; null or beyond the end: none.';
comment on column rollup.min is 'Least value.';
comment on column rollup.max is 'Greatest value.';
comment on column rollup.sum is 'Sum of the values.';
comment on column rollup.area is
  'Area under the curve in unit-seconds of the steps that end in the hour, as in segments.area.';
comment on column rollup.increase is
  'For counters: what the steps that end in the hour rose by, as in segments.increase; null where '
  'more than a quarter of them, and more than three, fell: no counter does.';
