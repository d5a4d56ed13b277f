create or replace function label_matcher(matchers jsonb)
returns table (label text, operator text, operand text)
language plpgsql stable
as $$
declare
  name text;
  asked jsonb;
begin
  if jsonb_typeof(matchers) <> 'object' then
    raise 'matchers: expected an object like {"xname": "x1000c0s0b0n0"}, got %', matchers
      using errcode = 'invalid_parameter_value';
  end if;
  for name, asked in select * from jsonb_each(matchers) loop
    if jsonb_typeof(asked) = 'string' then
      asked := jsonb_build_object('=', asked);
    end if;
    if jsonb_typeof(asked) <> 'object' then
      raise 'matchers: label "%": expected a string or an object like {"=~": "x1000.*"}, got %',
        name, asked using errcode = 'invalid_parameter_value';
    end if;
    for operator, operand in select * from jsonb_each_text(asked) loop
      if operator not in ('=', '!=', '=~', '!~') then
        raise 'matchers: label "%": expected one of =, !=, =~, !~, got "%"', name, operator
          using errcode = 'invalid_parameter_value';
      end if;
      if jsonb_typeof(asked -> operator) <> 'string' then
        raise 'matchers: label "%" %: expected a string, got %', name, operator, asked -> operator
          using errcode = 'invalid_parameter_value';
      end if;
      label := name;
      if operator in ('=~', '!~') then
        operand := '^(?:' || operand || ')$';
        begin
          perform '' ~ operand;
        exception when invalid_regular_expression then
          raise 'matchers: label "%" %: % in "%"', name, operator, sqlerrm, asked ->> operator
            using errcode = 'invalid_regular_expression';
        end;
      end if;
      return next;
    end loop;
  end loop;
end
$$;
comment on function label_matcher is
  'The matchers as rows; the operand of =~ and !~ is an anchored regular expression.';

create or replace function matching_series(asked_metric text, matchers jsonb)
returns table (id int4, frame int4, "position" int2, metric text, labels jsonb)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  names text[];
  operators text[];
  operands text[];
  equal jsonb;
begin
  select array_agg(m.label), array_agg(m.operator), array_agg(m.operand),
    coalesce(jsonb_object_agg(m.label, m.operand)
      filter (where m.operator = '=' and m.operand <> '' and m.label <> '__name__'), '{}')
  into names, operators, operands, equal
  from label_matcher(coalesce(matchers, '{}')) m;
  return query
  select s.id, s.frame, s.position, s.metric, s.labels
  from series s
  where (asked_metric is null or s.metric = asked_metric)
    and s.labels @> equal
    and not exists (
      select
      from unnest(names, operators, operands) as m (label, operator, operand)
      cross join lateral (values (
        case m.label when '__name__' then s.metric else coalesce(s.labels ->> m.label, '') end
      )) as l (value)
      where case m.operator
        when '=' then l.value <> m.operand
        when '!=' then l.value = m.operand
        when '=~' then l.value !~ m.operand
        else l.value ~ m.operand end);
end
$$;
comment on function matching_series is
  'Series of a metric (null: of any) whose labels match all matchers: {"label": "value"} for '
  'equality, {"label": {"=~": "x1000c0.*"}} for the others of =, !=, =~, !~, also several for one '
  'label. As in PromQL an absent label is equal to "", and regular expressions (PostgreSQL''s) '
  'match the whole value; __name__ is the metric.';

create or replace function samples(
  metric text, matchers jsonb, from_time timestamptz, to_time timestamptz)
returns table (series_id int4, labels jsonb, "time" timestamptz, value float8)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  ids int4[];
  frame_numbers int4[];
begin
  -- Which frames, then when: both constants, so that only what is asked for is read.
  select array_agg(m.id), array_agg(distinct m.frame) into ids, frame_numbers
  from matching_series(samples.metric, matchers) m;
  return query
  select s.id, s.labels, f.time, f.v[s.position + 1]
  from series s
  join frames f on f.frame = s.frame
  where s.id = any (ids) and f.frame = any (frame_numbers)
    and f.time between from_time and to_time and f.v[s.position + 1] <> 'NaN'
  union all
  select s.id, s.labels, c.time, c.value
  from series s
  join segments g on g.frame = s.frame and g.position = s.position
  cross join lateral chunk_samples(g.chunk, from_time, to_time) c
  where s.id = any (ids) and g.frame = any (frame_numbers)
    and g.t0 > from_time - interval '4 hours' and g.t0 <= to_time and g.t1 >= from_time
    and c.value <> 'NaN';
end
$$;
comment on function samples is
  'Samples of all series that match (see matching_series) from from_time to to_time, both '
  'included, in no order; NaN left out.';

create or replace function latest(
  metric text, matchers jsonb, look_back interval default '5 minutes',
  at timestamptz default now())
returns table (series_id int4, labels jsonb, "time" timestamptz, value float8)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  since timestamptz := at - look_back;
  ids int4[];
begin
  ids := array(select m.id from matching_series(latest.metric, matchers) m);
  return query
  select s.id, s.labels, n.time, n.value
  from series s
  cross join lateral (
    (select f.time, f.v[s.position + 1] as value
    from frames f
    where f.frame = s.frame and f.time > since and f.time <= at
      and f.v[s.position + 1] is not null
    order by f.time desc
    limit 1)
    union all
    (select c.time, c.value
    from segments g
    cross join lateral chunk_samples(g.chunk, since, at) c
    where g.frame = s.frame and g.position = s.position
      and g.t0 > since - interval '4 hours' and g.t0 <= at and g.t1 > since and c.time > since
    order by c.time desc
    limit 1)
    order by 1 desc
    limit 1
  ) n
  where s.id = any (ids) and n.value <> 'NaN';
end
$$;
comment on function latest is
  'The newest sample in (at - look_back, at] of each series that matches (see matching_series); '
  'a series whose newest is a stale marker has ended and is left out.';
