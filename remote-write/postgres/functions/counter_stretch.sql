create or replace function store_stretch(stretch counter_stretch) returns void
language sql
as $$
  insert into counter_stretch as s
  select stretch.* where stretch.to_time > stretch.from_time
  on conflict (frame, position, from_time) do update
  set to_time = excluded.to_time, longest_seconds = excluded.longest_seconds,
    most_lag_seconds = excluded.most_lag_seconds, whole = excluded.whole
  where s.to_time <> excluded.to_time
$$;
comment on function store_stretch is
  'Writes a stretch down, or how far it has come since; one of a single reading is none.';

create or replace function extend_stretches(
  in_frame int4, in_position int2, in_clock_frame int4, in_clock_position int2,
  earliest timestamptz, until timestamptz)
returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  scraped timestamptz[];
  c float8[];
  clock float8[];
  stretch counter_stretch;
  since timestamptz;
  epoch float8;
  at float8;
  before float8;
  latest float8 := '-Infinity';
  not_before timestamptz;
  in_order bool;
begin
  select s.* into stretch
  from counter_stretch s
  where s.frame = in_frame and s.position = in_position
  order by s.from_time desc
  limit 1;
  if stretch.clock_frame is distinct from in_clock_frame
    or stretch.clock_position is distinct from in_clock_position
  then
    delete from counter_stretch s where s.frame = in_frame and s.position = in_position;
    stretch := null;
  end if;
  since := coalesce(stretch.to_time, earliest);
  select array_agg(r.time), array_agg(r.value), array_agg(r.clock) into scraped, c, clock
  from (
    select v.time, v.value, k.value as clock
    from series_values(in_frame, in_position, since, until) v
    left join series_values(in_clock_frame, in_clock_position, since, until) k on k.time = v.time
    where v.value between -1e300 and 1e300
    order by v.time
  ) r;
  if stretch.to_time is distinct from scraped[1] then
    stretch := null;
  end if;
  -- No reading has a time more than 300 s from that of its sample.
  not_before := case when stretch.frame is null then scraped[1] + interval '600 seconds' end;
  for i in 1 .. coalesce(cardinality(scraped), 0) loop
    epoch := date_part('epoch', scraped[i]);
    at := case when abs(clock[i] - epoch) <= 300 then clock[i] else epoch end;
    in_order := at > latest and (in_clock_frame is null or abs(clock[i] - epoch) <= 300) is true;
    if i = 1 and stretch.frame is not null then
      null;
    elsif clock[i] > 0 and clock[i] = clock[i - 1] and c[i] = c[i - 1] and stretch.frame is not null
    then
      stretch.to_time := scraped[i];
      stretch.most_lag_seconds := greatest(stretch.most_lag_seconds, abs(at - epoch));
    elsif in_order and stretch.frame is not null and at - latest <= 300 and c[i] >= before
      and c[i] - before <= 100000 * (at - latest)
    then
      stretch.to_time := scraped[i];
      stretch.longest_seconds := greatest(stretch.longest_seconds, at - latest);
      stretch.most_lag_seconds := greatest(stretch.most_lag_seconds, abs(at - epoch));
      stretch.whole := stretch.whole and c[i] = floor(c[i]);
    else
      perform store_stretch(stretch);
      stretch := null;
      if not in_order then
        not_before := scraped[i] + interval '600 seconds';
      elsif (scraped[i] < not_before) is not true then
        stretch := (in_frame, in_position, in_clock_frame, in_clock_position, scraped[i],
          scraped[i], 0, abs(at - epoch), c[i] = floor(c[i]));
      end if;
    end if;
    latest := greatest(latest, at);
    before := c[i];
  end loop;
  perform store_stretch(stretch);
end
$$;
comment on function extend_stretches is
  'Reads the samples of an energy counter since its last stretch, or since earliest, until until, '
  'and notes where it rose without an event. In a stretch no counter falls or rises by more than '
  '100 kW could make, no step between readings is longer than 300 s, every sample has its device '
  'time if the sensor tells any, within 300 s of the sample''s own, and that rises but for a '
  'reading that was told before. After disorder and at the very beginning the next stretch begins '
  'no sooner than 600 s on, when no reading before can be later.';

create or replace function note_edges(
  in_frame int4, in_position int2, in_clock_frame int4, in_clock_position int2, in_xname text,
  earliest timestamptz)
