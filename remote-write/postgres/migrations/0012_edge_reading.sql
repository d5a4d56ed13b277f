-- The readings around the starts and ends of jobs, so that the energy of a job whose samples are
-- compacted needs no look into these.

create table edge_reading (
  frame int4 not null,
  position int2 not null,
  edge timestamptz not null,
  stretch_from timestamptz not null,
  at float8[] not null,
  value float8[] not null,
  primary key (frame, position, edge),
  foreign key (frame, position, stretch_from)
    references counter_stretch (frame, position, from_time) on delete cascade,
  check (cardinality(at) = cardinality(value))
);
comment on table edge_reading is
  'Readings of an energy counter around the start or end of a job on its node, within a stretch of '
  'counter_stretch and gone with that: they follow from the samples, and may be deleted at any '
  'time.';
comment on column edge_reading.frame is 'series.frame of the counter.';
comment on column edge_reading.position is 'series.position of the counter.';
comment on column edge_reading.edge is 'When the job started or ended there.';
comment on column edge_reading.stretch_from is
  'counter_stretch.from_time of the stretch that holds the readings.';
comment on column edge_reading.at is
  'Times of the readings, from two before the edge to two behind it, in Unix time by the device''s '
  'clock where it tells one; a reading that was told again may be there again.';
comment on column edge_reading.value is 'The readings, in joules.';
