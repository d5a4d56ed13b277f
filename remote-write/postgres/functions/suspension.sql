create or replace function is_suspended(asked_run int8, asked_time timestamptz) returns bool
language plpgsql stable parallel safe
as $$
begin
  return exists (
    select from suspension s
    where s.run = asked_run and s.started_at <= asked_time
      and (s.ended_at > asked_time or s.ended_at is null));
end
$$;
comment on function is_suspended is 'Whether a run (job.id) is known to have been suspended then.';

create or replace function run_part(
  run int8, at timestamptz, cores float8, busy_cores float8, cores_held float8,
  cores_running float8, busy_running float8)
returns float8
language sql stable parallel safe
as $$
  select case when cores_running < cores_held and is_suspended(run, at) then 0
    else busy_share(cores, cores_running, busy_cores, busy_running) end
$$;
comment on function run_part is
  'The part of a run in what a node draws above its floor: none while it is suspended and another '
  'is not, else as busy_share() has it.';

create or replace function forget_shared_energy() returns trigger
language plpgsql
as $$
begin
  delete from run_energy k
  using (
    select distinct o.run
    from changed c
    join allocation a on a.run = c.run
    join allocation o on o.xname = a.xname
      and o.started_at < coalesce(a.ended_at, 'infinity') and o.ended_at > a.started_at
  ) r
  where k.run = r.run;
  return null;
end
$$;
comment on function forget_shared_energy is
  'Deletes from run_energy the runs that share a node with one whose suspensions changed.';
