create or replace function make_partition(parent text, from_time timestamptz, to_time timestamptz)
returns void
language plpgsql
as $$
declare
  name text := parent || '_' || to_char(from_time at time zone 'UTC', 'YYYYMMDD"t"HH24MI');
  key name;
begin
  -- to_regclass would still find a partition that was dropped while we waited for a lock.
  if exists (
    select from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = parent::regclass and c.relname = name
  ) then
    return;
  end if;
  -- Attaching, unlike "create table ... partition of", waits for no reader and stops no writer.
  perform pg_advisory_xact_lock(hashtext('make_partition'));
  if exists (
    select from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = parent::regclass and c.relname = name
  ) then
    return;
  end if;
  select a.attname into strict key
  from pg_partitioned_table p
  join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
  where p.partrelid = parent::regclass;
  execute format(
    'create table %I (like %I including comments including constraints including storage)',
    name, parent);
  execute format(
    'alter table %I add constraint %I check (%I >= %L and %I < %L)',
    name, name || '_time', key, from_time, key, to_time);
  execute format(
    'alter table %I attach partition %I for values from (%L) to (%L)',
    parent, name, from_time, to_time);
end
$$;
comment on function make_partition is
  'Makes the partition of a table by time for [from_time, to_time), if it is not there yet.';

create or replace function partitions(parent text)
returns table (name text, from_time timestamptz, to_time timestamptz)
language sql stable
as $$
  select c.relname::text, bounds.part[1]::timestamptz, bounds.part[2]::timestamptz
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
  cross join lateral regexp_match(
    pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''(.+)''\) TO \(''(.+)''\)$'
  ) as bounds (part)
  where i.inhparent = parent::regclass and bounds.part is not null
  order by 2
$$;
comment on function partitions is 'The partitions of a table by time, each for [from_time, to_time).';

create or replace function drop_partition(name text) returns void
language plpgsql
-- What reads or writes the table must not queue behind us for longer.
set lock_timeout = '100ms'
as $$
begin
  execute format('drop table if exists %I', name);
end
$$;
comment on function drop_partition is
  'Drops a partition. Fails with lock_not_available while somebody uses the table or its parent.';
