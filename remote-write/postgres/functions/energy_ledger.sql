create or replace function energy_ledger(
  from_time timestamptz, to_time timestamptz, max_gap_seconds float8 default 300,
  asked_xnames text[] default null)
returns table (
  xname text, kind text, cluster text, job_id int8, user_name text, account text,
  joules int8, meter_joules int8, metered_seconds float8)
language plpgsql stable parallel safe
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with node as materialized (
    select d.xname, row_number() over () as nth
    from (
      select distinct s.labels ->> 'xname' as xname
      from series s
      where s.metric in ('cray_node_energy_joules_total', 'cray_node_power_watts')
        and (asked_xnames is null or s.labels ->> 'xname' = any (asked_xnames))
    ) d
  ),
  metered as materialized (
    select n.xname, m.*
    from metered_piece(
      array(select n.xname from node n order by n.nth),
      array(select energy_ledger.from_time from node n),
      array(select energy_ledger.to_time from node n),
      max_gap_seconds) m
    join node n on n.nth = m.nth
    where m.method is not null
  ),
  part as (
    select m.xname, 'job' as kind, a.run,
      piece_share(m.joules, m.owned_joules,
        own_accelerators(a.accelerators, m.accelerators, 'joules'), m.idle_joules,
        coalesce(a.cores, a.node_cores, 1), m.cores_held, m.node_cores,
        run_part(a.run, m.from_time, coalesce(a.cores, a.node_cores, 1), a.busy_cores,
          m.cores_held, m.cores_running, m.busy_running)) as joules
    from metered m
    join (
      select a.* from allocation a where a.ended_at > energy_ledger.from_time
      union all
      select a.* from allocation a where a.ended_at is null
    ) a on a.xname = m.xname and a.started_at <= m.from_time
      and (a.ended_at >= m.to_time or a.ended_at is null)
    union all
    select m.xname, 'idle', null,
      least(m.idle_joules, m.joules - m.owned_joules)
        * case when m.cores_held is null then 1
          else 1 - m.cores_held / greatest(m.node_cores, m.cores_held) end
    from metered m
    union all
    select m.xname, 'unattributed', null, greatest(m.joules - m.idle_joules, 0)
    from metered m
    where m.cores_held is null
  ),
  share as (
    select p.xname, p.kind, j.cluster, j.job_id,
      (array_agg(j.user_name order by j.started_at desc))[1] as user_name,
      (array_agg(j.account order by j.started_at desc))[1] as account,
      sum(p.joules) as exact
    from part p
    left join job j on j.id = p.run
    group by p.xname, p.kind, j.cluster, j.job_id
  ),
  -- Whole joules: each share is rounded down, and what is left of the meter's goes, one each, to
  -- those that lost most.
  rounded as (
    select s.*, floor(s.exact)::int8 as base,
      round(sum(s.exact) over (partition by s.xname))::int8 as meter,
      row_number() over (
        partition by s.xname
        order by s.exact - floor(s.exact) desc, s.kind, s.cluster, s.job_id) as rank
    from share s
  ),
  dealt as (
    select r.*, r.meter - sum(r.base) over (partition by r.xname) as left_over,
      count(*) over (partition by r.xname) as shares
    from rounded r
  ),
  seconds as (
    select m.xname, sum(m.metered_seconds) as metered_seconds from metered m group by m.xname
  )
  select d.xname, d.kind, d.cluster, d.job_id, d.user_name, d.account,
    (d.base + case when d.rank <= d.left_over then 1 else 0 end)::int8, d.meter,
    s.metered_seconds
  from dealt d
  join seconds s on s.xname = d.xname;
end
$$;
comment on function energy_ledger is
  'What every joule that nodes drew in [from_time, to_time) was spent on, in whole joules: for '
  'each node its jobs (kind job), idle, and unattributed. Their sum is meter_joules, to the '
  'joule. idle: the idle floor of time without jobs and of cores that none holds. unattributed: '
  'what a node drew above its floor, all of it where idle power is not known, while no job held '
  'it. Jobs are charged as by job_energy(). Of nodes without readings there is no row; runs that '
  'have not ended count until to_time; metered_seconds: how much of the node''s time has '
  'readings. asked_xnames: of these nodes only.';

create or replace function energy_by_account(
  from_day date, to_day date, max_gap_seconds float8 default 300)
returns table (day date, kind text, user_name text, account text, joules int8, jobs int4)
language sql stable
as $$
  select d.day::date, l.kind, l.user_name, l.account, sum(l.joules)::int8,
    count(distinct (l.cluster, l.job_id)) filter (where l.kind = 'job')::int4
  from generate_series(from_day::timestamp, to_day::timestamp, interval '1 day') as d (day)
  cross join lateral energy_ledger(
    d.day at time zone 'UTC', least((d.day + interval '1 day') at time zone 'UTC', now()),
    max_gap_seconds) l
  where d.day at time zone 'UTC' < now()
  group by d.day, l.kind, l.user_name, l.account
$$;
comment on function energy_by_account is
  'The ledger of energy (energy_ledger) by day in UTC, both included, user and account, with rows '
  'for idle and unattributed energy, so that a day''s joules add up to what its meters counted.';

create or replace view account_energy as
select e.day, e.kind, e.user_name, e.account, e.joules, e.jobs
from energy_by_account(
  (now() at time zone 'UTC')::date - 7, (now() at time zone 'UTC')::date) e;
comment on view account_energy is
  'What users and accounts drew on each of the last seven days (UTC) and today: see '
  'energy_by_account(), which takes any days.';
comment on column account_energy.day is 'The day, in UTC.';
comment on column account_energy.kind is 'job, idle or unattributed.';
comment on column account_energy.user_name is 'Login name of the jobs'' user.';
comment on column account_energy.account is 'Account that is charged.';
comment on column account_energy.joules is 'Energy in whole joules.';
comment on column account_energy.jobs is 'How many jobs drew it.';
