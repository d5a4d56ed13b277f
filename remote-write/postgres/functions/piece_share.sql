create or replace function piece_share(
  node_joules float8, owned_joules float8, own_joules float8, idle_joules float8, cores float8,
  cores_held float8, node_cores float8, share float8)
returns float8
language sql immutable parallel safe
as $$
  select job_share(case when node_joules < owned_joules then 0 else node_joules - owned_joules end,
    idle_joules, cores, cores_held, node_cores, share) + own_joules
$$;
comment on function piece_share is
  'What a run bears of a node: own_joules of its accelerators, and its share, as job_share() has '
  'it, of what is left of the node without all accelerators that runs own, owned_joules.';
