-- Whole runs as the scheduler's accounting has them, and what only accounting knows.

alter table job_event drop constraint job_event_type_check;
alter table job_event add constraint job_event_type_check check (type in ('start', 'end', 'run'));
comment on column job_event.type is
  'start: a run got its nodes; end: it gave them back; run: all that accounting knows of a run.';
comment on column job_event.time is
  'When it happened, by the scheduler''s clock; of a run its start.';
comment on column job_event.detail is
  'The rest of the event. Of two reports of one run the one that was told later is kept, unless '
  'only the other has an end; else of two reports the one that says more.';

alter table job
  add column first_started_at timestamptz,
  add column db_index int8,
  add column qos text,
  add column suspended_seconds int8 check (suspended_seconds >= 0),
  add column scheduler_joules float8 check (scheduler_joules >= 0);
comment on column job.first_started_at is
  'When the first run of the same job started: a scheduler may use a number again for another job. '
  'Null: the labels of samples alone tell of the run, or it is older than this column.';
comment on column job.db_index is
  'Number of the run in the scheduler''s accounting: Slurm''s DBIndex, unique in the cluster.';
comment on column job.qos is 'Quality of service.';
comment on column job.suspended_seconds is
  'Seconds within the run in which it was suspended; it held its nodes all the same.';
comment on column job.scheduler_joules is
  'Energy of the run as the scheduler itself has it, joules; null: it has none.';

alter table job_step
  add column name text,
  add column state text,
  add column exit_code text,
  add column nodelist text,
  add column cpus int4 check (cpus >= 0),
  add column scheduler_joules float8 check (scheduler_joules >= 0);
comment on column job_step.name is 'What the user calls the step: as a rule its program.';
comment on column job_step.state is 'How it ended, in the scheduler''s words.';
comment on column job_step.exit_code is 'As the scheduler writes it: Slurm''s exit:signal.';
comment on column job_step.nodelist is 'Its nodes as a Slurm hostlist; null: not told.';
comment on column job_step.cpus is 'Cores on all its nodes, as the scheduler counts cpus.';
comment on column job_step.scheduler_joules is
  'Energy of the step as the scheduler itself has it, joules; null: it has none.';

create table job_record_aside (
  id int8 primary key generated always as identity,
  told_at timestamptz not null,
  fault text not null,
  record text not null
);
comment on table job_record_aside is
  'Records of a scheduler that could not be understood, the last thousand: nobody sends them again.';
comment on column job_record_aside.id is 'In the order in which they came.';
comment on column job_record_aside.told_at is 'When the record came.';
comment on column job_record_aside.fault is 'What is wrong with it.';
comment on column job_record_aside.record is 'The record as it came, at most 64 kB of it.';
