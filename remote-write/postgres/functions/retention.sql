create or replace function without_positions(cells anyarray, positions int2[]) returns anyarray
language sql immutable parallel safe
as $$
  select array_agg(
    case when ((c.nth - 1) & 63)::int2 <> all (positions) then c.cell end order by c.nth)
  from unnest(cells) with ordinality as c (cell, nth)
$$;
comment on function without_positions is
  'An array of a rollup row with null for the series at these positions, in every hour.';
