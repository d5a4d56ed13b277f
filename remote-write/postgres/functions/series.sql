create or replace function give_series_ids(asked jsonb) returns setof int4
language plpgsql
as $$
declare
  first_frame int4;
  free int4[];
begin
  -- Held until the transaction ends: receivers give ids one after the other, and what is below
  -- sees all that was given before.
  select next_frame into first_frame from frame_counter for update;
  free := array(select frame from free_frame order by frame limit jsonb_array_length(asked));

  with request as (
    select distinct on (r.metric, r.labels) r.metric, r.labels, r.target, e.nth
    from jsonb_array_elements(asked) with ordinality as e (entry, nth)
    cross join lateral jsonb_to_record(e.entry) as r (metric text, labels jsonb, target jsonb)
    order by r.metric, r.labels, e.nth
  ),
  -- The n-th new series of a target takes slot used + n. Slots below 64 lie in its latest frame,
  -- each 64 more in another new frame. A target without a frame counts as one whose frame is full.
  slotted as (
    select q.metric, q.labels, q.target, t.frame as latest_frame,
      coalesce(t.used, 64) - 1 + row_number() over (partition by q.target order by q.nth) as slot,
      min(q.nth) over (partition by q.target) as target_nth
    from request q
    left join target t on t.fingerprint = labels_fingerprint('', q.target)
    where not exists (
      select from series s where s.fingerprint = labels_fingerprint(q.metric, q.labels)
    )
  ),
  placed as (
    select metric, labels, target, latest_frame as frame, (slot % 64)::int4 as position, 0 as nth
    from slotted where slot < 64
    union all
    select metric, labels, target,
      coalesce(free[nth], (first_frame - 1 + nth - cardinality(free))::int4),
      (slot % 64)::int4, nth
    from (
      select *, (dense_rank() over (order by target_nth, slot / 64))::int4 as nth
      from slotted where slot >= 64
    ) n
  ),
  used_again as (
    delete from free_frame where frame = any (free[1:(select max(nth) from placed)])
  ),
  made as (
    insert into series (id, metric, labels)
    select frame * 64 + position, metric, labels from placed
  ),
  moved as (
    insert into target (labels, frame, used)
    select distinct on (target) target, frame, position + 1
    from placed order by target, nth desc, position desc
    on conflict (fingerprint) do update set frame = excluded.frame, used = excluded.used
  )
  update frame_counter
  set next_frame = greatest(next_frame, (select max(frame) + 1 from placed));

  return query
    with asked_series as (
      select s.id, e.nth
      from jsonb_array_elements(asked) with ordinality as e (entry, nth)
      join series s on s.fingerprint = labels_fingerprint(e.entry ->> 'metric', e.entry -> 'labels')
    ),
    wanted_again as (
      delete from forgotten_series f using asked_series a
      where f.id = a.id and f.forgotten_at is null
    )
    select a.id from asked_series a order by a.nth;
end
$$;
comment on function give_series_ids is
  'Ids of the series in asked, [{metric, labels, target}, ...], in the same order, for this epoch. '
  'Those that have none get one: the next free position in the latest frame of their target, or a '
  'frame that is free or new.';
