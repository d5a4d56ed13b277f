-- Who shares a node by what it did there, two runs of one second, and where nodes once were.

alter table job add column cpu_seconds float8 check (cpu_seconds >= 0);
comment on column job.cpu_seconds is
  'CPU time of the run on all its nodes, in seconds; null: not told.';

alter table allocation add column busy_cores float8 check (busy_cores >= 0);
comment on column allocation.busy_cores is
  'Cores that the run kept busy there on average: its CPU time by its seconds, as if its cores '
  'were busy alike; null: not told.';

alter table job_event add column row_index int8 not null
  generated always as (coalesce((detail ->> 'db_index')::int8, -1)) stored;
comment on column job_event.row_index is
  'Which row of accounting a run is, by its db_index; -1: not told. Two runs of one job may start '
  'within a second.';
alter table job_event drop constraint job_event_pkey;
alter table job_event add primary key (cluster, job_id, time, type, row_index);

create table node_past (
  key text not null,
  until timestamptz not null,
  xname text not null check (xname <> ''),
  cores int4 check (cores > 0),
  primary key (key, until)
);
comment on table node_past is
  'Where nodes were before the topology changed, for runs of that time that are told later.';
comment on column node_past.key is 'node.key.';
comment on column node_past.until is 'When it was told that the node is elsewhere now.';
comment on column node_past.xname is 'Where the node was until then.';
comment on column node_past.cores is 'Cores of the node there; null: unknown.';
