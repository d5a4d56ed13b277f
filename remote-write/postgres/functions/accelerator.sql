create or replace function accelerator_energy(
  asked_xname text, accelerator int2, from_time timestamptz, to_time timestamptz,
  max_gap_seconds float8)
returns table (
  joules float8, joules_low float8, joules_high float8, method text, frames int4[],
  positions int2[], clock_frames int4[], clock_positions int2[])
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
as $$
begin
  return query
  select e.joules, e.joules_low, e.joules_high, 'counter', m.frames, m.positions, m.clock_frames,
    m.clock_positions
  from node_meter(array[asked_xname], 'cray_pm_energy_joules_total', '',
    jsonb_build_object('domain', 'accel' || accelerator)) m
  cross join lateral counter_energy(m.frames, m.positions, m.clock_frames, m.clock_positions,
    from_time, to_time, max_gap_seconds) e
  order by e.covered_seconds desc, m.meter
  limit 1;
  if not found then
    return query
    select e.joules, 0::float8, null::float8, 'power', m.frames, m.positions, m.clock_frames,
      m.clock_positions
    from node_meter(array[asked_xname], 'cray_accelerator_power_watts', '',
      jsonb_build_object('accelerator', accelerator::text)) m
    cross join lateral power_energy(m.frames, m.positions, m.clock_frames, m.clock_positions,
      from_time, to_time, max_gap_seconds) e
    order by e.covered_seconds desc, m.meter
    limit 1;
  end if;
end
$$;
comment on function accelerator_energy is
  'Energy of an accelerator of a node, by its number from 0, in joules: from its energy counter, '
  'else from its power, which bounds nothing. No row where nobody measured it. Beside it its '
  'meter, as node_meter() has it.';

create or replace function measured_accelerators(own int2[], measured jsonb, figure text)
returns float8
language plpgsql immutable parallel safe
as $$
begin
  return coalesce((
    select sum((e ->> figure)::float8 / (e ->> 'owners')::float8)
    from jsonb_array_elements(measured) e
    where (e ->> 'accelerator')::int2 = any (own)), 0);
end
$$;
comment on function measured_accelerators is
  'own_accelerators() where there are any.';

create or replace function own_accelerators(own int2[], measured jsonb, figure text)
returns float8
language sql immutable parallel safe
as $$
  -- Mostly there are none: this costs nothing, as a call would.
  select case when measured is null or own is null then 0
    else measured_accelerators(own, measured, figure) end
$$;
comment on function own_accelerators is
  'What a run bears of the accelerators that metered_piece() has of a piece, by the numbers of its '
  'own; those that several runs have they bear alike. figure: joules, joules_low or joules_high.';

create or replace function accelerator_readings(
  own int2[], measured jsonb, from_time timestamptz, to_time timestamptz)
returns jsonb
language plpgsql stable parallel safe
as $$
#variable_conflict use_column
begin
  return (
    select jsonb_agg(jsonb_build_object('accelerator', e.accelerator,
        'part', case when e.accelerator = any (own) then 1.0 / e.owners else 0 end,
        'joules', e.joules, 'method', e.method, 'times', to_jsonb(r.at),
        'readings', to_jsonb(r.value)) order by e.accelerator)
    from jsonb_to_recordset(measured) as e (
      accelerator int2, owners int4, joules float8, method text, frames int4[], positions int2[],
      clock_frames int4[], clock_positions int2[])
    cross join lateral meter_readings(
      e.frames, e.positions, e.clock_frames, e.clock_positions, from_time, to_time) r);
end
$$;
comment on function accelerator_readings is
  'The accelerators that metered_piece() has of a piece, each with the part that a run bears of '
  'it, by the numbers of its own, and the readings of its energy counter or, where method is power, of '
  'its power, as job_readings() has those of the node.';
