create or replace function frames_merge(old float8[], new float8[]) returns float8[]
language sql immutable parallel safe
as $$
  select array_agg(coalesce(u.old, u.new) order by u.nth)
  from unnest(old, new) with ordinality as u (old, new, nth)
$$;
comment on function frames_merge is
  'Both rows'' values by position; where both have one, the old stays: a retry changes nothing.';

create or replace function make_frames_partition(from_time timestamptz, to_time timestamptz)
returns void
language plpgsql
as $$
declare
  name text := 'frames_' || to_char(from_time at time zone 'UTC', 'YYYYMMDD"t"HH24MI');
begin
  -- Attaching, unlike "create table ... partition of", waits for no reader and stops no writer.
  perform pg_advisory_xact_lock(hashtext('make_frames_partition'));
  if to_regclass(name) is not null then
    return;
  end if;
  execute format('create table %I (like frames including comments)', name);
  execute format(
    'alter table %I add constraint %I check (time >= %L and time < %L)',
    name, name || '_time', from_time, to_time);
  execute format(
    'alter table frames attach partition %I for values from (%L) to (%L)',
    name, from_time, to_time);
end
$$;
comment on function make_frames_partition is
  'Makes the partition of frames for times in [from_time, to_time), if it is not there yet.';
