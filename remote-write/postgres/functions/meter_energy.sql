drop function if exists part_before(float8, float8, float8, float8, float8);

create or replace function part_before(
  at float8, t0 float8, t1 float8, watts float8, watts_before float8, watts_after float8)
returns float8
language sql immutable parallel safe
as $$
  select case
    when at >= t1 then 1
    when at <= t0 then 0
    -- The jump lies where these three say: after this part of the step.
    when (watts - watts_after) / nullif(watts_before - watts_after, 0) between 0 and 1 then (
      watts_before
        * least((at - t0) / (t1 - t0), (watts - watts_after) / (watts_before - watts_after))
      + watts_after * greatest(
        (at - t0) / (t1 - t0) - (watts - watts_after) / (watts_before - watts_after), 0)) / watts
    else (at - t0) / (t1 - t0) end
$$;
comment on function part_before is
  'Which part, 0 to 1, of the energy of a step from t0 to t1 was drawn before the instant at: '
  'watts is the mean power of the step. Where it lies between the power before and after the '
  'step, power jumped once from the one to the other; else, or where these are null, it was even.';

create or replace function counter_rise(c0 float8, c1 float8, seconds float8) returns float8
language sql immutable parallel safe
as $$
  select case when case when c1 < c0 then c1 else c1 - c0 end between 1e-30 and 100000 * seconds
    then case when c1 < c0 then c1 else c1 - c0 end else 0 end
$$;
comment on function counter_rise is
  'Joules that a step of an energy counter from c0 to c1 counts: after a fall it is c1, counted '
  'from zero; more than 100 kW could make is nothing, as is less than 1e-30 J: parts of the least '
  'numbers that a float8 can hold are an error to PostgreSQL.';

create or replace function counter_watts(c0 float8, c1 float8, seconds float8) returns float8
language sql immutable parallel safe
as $$
  select case when c1 >= c0 and c1 - c0 <= 100000 * seconds
    then case when c1 - c0 < 1e-30 then 0 else (c1 - c0) / seconds end end
$$;
comment on function counter_watts is
  'Mean power of a step of an energy counter; null where it is a reset: it fell, or rose more '
  'than 100 kW could make. Less than 1e-30 J is none, as in counter_rise().';

drop function if exists counter_energy(
  int4[], int2[], int4[], int2[], timestamptz, timestamptz, float8);

create or replace function counter_energy(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz, max_gap_seconds float8,
  every_sample bool default false)
returns table (
  joules float8, joules_low float8, joules_high float8, metered_seconds float8,
  covered_seconds float8, resets int4)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  from_at constant float8 := date_part('epoch', from_time);
  to_at constant float8 := date_part('epoch', to_time);
  at float8[];
  c float8[];
  n int4;
  -- The step i leads from reading i - 1 to reading i. These are the first and last that matter.
  first int4;
  last int4;
  hole_at float8;
  is_whole bool;
  has_parts bool;
  is_clocked bool;
  plain float8;
  plain_from float8;
  rise float8;
  watts float8;
  before float8;
  after float8;
  near bool;
  high float8 := 0;
  most_watts float8;
  reset_seconds float8 := 0;
  reset_joules float8 := 0;
