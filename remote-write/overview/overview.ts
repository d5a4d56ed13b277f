import type { Pool } from 'pg'

/** The system now, from samples that are five minutes old at most. */
export interface Overview {
  time: Date
  nodes: NodeNow[]
  cabinets: CabinetNow[]
  /** Devices that do not answer the exporter. */
  silent: string[]
}

export interface NodeNow {
  xname: string
  power_watts: number | null
  /** Of its warmest sensor. */
  temperature_celsius: number | null
  /** The jobs that hold it or a part of it. */
  job_ids: number[]
}

export interface CabinetNow {
  cabinet: string
  /** At the inputs of its rectifiers and PDUs. */
  input_watts: number | null
  node_watts: number | null
}

export async function readOverview(pool: Pool, time: Date): Promise<Overview> {
  const [nodes, inputs, silent] = await Promise.all([
    pool.query<Omit<NodeNow, 'job_ids'> & { job_ids: string[] }>(selectNodes),
    pool.query<{ cabinet: string; watts: number }>(selectInputs),
    pool.query<{ xname: string }>(
      `select distinct l.labels ->> 'xname' as xname
       from latest('cray_device_up', '{}') l where l.value = 0 order by 1`,
    ),
  ])
  return {
    time,
    nodes: nodes.rows.map((node) => ({ ...node, job_ids: node.job_ids.map(Number) })),
    cabinets: cabinetsOf(nodes.rows, inputs.rows),
    silent: silent.rows.map(({ xname }) => xname),
  }
}

function cabinetsOf(
  nodes: readonly Pick<NodeNow, 'xname' | 'power_watts'>[],
  inputs: readonly { cabinet: string; watts: number }[],
): CabinetNow[] {
  const cabinets = new Map<string, CabinetNow>()
  const of = (cabinet: string) => {
    const found = cabinets.get(cabinet) ?? { cabinet, input_watts: null, node_watts: null }
    cabinets.set(cabinet, found)
    return found
  }
  for (const { cabinet, watts } of inputs) of(cabinet).input_watts = watts
  for (const { xname, power_watts } of nodes) {
    const cabinet = of(/^x\d+/.exec(xname)?.[0] ?? xname)
    if (power_watts !== null) cabinet.node_watts = (cabinet.node_watts ?? 0) + power_watts
  }
  return [...cabinets.values()].sort((a, b) => byNumber(a.cabinet, b.cabinet))
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

const selectNodes = `
  with power as (
    select l.labels ->> 'xname' as xname, max(l.value) as watts
    from (values ('cray_node_power_watts'), ('cray_server_power_watts')) as m (metric)
    cross join lateral latest(m.metric, '{}') l
    group by 1
  ),
  heat as (
    select t.xname, max(t.temperature_celsius) as celsius
    from temperature t
    group by 1
  ),
  job as (
    select a.xname, array_agg(distinct j.job_id::text) as ids
    from allocation a
    join job j on j.id = a.run
    where a.ended_at is null and a.xname is not null
    group by 1
  )
  select p.xname, p.watts as power_watts, h.celsius as temperature_celsius,
    coalesce(j.ids, '{}') as job_ids
  from power p
  left join heat h on h.xname = p.xname
  left join job j on j.xname = p.xname
  where p.xname ~ '^x[0-9]+c[0-9]+s[0-9]+b[0-9]+n[0-9]+$'
  order by p.xname`

/** What tells the input of a chassis or PDU, the best first. */
const inputs = `
  (values (1, 'cray_chassis_power_watts', '{"side": "Input"}'::jsonb),
    (1, 'cray_pdu_power_watts', '{}'), (2, 'cray_pdu_mains_power_watts', '{}'),
    (3, 'cray_pdu_phase_power_watts', '{}'), (4, 'cray_pdu_line_power_watts', '{}'))
    as m (rank, metric, matchers)`

const selectInputs = `
  with input as (
    select l.labels ->> 'xname' as xname, m.rank, sum(l.value) as watts
    from ${inputs}
    cross join lateral latest(m.metric, m.matchers) l
    group by 1, 2
  ),
  best as (
    select distinct on (i.xname) substring(i.xname from '^x[0-9]+') as cabinet, i.watts
    from input i
    order by i.xname, i.rank
  )
  select b.cabinet, sum(b.watts) as watts
  from best b
  group by 1`

/** Mean power in steps of equal length; null where there was no sample. */
export interface PowerHistory {
  from: Date
  step_seconds: number
  lines: { xname: string; watts: (number | null)[] }[]
}

export interface Interval {
  from: Date
  to: Date
  stepSeconds: number
}

/** Input power of each cabinet. */
export async function cabinetHistory(pool: Pool, interval: Interval): Promise<PowerHistory> {
  return await history(
    pool,
    interval,
    `with step as (
      select s.labels ->> 'xname' as xname, m.rank, s.series_id,
        floor(extract(epoch from s.time - $1) / $3)::int4 as step, avg(s.value) as watts
      from ${inputs}
      cross join lateral samples(m.metric, m.matchers, $1, $2) s
      group by 1, 2, 3, 4
    ),
    input as (
      select t.xname, t.rank, t.step, sum(t.watts) as watts from step t group by 1, 2, 3
    ),
    best as (
      select distinct on (i.xname, i.step) i.xname, i.step, i.watts
      from input i
      order by i.xname, i.step, i.rank
    )
    select substring(b.xname from '^x[0-9]+') as xname, b.step, sum(b.watts) as watts
    from best b
    group by 1, 2`,
    [],
  )
}

/** Power of each of these nodes, whatever else they do meanwhile. */
export async function nodeHistory(
  pool: Pool,
  xnames: readonly string[],
  interval: Interval,
): Promise<PowerHistory> {
  return await history(
    pool,
    interval,
    `select s.labels ->> 'xname' as xname,
       floor(extract(epoch from s.time - $1) / $3)::int4 as step, avg(s.value) as watts
     from unnest($4::text[]) as n (xname)
     cross join lateral samples(
       'cray_node_power_watts', jsonb_build_object('xname', n.xname), $1, $2) s
     group by 1, 2`,
    [xnames],
  )
}

async function history(
  pool: Pool,
  { from, to, stepSeconds }: Interval,
  sql: string,
  more: unknown[],
): Promise<PowerHistory> {
  const { rows } = await pool.query<{ xname: string; step: number; watts: number }>(sql, [
    from,
    to,
    stepSeconds,
    ...more,
  ])
  const steps = Math.ceil((to.getTime() - from.getTime()) / 1000 / stepSeconds)
  const lines = new Map<string, (number | null)[]>()
  for (const { xname, step, watts } of rows) {
    const line = lines.get(xname) ?? Array.from<number | null>({ length: steps }).fill(null)
    if (step < steps) line[step] = watts
    lines.set(xname, line)
  }
  const sorted = [...lines].sort(([a], [b]) => byNumber(a, b))
  return {
    from,
    step_seconds: stepSeconds,
    lines: sorted.map(([xname, watts]) => ({ xname, watts })),
  }
}
