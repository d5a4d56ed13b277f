create or replace function told_job_label(told jsonb)
returns table (
  job_id int8, cluster text, node text, step text, first_at timestamptz, last_at timestamptz,
  stale_at timestamptz, user_name text, account text, partition text, labels jsonb)
language sql stable parallel safe
as $$
  select t.*
  from jsonb_to_recordset(told) as t (
    job_id int8, cluster text, node text, step text, first_at timestamptz, last_at timestamptz,
    stale_at timestamptz, user_name text, account text, partition text, labels jsonb)
$$;
comment on function told_job_label is
  'What a receiver tells of job labels, as rows: samples from first_at to last_at without a long '
  'silence between, or, where these are null, a stale marker.';

create or replace function keep_job_labels(told jsonb, silence_seconds float8) returns void
language plpgsql
as $$
declare
  silence interval := make_interval(secs => silence_seconds);
begin
  -- One at a time: whoever joins two rows must see both.
  perform pg_advisory_xact_lock(hashtext('joulebridge job labels'));

  -- Requests are answered on the strength of it, whatever the server's default.
  perform set_config('synchronous_commit', 'on', true)
  where current_setting('synchronous_commit') = 'off';

  -- The common case: a row grows at its end, and no later row comes near.
  update job_label l
  set last_at = t.last_at, pending = l.pending or not l.open, open = true
  from told_job_label(told) t
  where (l.job_id, l.cluster, l.node, l.step) = (t.job_id, t.cluster, t.node, t.step)
    and t.first_at between l.first_at and l.last_at + silence and t.last_at > l.last_at
    and not exists (
      select from job_label o
      where (o.job_id, o.cluster, o.node, o.step) = (l.job_id, l.cluster, l.node, l.step)
        and o.first_at > l.first_at and o.first_at <= t.last_at + silence);

  -- What is not in a row yet: the rows near it make way for what they become together.
  with rest as (
    select t.*
    from told_job_label(told) t
    where t.first_at is not null and not exists (
      select from job_label l
      where (l.job_id, l.cluster, l.node, l.step) = (t.job_id, t.cluster, t.node, t.step)
        and l.first_at <= t.first_at and l.last_at >= t.last_at)
  ),
  near as (
    delete from job_label l
    using rest r
    where (l.job_id, l.cluster, l.node, l.step) = (r.job_id, r.cluster, r.node, r.step)
      and l.first_at <= r.last_at + silence and l.last_at >= r.first_at - silence
    returning l.job_id, l.cluster, l.node, l.step, l.first_at, l.last_at, l.stale_at, l.user_name,
      l.account, l.partition, l.labels
  ),
  begun as (
    select p.*, p.first_at > silence + max(p.last_at) over (
      partition by p.job_id, p.cluster, p.node, p.step order by p.first_at
      rows between unbounded preceding and 1 preceding) as begins
    from (select n.* from near n union select r.* from rest r) p
  ),
  numbered as (
    select b.*, count(*) filter (where b.begins) over (
      partition by b.job_id, b.cluster, b.node, b.step order by b.first_at
      rows between unbounded preceding and current row) as stretch
    from begun b
  )
  insert into job_label (job_id, cluster, node, step, first_at, last_at, stale_at, user_name,
    account, partition, labels)
  select n.job_id, n.cluster, n.node, n.step, min(n.first_at), max(n.last_at), max(n.stale_at),
    min(n.user_name), min(n.account), min(n.partition), (array_agg(n.labels order by n.labels))[1]
  from numbered n
  group by n.job_id, n.cluster, n.node, n.step, n.stretch;

  -- A marker says nothing where no sample came shortly before it: silence will end the stretch.
  update job_label l
  set stale_at = greatest(l.stale_at, s.stale_at),
    user_name = least(l.user_name, s.user_name),
    account = least(l.account, s.account),
    partition = least(l.partition, s.partition),
    pending = l.pending or (l.user_name, l.account, l.partition) is distinct from
      (least(l.user_name, s.user_name), least(l.account, s.account),
        least(l.partition, s.partition))
  from (
    select k.job_id, k.cluster, k.node, k.step, k.first_at, max(t.stale_at) as stale_at,
      min(t.user_name) as user_name, min(t.account) as account, min(t.partition) as partition
    from told_job_label(told) t
    join job_label k on (k.job_id, k.cluster, k.node, k.step) = (t.job_id, t.cluster, t.node, t.step)
      and coalesce(t.first_at, t.stale_at) between k.first_at and k.last_at + silence
    where num_nonnulls(t.stale_at, t.user_name, t.account, t.partition) > 0
    group by k.job_id, k.cluster, k.node, k.step, k.first_at
  ) s
  where (l.job_id, l.cluster, l.node, l.step, l.first_at)
      = (s.job_id, s.cluster, s.node, s.step, s.first_at)
    and (l.stale_at, l.user_name, l.account, l.partition) is distinct from
      (greatest(l.stale_at, s.stale_at), least(l.user_name, s.user_name),
        least(l.account, s.account), least(l.partition, s.partition));
end
$$;
comment on function keep_job_labels is
  'Adds to job_label when the labels of jobs were seen. What the table holds then depends on all '
  'that was ever told, not on its order, nor how often.';
