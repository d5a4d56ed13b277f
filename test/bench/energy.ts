import pg from 'pg'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { startServer } from '../support/server.ts'
import { median } from './figures.ts'
import { cpuSeconds } from './processes.ts'

export const name = 'energy'
export const title = 'Energy of one job, of 25,000 and the most of these: CPU of the database'

export const goals = [
  { key: 'large_job_cpu_seconds', most: 3, words: 'energy of 9,400 nodes x 24 h, CPU s' },
  { key: 'day_cpu_seconds', most: 60, words: 'energy of 25,000 jobs of a day, CPU s' },
  { key: 'ranked_cpu_seconds', most: 10, words: 'which of 25,000 jobs used most, CPU s' },
  { key: 'ranked_kept_cpu_seconds', most: 0.5, words: 'the same, their energy kept, CPU s' },
  { key: 'live_cpu_ms', most: 5, words: 'energy of 128 nodes x 4 h, live, CPU ms' },
  { key: 'segments_cpu_ms', most: 60, words: 'energy of 128 nodes x 4 h, compacted, CPU ms' },
]

const nodes = 128
/** Of the whole system. */
const systemNodes = 1024
const hours = 4
const stepSeconds = 10
/** Of a node, in one frame: an energy counter, its device times, and others. */
const width = 20

/** Medians of interleaved rounds; CPU is that of the backend, which does all the work. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  pool.on('error', () => {})
  try {
    await migrate(server.url)
    const to = new Date(Math.floor(Date.now() / 10_000) * 10_000 - 1_800_000)
    const from = new Date(to.getTime() - hours * 3_600_000)
    await fill(pool, from, to)
    const live_read = await measure(pool)
    await noteStretches(pool)
    const live = await measure(pool)
    await compactDue(pool, { delaySeconds: -24 * 3600 })
    await pool.query('vacuum analyze')
    const segments = await measure(pool)
    await pool.query('truncate edge_reading')
    const decoded = await measure(pool)
    await pool.query('truncate series, frames, segments, job, counter_stretch cascade')
    const large = await measureLarge(pool)
    return {
      ...large,
      live_cpu_ms: live.cpuMs,
      segments_cpu_ms: segments.cpuMs,
      segments_edges_unknown_cpu_ms: decoded.cpuMs,
      live_every_sample_cpu_ms: live_read.cpuMs,
      megajoules: live.joules / 1e6,
      difference_joules: Math.max(
        ...[live_read, segments, decoded].map((other) => Math.abs(other.joules - live.joules)),
      ),
    }
  } finally {
    await pool.end()
    await server.close()
  }
}

/** As the service does every five minutes; a run takes up no more than so many counters. */
export async function noteStretches(pool: pg.Pool): Promise<void> {
  const noted = async () => {
    await pool.query('select note_stretches(now())')
    const { rows } = await pool.query<{ missing: boolean }>(
      `select exists (
         select from series s
         where s.metric = 'cray_node_energy_joules_total' and not exists (
           select from counter_stretch c
           where c.frame = s.frame and c.position = s.position)) as missing`,
    )
    return rows[0]?.missing === false
  }
  while (!(await noted()));
}

/**
 * Nodes that draw 300 to 700 W, each scraped at a moment of its own, straight into the tables;
 * those that the job does not hold with nothing but what energy is reckoned from.
 */
async function fill(pool: pg.Pool, from: Date, to: Date): Promise<void> {
  await pool.query(
    `insert into series (id, metric, labels)
     select node * 64 + n,
       case n when 0 then 'cray_node_energy_joules_total'
         when 1 then 'cray_sensor_reading_timestamp_seconds' else 'other_' || n end,
       jsonb_build_object('job', 'joulebridge', 'instance', 'exporter', 'source', 'redfish',
         'xname', 'x1000c0s' || node || 'b0n0', 'bmc', 'x1000c0s' || node || 'b0')
       || case when n < 2 then jsonb_build_object('chassis', 'Node0') else '{}' end
       || case n when 1 then
         jsonb_build_object('sensor', 'ChassisVoltageRegulator0InputEnergy') else '{}' end
     from generate_series(0, $1::int4 - 1) as node
     cross join generate_series(0, $2::int4 - 1) as n
     where node < $3 or n < 2`,
    [systemNodes, width, nodes],
  )
  const early = new Date(from.getTime() - 3_600_000)
  const late = new Date(to.getTime() + 1_800_000)
  await pool.query(
    `select make_partition('frames', window_start(w), window_start(w + 1))
     from generate_series(window_number($1), window_number($2)) as w`,
    [early, late],
  )
  await pool.query(
    `insert into frames (frame, time, v)
     select node, at + make_interval(secs => node * 0.07),
       array[floor(1e8 + node * 1e5 + 500 * s + 2000 * sin(s / 97.0)), s + node * 0.07 - 1.5]
         || case when node < $6 then
           array(select sin(s + n) * 100 from generate_series(3, $5::int4) as n) end
     from generate_series($2::timestamptz, $3::timestamptz, make_interval(secs => $4)) as at
     cross join lateral (select date_part('epoch', at) as s) epoch
     cross join generate_series(0, $1::int4 - 1) as node`,
    [systemNodes, early, late, stepSeconds, width, nodes],
  )
  await pool.query(
    `with run as (
       insert into job (cluster, job_id, started_at, ended_at, nodelist, source)
       values ('alps', 1, $2, $3, 'x', 'bench') returning id)
     insert into allocation (run, node, xname, started_at, ended_at)
     select run.id, 'x1000c0s' || node || 'b0n0', 'x1000c0s' || node || 'b0n0', $2, $3
     from run cross join generate_series(0, $1::int4 - 1) as node`,
    [nodes, ...jobSpan(from, to)],
  )
  await pool.query('vacuum analyze')
}

