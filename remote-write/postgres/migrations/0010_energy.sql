-- What spares the energy of a job the look at each sample: where counters rose without an event,
-- and which frames got samples after that was noted.

create table counter_stretch (
  frame int4 not null,
  position int2 not null,
  clock_frame int4,
  clock_position int2,
  from_time timestamptz not null,
  to_time timestamptz not null,
  longest_seconds float8 not null,
  most_lag_seconds float8 not null,
  whole bool not null,
  primary key (frame, position, from_time),
  check (to_time >= from_time)
);
comment on table counter_stretch is
  'Where an energy counter rose, from reading to reading, without a reset, a long gap or a reading '
  'out of order: what it holds follows from the samples, and may be deleted at any time.';
comment on column counter_stretch.frame is 'series.frame of the counter.';
comment on column counter_stretch.position is 'series.position of the counter.';
comment on column counter_stretch.clock_frame is
  'series.frame of the sensor''s device times; null: there are none.';
comment on column counter_stretch.clock_position is 'series.position of the device times.';
comment on column counter_stretch.from_time is 'Time of the sample of the first reading.';
comment on column counter_stretch.to_time is 'Time of the sample of the last reading.';
comment on column counter_stretch.longest_seconds is
  'Longest time between two readings, by the device''s clock where it tells one.';
comment on column counter_stretch.most_lag_seconds is
  'How far the device''s clock is at most from the time of a sample.';
comment on column counter_stretch.whole is 'Whether all readings are whole joules.';

create table late_frame (
  frame int4 not null,
  from_time timestamptz not null,
  to_time timestamptz not null,
  check (to_time >= from_time)
);
create index late_frame_frame on late_frame (frame);
comment on table late_frame is
  'Frames that got samples more than five minutes old since counter_stretch was last brought up to '
  'date: what it holds of these times counts no more. Written with the samples.';
comment on column late_frame.frame is 'series.frame.';
comment on column late_frame.from_time is 'Time of the earliest of the late samples.';
comment on column late_frame.to_time is 'Time of the latest of them.';
