-- Jobs of the batch scheduler: what was reported, the runs that follow from it, and which nodes
-- each run held from when to when.

create function node_key(name text) returns text
language sql immutable strict parallel safe
as $$ select regexp_replace(name, '^nid0+(?=\d)', 'nid') $$;
comment on function node_key is
  'A node name for comparison: nid000001, nid00001 and nid1 are the same node.';

create table node (
  key text primary key generated always as (node_key(name)) stored,
  name text not null check (name <> ''),
  xname text not null check (xname <> ''),
  cores int4 check (cores > 0)
);
create index node_xname on node (xname);

comment on table node is 'The topology: which node name of the scheduler is which place.';
comment on column node.key is 'The name without the zeros that pad a node number.';
comment on column node.name is 'Name of the node in the scheduler, such as nid000001.';
comment on column node.xname is 'Place of the node, such as x1000c0s0b0n0.';
comment on column node.cores is
  'Cores of the node, in the unit in which the scheduler counts cpus; null: unknown.';

create table job_event (
  cluster text not null check (cluster <> ''),
  job_id int8 not null check (job_id >= 0),
  type text not null check (type in ('start', 'end')),
  time timestamptz not null,
  detail jsonb not null check (jsonb_typeof(detail) = 'object'),
  primary key (cluster, job_id, time, type)
);

comment on table job_event is
  'What schedulers reported, in whatever order. The rows of job and allocation follow from it.';
comment on column job_event.cluster is 'Name of the scheduler''s cluster.';
comment on column job_event.job_id is 'The scheduler''s number, used again when a job is requeued.';
comment on column job_event.type is 'start: a run got its nodes; end: it gave them back.';
comment on column job_event.time is 'When it happened, by the scheduler''s clock.';
comment on column job_event.detail is
  'The rest of the event. Of two reports of one event the one that says more is kept.';

create table job (
  id int8 primary key generated always as identity,
  cluster text not null,
  job_id int8 not null,
  submitted_at timestamptz,
  started_at timestamptz not null,
  ended_at timestamptz,
  state text,
  exit_code text,
  user_name text,
  user_id int8,
  account text,
  partition text,
  name text,
  restart_count int4,
  array_job_id int8,
  array_task_id int8,
  het_job_id int8,
  het_job_offset int4,
  nodelist text not null,
  source text not null,
  unique (cluster, job_id, started_at),
  check (ended_at >= started_at)
);
create index job_started_at on job (started_at);
create index job_ended_at on job (ended_at);
create index job_user_name on job (user_name, started_at);

comment on table job is
  'One row for each run of a job; a requeued job has several with the same cluster and job_id.';
comment on column job.id is 'Ours: names the run.';
comment on column job.cluster is 'Name of the scheduler''s cluster.';
comment on column job.job_id is 'The scheduler''s number of the job.';
comment on column job.submitted_at is 'When the job, or after a requeue this run, was submitted.';
comment on column job.started_at is 'When the run got its nodes.';
comment on column job.ended_at is 'When it gave them back; null while it runs.';
comment on column job.state is 'How it ended, in the scheduler''s words; null: runs or not told.';
comment on column job.exit_code is 'As the scheduler writes it: Slurm''s exit:signal.';
comment on column job.user_name is 'Login name of the job''s user.';
comment on column job.user_id is 'Number of that user.';
comment on column job.account is 'Account that is charged.';
comment on column job.partition is 'Partition or queue.';
comment on column job.name is 'What the user calls the job.';
comment on column job.restart_count is 'How often the job had been requeued before this run.';
comment on column job.array_job_id is 'The job array, if it is a task of one.';
comment on column job.array_task_id is 'Number of the task within the array.';
comment on column job.het_job_id is 'The heterogeneous job, if it is a component of one.';
comment on column job.het_job_offset is 'Number of the component within the heterogeneous job.';
comment on column job.nodelist is 'The nodes as a Slurm hostlist, as reported.';
comment on column job.source is 'Who reported the start.';

create table allocation (
  run int8 not null references job on delete cascade,
  node text not null check (node <> ''),
  xname text,
  started_at timestamptz not null,
  ended_at timestamptz,
  cores int4 check (cores > 0),
  node_cores int4 check (node_cores > 0),
  share float8 not null generated always as (least(cores::float8 / node_cores, 1)) stored,
  primary key (run, node, started_at),
  check (ended_at >= started_at)
);
create index allocation_xname on allocation (xname, ended_at);
create index allocation_unmapped on allocation (node_key(node)) where xname is null;

comment on table allocation is
  'A node, or some of its cores, was the run''s in the half-open interval [started_at, ended_at).';
comment on column allocation.run is 'job.id.';
comment on column allocation.node is 'Name of the node in the scheduler.';
comment on column allocation.xname is
  'Its place by the topology when the event came; null: not known yet.';
comment on column allocation.started_at is 'First instant of the interval.';
comment on column allocation.ended_at is 'First instant after it; null: still held.';
comment on column allocation.cores is 'Cores held, as the scheduler counts cpus; null: all.';
comment on column allocation.node_cores is 'Cores of the node by the topology; null: unknown.';
comment on column allocation.share is
  'cores / node_cores, 0 to 1; 1 where either is unknown.';

-- Energy starts from the series of a node.
create index series_metric_xname on series (metric, (labels ->> 'xname'));
