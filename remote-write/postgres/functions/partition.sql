create or replace function make_partition(parent text, from_time timestamptz, to_time timestamptz)
returns void
language plpgsql
as $$
declare
  name text := parent || '_' || to_char(from_time at time zone 'UTC', 'YYYYMMDD"t"HH24MI');
begin
  -- Attaching, unlike "create table ... partition of", waits for no reader and stops no writer.
  perform pg_advisory_xact_lock(hashtext('make_partition'));
  if to_regclass(name) is not null then
    return;
  end if;
  execute format('create table %I (like %I including comments including constraints)', name, parent);
  execute format(
    'alter table %I add constraint %I check (time >= %L and time < %L)',
    name, name || '_time', from_time, to_time);
  execute format(
    'alter table %I attach partition %I for values from (%L) to (%L)',
    parent, name, from_time, to_time);
end
$$;
comment on function make_partition is
  'Makes the partition of a table by time for [from_time, to_time), if it is not there yet.';
