-- Which jobs run where: for power control, and for people.

create or replace view running_job as
select a.xname, j.cluster, j.job_id, s.step, j.user_name, a.started_at as since
from job j
join allocation a on a.run = j.id and a.ended_at is null
left join job_step s on s.run = j.id and s.ended_at is null
where j.ended_at is null and a.xname is not null;
comment on view running_job is
  'The jobs that hold a node now: a row for each node, job and step that runs.';
comment on column running_job.xname is 'The node.';
comment on column running_job.cluster is 'Name of the scheduler''s cluster.';
comment on column running_job.job_id is 'The scheduler''s number of the job.';
comment on column running_job.step is 'A step that runs; null: none is known.';
comment on column running_job.user_name is 'Login name of the job''s user.';
comment on column running_job.since is 'When the job got the node.';
