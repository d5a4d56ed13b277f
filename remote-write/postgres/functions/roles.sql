-- Roles belong to the whole server: other databases may be making them at the same moment, and the
-- login may not be allowed to. Views and partitions that are made later come under the default
-- privileges.
do $$
declare
  schema constant name := current_schema();
  role name;
  kept name;
begin
  -- Up to PostgreSQL 14 everybody may make tables in a schema public, which is the superuser's.
  if pg_has_role(current_user, (select nspowner from pg_namespace where nspname = schema), 'usage')
  then
    execute format('revoke create on schema %I from public', schema);
  end if;
  foreach role in array array['joulebridge_reader', 'joulebridge_writer', 'joulebridge_owner'] loop
    begin
      if to_regrole(role) is null then
        execute format('create role %I nologin', role);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
    if not has_schema_privilege(role, schema, 'usage') then
      execute format('grant usage on schema %I to %I', schema, role);
    end if;
    execute format('grant select on all tables in schema %I to %I', schema, role);
    execute format(
      'alter default privileges in schema %I grant select on tables to %I', schema, role);
  end loop;

  -- What receives, but neither switches power nor migrates.
  for kept in
    select c.relname
    from pg_class c
    where c.relnamespace = schema::regnamespace and c.relkind in ('r', 'p')
      and not c.relispartition
      and c.relname not in ('schema_migration', 'transition', 'task', 'task_step', 'power_cap',
        'power_cap_component', 'audit')
  loop
    execute format('grant insert, update, delete on %I.%I to joulebridge_writer', schema, kept);
  end loop;
  -- Only the owner of a table may attach a partition: it lends its rights.
  execute format(
    'alter function make_partition(text, timestamptz, timestamptz)
     security definer set search_path = %I, pg_temp', schema);
  revoke execute on function make_partition(text, timestamptz, timestamptz) from public;
  grant execute on function make_partition(text, timestamptz, timestamptz)
    to joulebridge_writer, joulebridge_owner;

  execute format('grant all on all tables in schema %I to joulebridge_owner', schema);
  if not has_schema_privilege('joulebridge_owner', schema, 'create') then
    execute format('grant create on schema %I to joulebridge_owner', schema);
  end if;
exception when insufficient_privilege then
  raise warning 'the roles joulebridge_reader, joulebridge_writer and joulebridge_owner are not '
    'kept up to date: %', sqlerrm;
end
$$;
