create or replace function storage_size() returns table (kind text, bytes int8)
language sql stable
as $$
  select t.kind, sum(pg_total_relation_size(t.name::regclass) + coalesce(parts.bytes, 0))::int8
  from (values
    ('frames', 'frames'), ('segments', 'segments'), ('rollup', 'rollup'),
    ('histogram', 'histogram'), ('exemplar', 'exemplar'),
    ('series', 'series'), ('series', 'target'), ('series', 'frame_counter'),
    ('series', 'metric_metadata'),
    ('jobs', 'job_event'), ('jobs', 'job'), ('jobs', 'allocation'), ('jobs', 'node'),
    ('jobs', 'job_label'), ('jobs', 'job_step'), ('jobs', 'suspension'), ('jobs', 'node_past')
  ) as t (kind, name)
  cross join lateral (
    select sum(pg_total_relation_size(i.inhrelid)) as bytes
    from pg_inherits i
    where i.inhparent = t.name::regclass
  ) parts
  group by t.kind
$$;
comment on function storage_size is
  'Bytes on disk by kind of table, indexes and TOAST included: from the catalog, no row is read.';

create or replace function storage_partition(parent text)
returns table (
  name text, from_time timestamptz, to_time timestamptz, bytes int8, row_count int8,
  sample_count int8, oldest timestamptz, newest timestamptz)
language plpgsql stable
as $$
declare
  part record;
  pages float8;
  looked float8;
begin
  if parent not in ('frames', 'segments') then
    raise 'storage_partition: expected frames or segments, got %', parent;
  end if;
  for part in select p.name, p.from_time, p.to_time from partitions(parent) p loop
    begin
      pages := pg_relation_size(format('%I', part.name)::regclass)
        / current_setting('block_size')::float8;
      name := part.name;
      from_time := part.from_time;
      to_time := part.to_time;
      bytes := pg_total_relation_size(format('%I', part.name)::regclass);
      row_count := 0;
      sample_count := 0;
      oldest := null;
      newest := null;
      if pages > 0 and parent = 'frames' then
        execute format(
          'with looked as (
             select t.ctid, t.frame, cardinality(array_remove(t.v, null)) as samples
             from %1$I t tablesample system (%2$s)
           ),
           edge as (
             select min(first.time) as oldest, max(last.time) as newest
             from (select distinct l.frame from looked l) f
             cross join lateral (
               select t.time from %1$I t where t.frame = f.frame order by t.time limit 1) first
             cross join lateral (
               select t.time from %1$I t where t.frame = f.frame order by t.time desc limit 1) last
           )
           select l.*, e.oldest, e.newest
           from (
             select count(distinct (l.ctid::text::point)[0]), count(*), sum(l.samples) from looked l
           ) l, edge e',
          part.name, least(100, 3200 / pages))
        into looked, row_count, sample_count, oldest, newest;
      elsif pages > 0 then
        execute format(
          'select count(distinct (t.ctid::text::point)[0]), count(*), sum(t.n), min(t.t0), max(t.t1)
           from %I t tablesample system (%s)',
          part.name, least(100, 1600 / pages))
        into looked, row_count, sample_count, oldest, newest;
      end if;
      if row_count > 0 and pages > looked and pages > 32 then
        row_count := row_count * pages / looked;
        sample_count := sample_count * pages / looked;
      end if;
      sample_count := coalesce(sample_count, 0);
    exception when undefined_table then
      -- Dropped meanwhile.
      continue;
    end;
    return next;
  end loop;
end
$$;
comment on function storage_partition is
  'The partitions of frames or segments: their bytes on disk, indexes and TOAST included, and rows, '
  'samples, oldest and newest sample. These are exact for a partition of a few pages; of a larger '
  'one some 32 pages (segments: 16) are looked at and stand for all, so they are about right.';

create or replace function storage_metric()
returns table (metric text, series_count int8, segment_bytes float8)
language plpgsql stable
as $$
declare
  part text;
  pages float8;
begin
  -- Before the sizes are asked for: not every table of the catalog is found by its name alone.
  with parts as materialized (
    select p.from_time, p.name from partitions('segments') p
  )
  select p.name, pg_relation_size(format('%I', p.name)::regclass)
    / current_setting('block_size')::float8
  into part, pages
  from parts p
  where pg_relation_size(format('%I', p.name)::regclass) > 0
  order by p.from_time desc
  limit 1;
  if part is null then
    return query select s.metric, count(*), null::float8 from series s group by s.metric;
    return;
  end if;
  return query execute format(
    'select c.metric, c.series_count, l.segment_bytes
     from (select s.metric, count(*) as series_count from series s group by s.metric) c
     left join (
       select s.metric, avg(octet_length(t.chunk) + 150)::float8 as segment_bytes
       from %I t tablesample system (%s)
       join series s on s.frame = t.frame and s.position = t.position
       group by s.metric
     ) l using (metric)',
    part, least(100, 6400 / pages));
end
$$;
comment on function storage_metric is
  'Each metric with the number of its series and, from some 64 pages of the latest segments, about '
  'how many bytes a segment of one of them takes; null: none was among these.';
