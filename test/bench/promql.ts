import pg from 'pg'
import { compressSync } from 'snappy'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { writeRequest } from '../support/remote-write.ts'
import { startServer } from '../support/server.ts'
import { noteStretches } from './energy.ts'
import { cpuSeconds } from './processes.ts'
import { type Receiver, startPrometheusReceiver } from './receivers.ts'

export const name = 'promql'
export const title =
  'Energy of a job against the same question as PromQL, by nodes and hours: CPU of the database'
export const long = true

export const goals = [
  { key: 'least_times_faster_kept', least: 10, words: 'energy, CPU, PromQL / ours, kept, least' },
  {
    key: 'n128_h4_times_faster_reckoned',
    least: 10,
    words: 'energy of 128 nodes x 4 h, CPU, PromQL / ours, reckoned',
  },
]

/** One after the other: the system has so many nodes, each in a job. */
const sizes = [1, 16, 128, 1024]
const spans = [1 / 6, 4, 24]
const systemNodes = sizes.reduce((sum, size) => sum + size, 0)
const firstNode = (size: number) =>
  sizes.slice(0, sizes.indexOf(size)).reduce((sum, other) => sum + other, 0)
const stepSeconds = 10

/**
 * For each size and span the CPU of three: PromQL that finds the job's nodes, as the README has
 * it, PromQL that names them, and ours: of a job that has just ended, reckoned from its samples,
 * and of one whose energy is kept. Neither HTTP of ours nor that of a page is in it, Prometheus's
 * is: a third of a millisecond.
 */
export async function run(): Promise<Record<string, number>> {
  const peer = await startPrometheusReceiver()
  if (!peer) return {}
  const server = await startServer()
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  pool.on('error', () => {})
  try {
    await migrate(server.url)
    const to = new Date(Math.floor(Date.now() / 10_000) * 10_000 - 2_700_000)
    const from = new Date(to.getTime() - 24 * 3_600_000)
    await fill(pool, from, to)
    await fillPeer(peer.url, from, to)
    const figures: Record<string, number> = {}
    for (const size of sizes) {
      for (const hours of spans) {
        const about = await measure(pool, peer, { size, hours, to })
        for (const [key, value] of Object.entries(about)) {
          figures[`n${size}_h${hours < 1 ? '1_6th' : hours}_${key}`] = value
        }
      }
    }
    const least = (key: string) =>
      Math.min(
        ...Object.keys(figures).flatMap((one) => (one.endsWith(key) ? (figures[one] ?? 0) : [])),
      )
    return {
      least_times_faster_kept: least('_times_faster_kept'),
      least_times_faster_reckoned: least('_times_faster_reckoned'),
      least_times_faster_kept_by_name: least('_times_faster_kept_by_name'),
      least_times_faster_reckoned_by_name: least('_times_faster_reckoned_by_name'),
      ...figures,
    }
  } finally {
    await pool.end()
    await server.close()
    await peer.close()
  }
}

interface Job {
  size: number
  hours: number
  to: Date
}

async function measure(pool: pg.Pool, peer: Receiver, { size, hours, to }: Job) {
  const ended = new Date(to.getTime() - 4560)
  const started = new Date(ended.getTime() - hours * 3_600_000 + 7770)
  const first = firstNode(size)
  await pool.query('truncate job cascade')
  await pool.query(
    `with run as (
       insert into job (cluster, job_id, started_at, ended_at, nodelist, source)
       values ('alps', 1, $3, $4, 'x', 'bench') returning id)
     insert into allocation (run, node, xname, started_at, ended_at)
     select run.id, 'x1000c0s' || node || 'b0n0', 'x1000c0s' || node || 'b0n0', $3, $4
     from run cross join generate_series($1::int4, $2::int4) as node`,
    [first, first + size - 1, started, ended],
  )
  await noteStretches(pool)
  await pool.query('vacuum analyze job, allocation, counter_stretch, edge_reading')
  const range = `[${ended.getTime() - started.getTime()}ms] @ ${ended.getTime() / 1000}`
  const names = Array.from({ length: size }, (_, i) => `x1000c0s${first + i}b0n0`).join('|')
  const byJob = await peerCost(
    peer,
    `sum(increase(cray_node_energy_joules_total${range})
      and on (xname) last_over_time(cray_job_node_info{jobid="${size}"}${range}))`,
  )
  const byName = await peerCost(
    peer,
    `sum(increase(cray_node_energy_joules_total{xname=~"${names}"}${range}))`,
  )
  const reckoned = await ownCost(pool, size, hours * 3600)
  await pool.query('select keep_energy(now(), 300)')
  const { rowCount } = await pool.query('select from run_energy')
  if (rowCount !== 1) throw new Error(`${size} nodes x ${hours} h: its energy is not kept`)
  const kept = await ownCost(pool, size, hours * 3600)
  return {
    promql_cpu_ms: byJob,
    promql_by_name_cpu_ms: byName,
    reckoned_cpu_ms: reckoned,
    kept_cpu_ms: kept,
    times_faster_reckoned: byJob / reckoned,
    times_faster_kept: byJob / kept,
    times_faster_reckoned_by_name: byName / reckoned,
    times_faster_kept_by_name: byName / kept,
  }
}