const rounds = 5

async function measure(pool: pg.Pool): Promise<{ cpuMs: number; joules: number }> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pid = rows[0]?.pid ?? 0
    let joules = await energy(client)
    const cpu: number[] = []
    for (let round = 0; round < rounds; round++) {
      const before = await cpuSeconds(pid)
      const began = performance.now()
      let times = 0
      for (; performance.now() - began < 1000 || times < 1; times++) joules = await energy(client)
      cpu.push(((await cpuSeconds(pid)) - before) / times)
    }
    return { cpuMs: median(cpu) * 1000, joules }
  } finally {
    client.release()
  }
}

async function energy(client: pg.PoolClient): Promise<number> {
  const { rows } = await client.query<{ joules: number; nodes_with_data: number }>(
    'select joules, nodes_with_data from job_energy(array[1], now(), 300) where whole',
  )
  if (rows[0]?.nodes_with_data !== nodes) throw new Error(`${JSON.stringify(rows)}`)
  return rows[0].joules
}

function jobSpan(from: Date, to: Date): [Date, Date] {
  return [new Date(from.getTime() + 3210), new Date(to.getTime() - 4560)]
}

const largeNodes = 9400
const slots = 16

/**
 * A day of a large system, scraped every five minutes, since its rows between the edges are not
 * read anyhow: one job on all nodes for 24 h, and 25,056 jobs of six nodes and an hour and a half.
 */
async function measureLarge(pool: pg.Pool): Promise<Record<string, number>> {
  const to = new Date(Math.floor(Date.now() / 300_000) * 300_000 - 3_600_000)
  const from = new Date(to.getTime() - 24 * 3_600_000)
  await pool.query(
    `insert into series (id, metric, labels)
     select n * 64, 'cray_node_energy_joules_total', jsonb_build_object('xname', 'x1c0s0b0n' || n)
     from generate_series(0, $1::int4 - 1) as n`,
    [largeNodes],
  )
  const [early, late] = [new Date(from.getTime() - 7_200_000), new Date(to.getTime() + 2_700_000)]
  await pool.query(
    `select make_partition('frames', window_start(w), window_start(w + 1))
     from generate_series(window_number($1), window_number($2)) as w`,
    [early, late],
  )
  await pool.query(
    `insert into frames (frame, time, v)
     select n, at + make_interval(secs => n * 0.01), array[floor(500 * date_part('epoch', at)) + n]
     from generate_series($2::timestamptz, $3::timestamptz, interval '299 seconds') as at
     cross join generate_series(0, $1::int4 - 1) as n`,
    [largeNodes, early, late],
  )
  await pool.query(
    `with slot as (
       select g * $3::int4 + s as job_id, g * 6 as first, g * 6 + 5 as last,
         $2::timestamptz + s * interval '90 minutes' + g * interval '0.1 seconds' as began,
         $2::timestamptz + (s + 1) * interval '90 minutes' + g * interval '0.1 seconds' as ended
       from generate_series(0, $1::int4 / 6 - 1) as g
       cross join generate_series(0, $3::int4 - 1) as s),
     run as (
       insert into job (cluster, job_id, started_at, ended_at, nodelist, source)
       select 'alps', job_id, began, ended, 'x', 'bench' from slot
       returning id, job_id, started_at, ended_at)
     insert into allocation (run, node, xname, started_at, ended_at)
     select r.id, 'n' || n, 'x1c0s0b0n' || n, r.started_at, r.ended_at
     from run r join slot s on s.job_id = r.job_id
     cross join lateral generate_series(s.first, s.last) as n`,
    [largeNodes, from, slots],
  )
  await pool.query('vacuum analyze')
  await noteStretches(pool)
  const day = await cpuOf(
    pool,
    1,
    `
    select sum(e.joules) from (
      select array_agg(id) as runs from job group by job_id / 500) lot
    cross join lateral job_energy(lot.runs, now(), 300) e where e.whole`,
  )
  const ranking = 'select sum(joules) from run_joules(array(select id from job), now(), 300)'
  const ranked = await cpuOf(pool, 1, ranking)
  await pool.query('select keep_energy(now(), 300, 1000000)')
  const rankedKept = await cpuOf(pool, 5, ranking)
  await pool.query('truncate job cascade')
  await pool.query(
    `with run as (
       insert into job (cluster, job_id, started_at, ended_at, nodelist, source)
       values ('alps', 1, $2, $3, 'x', 'bench') returning id)
     insert into allocation (run, node, xname, started_at, ended_at)
     select run.id, 'n' || n, 'x1c0s0b0n' || n, $2, $3
     from run cross join generate_series(0, $1::int4 - 1) as n`,
    [largeNodes, new Date(from.getTime() + 1000), new Date(to.getTime() - 1000)],
  )
  const large = await cpuOf(
    pool,
    2,
    `
    select sum(e.joules) from job_energy((select array_agg(id) from job), now(), 300) e
    where e.whole`,
  )
  return {
    large_job_cpu_seconds: large,
    day_cpu_seconds: day,
    ranked_cpu_seconds: ranked,
    ranked_kept_cpu_seconds: rankedKept,
  }
}

/** CPU seconds of the backend, on average. */
async function cpuOf(pool: pg.Pool, times: number, query: string): Promise<number> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pid = rows[0]?.pid ?? 0
    const before = await cpuSeconds(pid)
    for (let i = 0; i < times; i++) await client.query(query)
    return ((await cpuSeconds(pid)) - before) / times
  } finally {
    client.release()
  }
}