begin
  if not every_sample then
    select r.at, r.value, r.hole_at, r.is_whole, clock_frames[1] is not null
    into at, c, hole_at, is_whole, is_clocked
    from edge_readings(
      frames, positions, clock_frames, clock_positions, from_time, to_time, max_gap_seconds) r;
  end if;
  if at is null then
    select r.at, r.value, r.is_clocked into at, c, is_clocked
    from meter_readings(frames, positions, clock_frames, clock_positions, from_time, to_time) r;
  end if;
  n := coalesce(cardinality(at), 0);
  first := greatest(width_bucket(from_at, at) + 1, 2);
  last := width_bucket(to_at, at);
  last := least(case when at[last] = to_at then last else last + 1 end, n);
  if n < 2 or first > last or from_at >= to_at then
    return;
  end if;

  joules := 0;
  joules_low := 0;
  metered_seconds := least(at[last], to_at) - greatest(at[first - 1], from_at);
  covered_seconds := metered_seconds;
  resets := 0;
  -- Steps between which nothing happens need no look: together they are their last value less
  -- their first. What they rose is added up apart from the others, which may be of any size.
  plain := 0;
  plain_from := c[first - 1];
  for i in first .. last loop
    continue when c[i] >= c[i - 1] and c[i] - c[i - 1] <= 100000 * (at[i] - at[i - 1])
      and (at[i] - at[i - 1] <= max_gap_seconds or at[i - 1] = hole_at) and i > first and i < last;
    plain := plain + (c[i - 1] - plain_from);
    plain_from := c[i];
    rise := counter_rise(c[i - 1], c[i], at[i] - at[i - 1]);
    watts := counter_watts(c[i - 1], c[i], at[i] - at[i - 1]);
    before := counter_watts(c[i - 2], c[i - 1], at[i - 1] - at[i - 2]);
    after := counter_watts(c[i], c[i + 1], at[i + 1] - at[i]);
    near := watts > 0 and at[i] - at[i - 2] <= 300 and at[i + 1] - at[i - 1] <= 300;
    before := case when near then before end;
    joules := joules + rise * (part_before(to_at, at[i - 1], at[i], watts, before, after)
      - part_before(from_at, at[i - 1], at[i], watts, before, after));
    high := high + rise;
    if at[i - 1] >= from_at and at[i] <= to_at then
      joules_low := joules_low + rise;
    end if;
    if at[i] - at[i - 1] > max_gap_seconds then
      covered_seconds := covered_seconds - (least(at[i], to_at) - greatest(at[i - 1], from_at));
    end if;
    if watts is null then
      resets := resets + 1;
      reset_seconds := reset_seconds + at[i] - at[i - 1];
      reset_joules := reset_joules + rise;
    end if;
  end loop;
  has_parts := exists (
    select from unnest(c[greatest(first - 2, 1):last + 1]) u where u <> floor(u));
  -- The bounds then depend on readings that were not looked at.
  if hole_at is not null and (resets > 0 or not is_whole and not has_parts) then
    return query select e.* from counter_energy(
      frames, positions, clock_frames, clock_positions, from_time, to_time, max_gap_seconds,
      true) e;
    return;
  end if;
  plain := plain + (c[last] - plain_from);
  plain := case when abs(plain) < 1e-30 then 0 else plain end;
  joules := joules + plain;
  -- A counter of whole joules may be one off at either end.
  joules_low := joules_low + plain;
  high := high + plain;
  if not has_parts then
    joules_low := joules_low - 1;
    high := high + 1;
  end if;
  -- The device's clock may be a second off, and power twice its mean then.
  if is_clocked then
    rise := 0;
    foreach n in array array[first, last] loop
      rise := rise + coalesce(2 * greatest(
        counter_watts(c[n - 2], c[n - 1], at[n - 1] - at[n - 2]),
        counter_watts(c[n - 1], c[n], at[n] - at[n - 1]),
        counter_watts(c[n], c[n + 1], at[n + 1] - at[n])), 0);
    end loop;
    n := cardinality(at);
    joules_low := joules_low - rise;
    high := high + rise;
  end if;
  joules_low := greatest(joules_low, 0);
  if resets > 0 then
    select max(counter_watts(s.c0, s.c1, s.t1 - s.t0)) into most_watts
    from unnest(c, c[2:], at, at[2:]) as s (c0, c1, t0, t1);
    high := high + greatest(2 * most_watts * reset_seconds - reset_joules, 0 * most_watts);
  end if;
  joules_high := case when at[1] <= from_at and at[n] >= to_at then high end;
  return next;
end
$$;
comment on function counter_energy is
  'Energy of one meter in [from_time, to_time) from its energy counter; no row without two '
  'readings around some part of it. The step between two readings that an edge cuts is divided as '
  'if power jumped once within it, from that of the step before to that of the step after, where '
  'these lie within 300 s and its own mean lies between them, else evenly. A fall is a restart '
  'from zero: the new value counts. A rise that 100 kW could not make counts nothing. Both are '
  'resets. Only the part between the first and the last reading is metered; a longer gap than '
  'max_gap_seconds counts by its readings but is not covered. joules_low leaves out the steps '
  'that an edge cuts, joules_high has them whole, and for the steps with resets twice the highest '
  'power seen; null: a reading beyond an edge is missing. Counters of whole joules widen both by '
  '1 J. Where counter_stretch knows that nothing happened between the edges, it reads but the '
  'samples around them, with the same result; every_sample: it reads all.';

create or replace function power_energy(
  frames int4[], positions int2[], clock_frames int4[], clock_positions int2[],
  from_time timestamptz, to_time timestamptz, max_gap_seconds float8)
returns table (joules float8, covered_seconds float8)
language sql stable parallel safe
as $$
  select sum(e.joules), sum(e.seconds)
  from (
    select p.r - p.l as seconds,
      (p.r - p.l) * (p.w0 + (p.w1 - p.w0) * ((p.l + p.r) / 2 - p.t0) / (p.t1 - p.t0)) as joules
    from (
      select i.t0, i.t1, i.w0, i.w1,
        greatest(i.t0, date_part('epoch', from_time)) as l,
        least(i.t1, date_part('epoch', to_time)) as r
      from (
        select lag(r.at) over w as t0, r.at as t1, lag(r.watts) over w as w0, r.watts as w1
        from meter_readings(
          frames, positions, clock_frames, clock_positions, from_time, to_time) m
        cross join lateral (
          select u.at, case when abs(u.value) < 1e-30 then 0 else u.value end as watts
          from unnest(m.at, m.value) as u (at, value)
          where u.value between -1e6 and 1e6
        ) r
        window w as (order by r.at)
      ) i
      where i.t1 - i.t0 <= max_gap_seconds
    ) p
    where p.r > p.l
  ) e
  having count(*) > 0
$$;
comment on function power_energy is
  'Energy of one meter in [from_time, to_time) as the integral of its power, linear between '
  'readings; a gap over max_gap_seconds adds nothing, and what no node or chassis draws, more than '
  'a megawatt, is no reading. No row where nothing is covered.';
