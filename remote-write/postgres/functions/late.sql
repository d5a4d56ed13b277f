create or replace function window_number(at timestamptz) returns int4
language sql immutable strict parallel safe
as $$ select floor(extract(epoch from at) / 14400)::int4 $$;
comment on function window_number is 'Number of the window of 4 h, counted from 1970 in UTC.';

create or replace function window_start(number int4) returns timestamptz
language sql immutable strict parallel safe
as $$ select to_timestamp(number * 14400.0) $$;
comment on function window_start is 'When a window of 4 h begins.';

create or replace function open_late_window(asked_window int4) returns void
language plpgsql
as $$
begin
  -- Compaction holds it alone.
  perform pg_advisory_xact_lock_shared(hashtext('joulebridge window'), asked_window);
  perform make_partition('frames', window_start(asked_window), window_start(asked_window + 1));
end
$$;
comment on function open_late_window is
  'To be called before rows are written whose window may be compacted: until the transaction ends '
  'no sample of the window moves from frames to segments, and its partition of frames is there.';

create or replace function drop_empty_window(asked_window int4, name text) returns bool
language plpgsql
set lock_timeout = '100ms'
as $$
declare
  is_empty bool;
begin
  perform pg_advisory_xact_lock(hashtext('joulebridge window'), asked_window);
  -- Nobody's row may come between the look and the end, not even one written another way.
  execute format('lock table %I in share mode', name);
  execute format('select not exists (select from %I)', name) into is_empty;
  if is_empty then
    perform drop_partition(name);
  end if;
  return is_empty;
end
$$;
comment on function drop_empty_window is
  'Drops a window''s partition of frames if it holds no row; whether it did. Fails with '
  'lock_not_available while somebody uses it.';
