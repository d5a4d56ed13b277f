-- Jobs that only the labels of samples tell of, and the steps of jobs.

create table job_label (
  job_id int8 not null check (job_id > 0),
  cluster text not null check (cluster <> ''),
  node text not null,
  step text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  stale_at timestamptz,
  user_name text,
  account text,
  partition text,
  labels jsonb not null check (jsonb_typeof(labels) = 'object'),
  open bool not null default true,
  pending bool not null default true,
  primary key (job_id, cluster, node, step, first_at),
  check (last_at >= first_at)
);
create index job_label_open on job_label (job_id) where open;
create index job_label_pending on job_label (job_id) where pending;

comment on table job_label is
  'When samples with the labels of a job, on a node and in a step, were seen: a row for each stretch '
  'without a long silence (setting silence_seconds of job_labels). The rows of job, allocation and '
  'job_step with source labels follow from it, whatever the order of the samples.';
comment on column job_label.job_id is 'The scheduler''s number of the job, from a label.';
comment on column job_label.cluster is
  'The scheduler''s cluster, from a label; default: the series have none.';
comment on column job_label.node is
  'Node name or xname, or a Slurm hostlist, from a label; empty: the series have none.';
comment on column job_label.step is 'Step of the job, from a label; empty: the series have none.';
comment on column job_label.first_at is 'Time of the first sample.';
comment on column job_label.last_at is
  'Time of the last sample; while the stretch is open half a minute or so behind.';
comment on column job_label.stale_at is
  'Time of the last stale marker: after last_at it says that the series ended. Null: none.';
comment on column job_label.user_name is
  'Login name of the job''s user, from a label; of several the least. Null: none.';
comment on column job_label.account is 'Account, from a label; of several the least. Null: none.';
comment on column job_label.partition is
  'Partition, from a label; of several the least. Null: none.';
comment on column job_label.labels is
  'All labels of a series that may name job, cluster, node and step.';
comment on column job_label.open is 'Whether more samples are expected.';
comment on column job_label.pending is
  'Whether job, allocation and job_step do not know of the latest change yet.';

create table job_step (
  run int8 not null references job on delete cascade,
  step text not null check (step <> ''),
  started_at timestamptz not null,
  ended_at timestamptz,
  source text not null,
  primary key (run, step),
  check (ended_at >= started_at)
);
comment on table job_step is 'Steps of a run: what the job started within its nodes.';
comment on column job_step.run is 'job.id.';
comment on column job_step.step is
  'The scheduler''s name of the step: a number, batch, extern or interactive.';
comment on column job_step.started_at is 'When it started.';
comment on column job_step.ended_at is 'When it ended; null while it runs.';
comment on column job_step.source is 'Who told of it: labels, or a source of the job''s events.';

comment on column job.source is
  'Who reported the start; labels: nobody did, the labels of samples tell of the run.';

-- A job is found by its number alone, and by that of its array or heterogeneous job.
create index job_job_id on job (job_id);
create index job_array_job_id on job (array_job_id) where array_job_id is not null;
create index job_het_job_id on job (het_job_id) where het_job_id is not null;
