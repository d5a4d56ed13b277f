-- Series of which nothing is left are forgotten: see functions/forget.sql.

create table series_epoch (
  only_row bool primary key default true check (only_row),
  epoch int4 not null check (epoch >= kept_epoch),
  kept_epoch int4 not null
);
insert into series_epoch (epoch, kept_epoch) values (0, 0);
comment on table series_epoch is
  'Ids of series hold for an epoch: a receiver that knows them from an earlier one first learns '
  'from forgotten_series which of them hold no more.';
comment on column series_epoch.only_row is 'Always true: the table has one row.';
comment on column series_epoch.epoch is 'The epoch now: each time that series shall go begins one.';
comment on column series_epoch.kept_epoch is
  'The latest epoch of which forgotten_series has lost rows.';

create table forgotten_series (
  id int4 primary key,
  epoch int4 not null,
  forgotten_at timestamptz
);
create index forgotten_series_epoch on forgotten_series (epoch);
comment on table forgotten_series is
  'Series that are to go since nothing is left of them, and for a week those that went.';
comment on column forgotten_series.id is 'series.id.';
comment on column forgotten_series.epoch is 'The first epoch in which the id does not hold.';
comment on column forgotten_series.forgotten_at is
  'When the row of series went; null: it is there still, and stays if a sample comes meanwhile.';

create table free_frame (
  frame int4 primary key
);
comment on table free_frame is
  'Frames whose series were all forgotten: new series get these before those of frame_counter.';
comment on column free_frame.frame is 'Joins series.frame.';

create index target_frame on target (frame);

comment on table series is
  'One row for each label set that has samples or roll-ups; some days after these it goes too.';
