-- Native histograms and exemplars: beside the frames, since their values are no plain numbers.

create table histogram (
  frame int4 not null,
  position int2 not null check (position between 0 and 63),
  time timestamptz not null,
  payload bytea not null,
  primary key (frame, position, time)
) partition by range (time);
comment on table histogram is
  'Native histograms: one row for each series and time that had one. Partitions of a day.';
comment on column histogram.frame is 'series.frame.';
comment on column histogram.position is 'series.position.';
comment on column histogram.time is 'Time of the sample; whole milliseconds.';
comment on column histogram.payload is
  'prometheus.Histogram (prompb/types.proto) in protocol-buffer bytes, fields in order of their '
  'number, lists packed, zeros left out: equal histograms have equal bytes.';

create table exemplar (
  frame int4 not null,
  position int2 not null check (position between 0 and 63),
  time timestamptz not null,
  labels jsonb not null check (jsonb_typeof(labels) = 'object'),
  value float8 not null,
  primary key (frame, position, time, labels)
) partition by range (time);
comment on table exemplar is
  'Examples of what a series counted, such as one request with its trace. Partitions of a day.';
comment on column exemplar.frame is 'series.frame.';
comment on column exemplar.position is 'series.position.';
comment on column exemplar.time is 'Time of the example; whole milliseconds.';
comment on column exemplar.labels is
  'Labels of the example beside the series'' own, at most 512 bytes of text.';
comment on column exemplar.value is 'Value of the example, in the unit of the series.';

-- Its successor makes partitions of any table.
drop function if exists make_frames_partition(timestamptz, timestamptz);
