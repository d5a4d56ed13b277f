-- The energy of runs that ended, once nothing that is yet to come in time can change it, so that
-- the jobs of a night are ranked without reckoning each of them anew.

create table run_energy (
  run int8 primary key references job on delete cascade,
  max_gap_seconds float8 not null,
  ended_at timestamptz not null,
  since timestamptz not null,
  until timestamptz not null,
  joules float8,
  nodes text[] not null,
  xnames text[] not null,
  node_joules float8[] not null,
  node_joules_low float8[] not null,
  node_joules_high float8[] not null,
  node_seconds float8[] not null,
  node_covered_seconds float8[] not null,
  node_methods text[] not null,
  node_resets int4[] not null,
  check (since <= ended_at and until >= ended_at)
);
create index run_energy_ended_at on run_energy (ended_at);

comment on table run_energy is
  'Energy of runs that ended, as job_piece() has it: a row goes when an allocation that it depends '
  'on changes, or samples come late, and may be deleted at any time while there are samples.';
comment on column run_energy.run is 'job.id.';
comment on column run_energy.max_gap_seconds is 'What it was asked with.';
comment on column run_energy.ended_at is 'When the run gave its last node back.';
comment on column run_energy.since is 'Samples before this time do not matter to it.';
comment on column run_energy.until is 'Samples after this time do not matter to it.';
comment on column run_energy.joules is 'Sum of node_joules; null: nothing was measured.';
comment on column run_energy.nodes is
  'Names of the nodes in the scheduler, in order; the arrays beside it go by it.';
comment on column run_energy.xnames is 'Their places; null: not known.';
comment on column run_energy.node_joules is
  'What the run bears of each, in joules; null: not measured.';
comment on column run_energy.node_joules_low is 'At least.';
comment on column run_energy.node_joules_high is 'At most; null: unbounded.';
comment on column run_energy.node_seconds is 'Seconds that the run held each.';
comment on column run_energy.node_covered_seconds is 'Those of them with readings.';
comment on column run_energy.node_methods is
  'counter, in-band, power or mixed; null: not measured.';
comment on column run_energy.node_resets is 'Restarts and implausible steps of counters.';

-- Its body is in functions/run_energy.sql.
create function forget_energy() returns trigger language plpgsql as 'begin return null; end';
create trigger forget_energy_of_new after insert on allocation
  referencing new table as changed for each statement execute function forget_energy();
create trigger forget_energy_of_deleted after delete on allocation
  referencing old table as changed for each statement execute function forget_energy();
create trigger forget_energy_before_update after update on allocation
  referencing old table as changed for each statement execute function forget_energy();
create trigger forget_energy_after_update after update on allocation
  referencing new table as changed for each statement execute function forget_energy();
