create or replace function frames_merge(old float8[], new float8[]) returns float8[]
language sql immutable parallel safe
as $$
  select array_agg(coalesce(u.old, u.new) order by u.nth)
  from unnest(old, new) with ordinality as u (old, new, nth)
$$;
comment on function frames_merge is
  'Both rows'' values by position; where both have one, the old stays: a retry changes nothing.';
