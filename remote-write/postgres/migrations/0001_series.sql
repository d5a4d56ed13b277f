-- The record of samples: which series there are, and their values by frame and time.

-- An index entry has room for some 2700 bytes, a label set may have more: it is keyed by a hash.
-- PostgreSQL calls convert_to stable because a database may have any encoding; ours is UTF8 always.
create function labels_fingerprint(metric text, labels jsonb) returns bytea
language sql immutable strict parallel safe
as $$ select sha256(convert_to(jsonb_build_array(metric, labels)::text, 'UTF8')) $$;
comment on function labels_fingerprint is
  'SHA-256 of a metric name with labels: the same for every order of the labels.';

create table series (
  id int4 primary key,
  frame int4 not null generated always as (id >> 6) stored,
  position int2 not null generated always as ((id & 63)::int2) stored,
  metric text not null check (metric <> ''),
  labels jsonb not null check (jsonb_typeof(labels) = 'object' and not labels ? '__name__'),
  fingerprint bytea not null
    generated always as (labels_fingerprint(metric, labels)) stored unique,
  created_at timestamptz not null default now(),
  unique (frame, position)
);
create index series_metric on series (metric);
create index series_labels on series using gin (labels jsonb_path_ops);

comment on table series is 'One row for each label set that ever had a sample.';
comment on column series.id is 'frame * 64 + position.';
comment on column series.frame is 'The frame whose rows hold this series'' values; id >> 6.';
comment on column series.position is
  'Place within the frame, 0 to 63; the value is frames.v[position + 1].';
comment on column series.metric is 'Metric name: the label __name__; its end names the unit.';
comment on column series.labels is 'All labels but __name__, as an object of strings.';
comment on column series.fingerprint is 'Hash of metric and labels, by which they are unique.';
comment on column series.created_at is 'When the first sample arrived, not its own time.';

create table target (
  fingerprint bytea primary key generated always as (labels_fingerprint('', labels)) stored,
  labels jsonb not null,
  frame int4 not null,
  used int2 not null check (used between 1 and 64)
);
comment on table target is
  'Where the next new series of a target goes: series that are scraped together share frames.';
comment on column target.labels is
  'The labels that name the target (job and instance, say), or __name__ where there are none.';
comment on column target.fingerprint is 'Hash of labels, by which they are unique.';
comment on column target.frame is 'The target''s latest frame.';
comment on column target.used is 'Positions of that frame that are given out, 1 to 64.';

create table frame_counter (
  only_row bool primary key default true check (only_row),
  next_frame int4 not null check (next_frame between 0 and 33554432)
);
insert into frame_counter (next_frame) values (0);
comment on table frame_counter is
  'The next free frame number. Whoever gives ids out locks this row: one at a time.';
comment on column frame_counter.only_row is 'Always true: the table has one row.';
comment on column frame_counter.next_frame is 'Frames have the numbers 0 to 33554431.';

create table frames (
  frame int4 not null,
  time timestamptz not null,
  v float8[] not null,
  primary key (frame, time)
) partition by range (time);
comment on table frames is
  'Live samples: a row holds the values of up to 64 series of one target at one time.';
comment on column frames.frame is 'Joins series.frame.';
comment on column frames.time is 'Time of the samples; whole milliseconds.';
comment on column frames.v is
  'Value of the series at position p in v[p + 1], in the unit its metric''s name ends with; NULL or '
  'beyond the end: no sample; NaN with the bits 7ff0000000000002: the series ended (stale).';

create table metric_metadata (
  metric text primary key,
  type text not null,
  help text not null,
  unit text not null
);
comment on table metric_metadata is 'What the senders say of their metrics; the latest wins.';
comment on column metric_metadata.metric is 'Metric family: the name without _total, _bucket, ...';
comment on column metric_metadata.type is
  'unknown, counter, gauge, histogram, gaugehistogram, summary, info or stateset.';
comment on column metric_metadata.help is 'The HELP text of the metric.';
comment on column metric_metadata.unit is 'Unit in words, mostly empty: the name has it.';

create view sample (series_id, frame, position, time, value) as
select (f.frame << 6) | (u.nth - 1)::int4, f.frame, (u.nth - 1)::int2, f.time, u.value
from frames f cross join lateral unnest(f.v) with ordinality as u (value, nth)
where u.value <> 'NaN';
comment on view sample is
  'Every sample, one a row, without stale markers and NaN. Filter by frame and time to be fast.';
comment on column sample.series_id is 'series.id.';
comment on column sample.frame is 'series.frame.';
comment on column sample.position is 'series.position.';
comment on column sample.time is 'Time of the sample.';
comment on column sample.value is 'In the unit that the metric''s name ends with.';