const measuredMs = 1500

async function ownCost(pool: pg.Pool, size: number, seconds: number): Promise<number> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const pid = rows[0]?.pid ?? 0
    const ask = async () => {
      const { rows } = await client.query<{ joules: number }>({
        name: 'energy',
        text: 'select joules from run_joules(array(select id from job), now(), 300)',
      })
      const watts = (rows[0]?.joules ?? 0) / size / seconds
      if (Math.abs(watts - 500) > 50) throw new Error(`${size} nodes x ${seconds} s: ${watts} W`)
    }
    return await cost(ask, () => cpuSeconds(pid))
  } finally {
    client.release()
  }
}

async function peerCost(peer: Receiver, query: string): Promise<number> {
  const url = `${new URL(peer.url).origin}/api/v1/query`
  return await cost(
    async () => {
      const response = await fetch(url, { method: 'POST', body: new URLSearchParams({ query }) })
      const body = (await response.json()) as { data: { result: unknown[] } }
      if (body.data.result.length !== 1) throw new Error(`${query}: no answer`)
    },
    () => peer.cpuSeconds(),
  )
}

/** CPU in milliseconds of one, on average. */
async function cost(ask: () => Promise<void>, cpu: () => Promise<number>): Promise<number> {
  for (let i = 0; i < 6; i++) await ask()
  const [before, began] = [await cpu(), performance.now()]
  let times = 0
  for (; performance.now() - began < measuredMs; times++) await ask()
  return (((await cpu()) - before) / times) * 1000
}

async function fill(pool: pg.Pool, from: Date, to: Date): Promise<void> {
  await pool.query(
    `insert into series (id, metric, labels)
     select node * 64 + n,
       case n when 0 then 'cray_node_energy_joules_total'
         else 'cray_sensor_reading_timestamp_seconds' end,
       jsonb_build_object('job', 'joulebridge', 'instance', 'exporter', 'source', 'redfish',
         'chassis', 'Node0', 'xname', 'x1000c0s' || node || 'b0n0',
         'bmc', 'x1000c0s' || node || 'b0')
       || case n when 1 then
         jsonb_build_object('sensor', 'ChassisVoltageRegulator0InputEnergy') else '{}' end
     from generate_series(0, $1::int4 - 1) as node cross join generate_series(0, 1) as n`,
    [systemNodes],
  )
  const [early, late] = [new Date(from.getTime() - 3_600_000), new Date(to.getTime() + 1_800_000)]
  await pool.query(
    `select make_partition('frames', window_start(w), window_start(w + 1))
     from generate_series(window_number($1), window_number($2)) as w`,
    [early, late],
  )
  await pool.query(
    `insert into frames (frame, time, v)
     select node, at + make_interval(secs => node * 0.007),
       array[floor(1e8 + node * 1e5 + 500 * s + 2000 * sin(s / 97.0)), s + node * 0.007 - 1.5]
     from generate_series($2::timestamptz, $3::timestamptz, make_interval(secs => $4)) as at
     cross join lateral (select date_part('epoch', at) as s) epoch
     cross join generate_series(0, $1::int4 - 1) as node`,
    [systemNodes, early, late, stepSeconds],
  )
  await pool.query('vacuum analyze')
}

/** The same counters in order of time: Prometheus takes nothing much older than its newest. */
async function fillPeer(url: string, from: Date, to: Date): Promise<void> {
  const lotMs = 600_000
  const ids = sizes.flatMap((size) => Array.from({ length: size }, () => String(size)))
  for (let ms = from.getTime() - lotMs; ms <= to.getTime(); ms += lotMs) {
    const times = Array.from({ length: 60 }, (_, i) => ms + i * stepSeconds * 1000)
    const series = ids.flatMap((jobid, node) => {
      const labels = { xname: `x1000c0s${node}b0n0`, job: 'joulebridge' }
      const taken = times.map((time) => time + node * 7)
      return [
        {
          labels: { __name__: 'cray_node_energy_joules_total', ...labels },
          samples: taken.map((time) => [time, counted(time, node)] as const),
        },
        {
          labels: { __name__: 'cray_job_node_info', ...labels, jobid },
          samples: taken.map((time) => [time, 1] as const),
        },
      ]
    })
    const body = compressSync(writeRequest(series))
    const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' }
    const response = await fetch(url, { method: 'POST', body, headers })
    if (response.status !== 204) throw new Error(`${response.status}: ${await response.text()}`)
  }
}

function counted(ms: number, node: number): number {
  const s = ms / 1000
  return Math.floor(1e8 + node * 1e5 + 500 * s + 2000 * Math.sin(s / 97))
}
