-- A series goes in two steps, so that no writer of known series ever waits, and none writes under
-- an id that went: a mark and a new epoch say that the id holds no more; once no transaction of an
-- earlier epoch is at work, and nothing came meanwhile, the row goes. Who wants the id in between
-- asks give_series_ids, which takes the mark away.

create or replace function enter_epoch(known int4) returns int4
language plpgsql
as $$
begin
  -- Before the look: whoever ends an epoch either sees the lock, or we see that it has ended.
  perform pg_advisory_xact_lock_shared(hashtext('joulebridge series epoch'), known);
  if not exists (select from series_epoch where epoch = known) then
    raise 'ids of series are of the epoch %, which is over', known using errcode = 'JB001';
  end if;
  return known;
end
$$;
comment on function enter_epoch is
  'To be called in each transaction that writes rows by ids of series known in this epoch: until '
  'the transaction ends none of them goes. Fails with JB001 when the epoch is over.';

create or replace function is_epoch_left() returns bool
language sql volatile
as $$
  select not exists (
    select from pg_locks l
    where l.locktype = 'advisory'
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.classid::int8 = (hashtext('joulebridge series epoch')::int8 & 4294967295)
      and l.objsubid = 2
      and l.objid::int8 < (select e.epoch from series_epoch e)
  )
$$;
comment on function is_epoch_left is
  'Whether no transaction of an earlier epoch is at work: what it wrote, later statements see.';

-- "offset 0" has PostgreSQL look up each series by an index, never read a table as a whole.
create or replace function empty_series(asked int4[]) returns setof int4
language sql stable
as $$
  select s.id
  from series s
  where s.id = any (asked)
    and not exists (
      select from segments g where g.frame = s.frame and g.position = s.position offset 0)
    and not exists (
      select from rollup r
      where r.frame = s.frame
        and coalesce(r.n[s.position + 1], r.n[s.position + 65], r.n[s.position + 129],
          r.n[s.position + 193]) is not null
      offset 0)
    and not exists (
      select from histogram h where h.frame = s.frame and h.position = s.position offset 0)
    and not exists (
      select from exemplar x where x.frame = s.frame and x.position = s.position offset 0)
    and not exists (
      select from frames f
      where f.frame = s.frame and f.v[s.position + 1] is not null
      offset 0)
$$;
comment on function empty_series is
  'Those of the series that have nothing left: no sample, histogram, exemplar or roll-up.';

create or replace function mark_series(asked int4[]) returns int8
language sql
as $$
  with marked as (
    insert into forgotten_series (id, epoch)
    select s.id, e.epoch + 1 from empty_series(asked) s (id) cross join series_epoch e
    on conflict (id) do nothing
    returning id
  )
  select count(*) from marked
$$;
comment on function mark_series is
  'Marks those that have nothing left, for when the next epoch begins; returns how many.';

create or replace function begin_epoch() returns void
language sql
as $$
  update series_epoch e
  set epoch = e.epoch + 1
  where exists (select from forgotten_series f where f.epoch > e.epoch)
$$;
comment on function begin_epoch is 'From here on the ids that are marked hold no more.';

create or replace function forget_series(most int4) returns table (taken int8, forgotten int8)
language plpgsql
as $$
declare
  marked int4[];
  gone int4[];
begin
  select array_agg(f.id) into marked
  from (
    select f.id
    from forgotten_series f cross join series_epoch e
    where f.forgotten_at is null and f.epoch <= e.epoch
    order by f.id
    limit most
  ) f;
  gone := array(select empty_series(marked));
  -- Held to the end: nobody gets one of these ids meanwhile.
  perform from frame_counter for update;
  gone := array(
    select f.id from forgotten_series f where f.id = any (gone) and f.forgotten_at is null);
  delete from series where id = any (gone);
  delete from counter_stretch c
  using unnest(gone) g (id)
  where c.frame = g.id >> 6 and c.position = g.id & 63;
  update forgotten_series set forgotten_at = now() where id = any (gone);
  delete from forgotten_series
  where id = any (marked) and id <> all (gone) and forgotten_at is null;
  return query select coalesce(cardinality(marked), 0)::int8, cardinality(gone)::int8;
end
$$;
comment on function forget_series is
  'Has marked series go, to be called when is_epoch_left: how many marks it took up, and of how '
  'many series nothing is left now. What came back loses its mark.';

create or replace function free_frames(before timestamptz, most int4) returns int8
language plpgsql
as $$
declare
  lost int4[];
  freed int4[];
begin
  lost := array(
    select f.id from forgotten_series f where f.forgotten_at < before order by f.id limit most);
  if lost = '{}' then
    return 0;
  end if;
  perform from frame_counter for update;
  update series_epoch
  set kept_epoch = greatest(
    kept_epoch, (select max(f.epoch) from forgotten_series f where f.id = any (lost)));
  delete from forgotten_series where id = any (lost);
  freed := array(
    select distinct l.id >> 6
    from unnest(lost) l (id)
    where not exists (
        select from series s where s.id between (l.id >> 6) * 64 and (l.id >> 6) * 64 + 63)
      and not exists (
        select from forgotten_series f
        where f.id between (l.id >> 6) * 64 and (l.id >> 6) * 64 + 63));
  delete from target where frame = any (freed);
  delete from late_frame where frame = any (freed);
  delete from counter_stretch where frame = any (freed) or clock_frame = any (freed);
  insert into free_frame (frame) select unnest(freed) on conflict (frame) do nothing;
  return cardinality(lost);
end
$$;
comment on function free_frames is
  'Loses the marks of series that were forgotten before that time, and gives frames free in which '
  'none is left; how many marks.';
