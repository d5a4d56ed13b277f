-- What of a shared node was a run's: its accelerators, and the time in which it was not suspended.

alter table allocation add column accelerators int2[];
comment on column allocation.accelerators is
  'Numbers of the node''s accelerators that the run held, from 0, as the domains accel0, accel1, '
  '... of the node count them; null: not told.';

alter table job_event drop constraint job_event_type_check;
alter table job_event add constraint job_event_type_check
  check (type in ('start', 'end', 'run', 'suspend', 'resume'));
comment on column job_event.type is
  'start: a run got its nodes; end: it gave them back; suspend, resume: it was halted, and went '
  'on; run: all that accounting knows of a run.';

create table suspension (
  run int8 not null references job on delete cascade,
  started_at timestamptz not null,
  ended_at timestamptz,
  primary key (run, started_at),
  check (ended_at > started_at)
);
comment on table suspension is
  'A run was suspended in the half-open interval [started_at, ended_at): it held its nodes, and '
  'did nothing. Those of which somebody told when they were: job.suspended_seconds may be more.';
comment on column suspension.run is 'job.id.';
comment on column suspension.started_at is 'First instant of the interval.';
comment on column suspension.ended_at is 'First instant after it; null: it is suspended still.';

-- Its body is in functions/suspension.sql.
create function forget_shared_energy() returns trigger
  language plpgsql as 'begin return null; end';
create trigger forget_energy_of_new after insert on suspension
  referencing new table as changed for each statement execute function forget_shared_energy();
create trigger forget_energy_of_deleted after delete on suspension
  referencing old table as changed for each statement execute function forget_shared_energy();
create trigger forget_energy_of_updated after update on suspension
  referencing new table as changed for each statement execute function forget_shared_energy();
