create or replace function nodelist_names(nodelist text) returns setof text
language plpgsql immutable strict parallel safe
as $$
declare
  item text;
  part text[];
  names text[];
begin
  if trim(nodelist) in ('', '(null)', 'None', 'None assigned') then
    return;
  end if;
  for item in select m[1] from regexp_matches(nodelist, '((?:\[[^]]*\]|[^][,])+)', 'g') as m loop
    names := array[''];
    for part in select regexp_matches(trim(item), '\[([^]]*)\]|([^[]+)', 'g') loop
      names := array(
        select n.name || t.name
        from unnest(names) as n (name)
        cross join (
          select part[2] as name where part[2] is not null
          union all
          select lpad(i::text, greatest(length(r.low), length(i::text)), '0')
          from (
            select split_part(b, '-', 1) as low, substring(b from '\d+$') as high
            from unnest(string_to_array(part[1], ',')) as b
          ) r
          cross join generate_series(r.low::int8, r.high::int8) as i
        ) t);
    end loop;
    return query select unnest(names);
  end loop;
end
$$;
comment on function nodelist_names is
  'The names in a Slurm hostlist such as nid[000001-000003,000007],login1, which is well formed.';