returns void
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
  insert into edge_reading (frame, position, edge, stretch_from, at, value)
  select in_frame, in_position, e.edge, t.from_time, r.at[n.first:n.last], r.value[n.first:n.last]
  from (
    select distinct u.edge
    from allocation a
    cross join lateral (values (a.started_at), (a.ended_at)) as u (edge)
    where a.xname = in_xname and (a.ended_at >= earliest or a.ended_at is null)
      and u.edge >= earliest
  ) e
  join lateral (
    select s.*,
      make_interval(secs => 2 * s.longest_seconds + s.most_lag_seconds + 1) as margin
    from counter_stretch s
    where s.frame = in_frame and s.position = in_position and s.from_time < e.edge
    order by s.from_time desc
    limit 1
  ) t on e.edge between t.from_time + t.margin and t.to_time - t.margin
  cross join lateral sample_readings(in_frame, in_position, in_clock_frame, in_clock_position,
    array[e.edge - t.margin], array[e.edge + t.margin]) r
  -- As a start, an edge cuts the step that ends behind it, as an end that which ends not before it.
  cross join lateral (
    select width_bucket(date_part('epoch', e.edge), r.at) + 1 as start_nth,
      coalesce(array_position(r.at, date_part('epoch', e.edge)),
        width_bucket(date_part('epoch', e.edge), r.at) + 1) as end_nth
  ) c
  cross join lateral (
    select array_position(r.at, r.at[c.end_nth - 1]) - 1 as first,
      width_bucket(r.at[c.start_nth], r.at) + 1 as last
  ) n
  where n.first >= 1 and n.last <= cardinality(r.at)
    and not exists (
      select from edge_reading o
      where o.frame = in_frame and o.position = in_position and o.edge = e.edge);
end
$$;
comment on function note_edges is
  'Notes the readings of a node''s energy counter around the starts and ends of jobs there since '
  'earliest, where its stretches hold these.';

create or replace function writers_ended() returns bool
language plpgsql
as $$
declare
  -- Who writes now may have judged its samples not late before now is what it is.
  writing constant text[] := array(
    select l.virtualtransaction from pg_locks l
    where l.relation = 'frames'::regclass and l.mode = 'RowExclusiveLock'
      and l.pid <> pg_backend_pid());
begin
  for tries in 1 .. 500 loop
    if not exists (
      select from pg_locks l
      where l.relation = 'frames'::regclass and l.virtualtransaction = any (writing))
    then
      return true;
    end if;
    perform pg_sleep(0.02);
  end loop;
  return false;
end
$$;
comment on function writers_ended is
  'Waits until all transactions that write samples now have ended; false after ten seconds.';

create or replace function note_stretches(asked_now timestamptz) returns int4
language plpgsql
as $$
declare
  until constant timestamptz := asked_now - interval '10 minutes';
  earliest timestamptz;
  oldest timestamptz;
  late_frames int4[];
  late_from timestamptz[];
  late_to timestamptz[];
  counter record;
  counters int4 := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('joulebridge stretches')) or not writers_ended() then
    return null;
  end if;
  select min(p.from_time) into earliest from partitions('frames') p;
  select least(earliest, min(p.from_time)) into oldest from partitions('segments') p;

  with late as (delete from late_frame returning frame, from_time, to_time)
  select array_agg(l.frame), array_agg(l.from_time), array_agg(l.to_time)
  into late_frames, late_from, late_to
  from late l;
  delete from counter_stretch s
  using unnest(late_frames, late_from) as l (frame, from_time)
  where l.frame in (s.frame, s.clock_frame) and s.to_time >= l.from_time;
  perform forget_late_energy(late_frames, late_from, late_to, oldest);

  delete from counter_stretch s where s.to_time < oldest;
  for counter in
    select s.frame, s.position, k.frame as clock_frame, k.position as clock_position,
      s.labels ->> 'xname' as xname
    from series s
    left join lateral (
      select c.frame, c.position
      from series c
      where c.metric = 'cray_sensor_reading_timestamp_seconds'
        and c.labels ->> 'xname' = s.labels ->> 'xname'
        and c.labels ->> 'sensor' = 'ChassisVoltageRegulator0InputEnergy'
        and c.labels @> s.labels
      order by c.id
      limit 1
    ) k on true
    where s.metric = 'cray_node_energy_joules_total'
    order by (
      select max(t.to_time) from counter_stretch t
      where t.frame = s.frame and t.position = s.position) nulls first
  loop
    -- The next run goes on with the others; a service that stops does not wait for long.
    exit when clock_timestamp() > statement_timestamp() + interval '10 seconds';
    perform extend_stretches(counter.frame, counter.position, counter.clock_frame,
      counter.clock_position, earliest, until);
    perform note_edges(counter.frame, counter.position, counter.clock_frame,
      counter.clock_position, counter.xname, earliest);
    delete from edge_reading e
    where e.frame = counter.frame and e.position = counter.position and e.edge < oldest;
    counters := counters + 1;
  end loop;
  return counters;
end
$$;
comment on function note_stretches is
  'Brings counter_stretch and edge_reading up to ten minutes before asked_now, the database''s own '
  'time; the number of counters, or null when another is at it or a writer does not end. It is '
  'exact whatever arrives when: who writes samples more than five minutes old by the database''s '
  'clock names their frames in late_frame, in the same transaction, and what a frame there '
  'overlaps is not used until it is made anew here. A writer that judged before that time holds '
  'its lock on frames until it commits, and is waited for.';
