import pg from 'pg'
import { CopyRows, copyIn } from '../../remote-write/postgres/copy.ts'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { windowMs } from '../../remote-write/segments/window.ts'
import { startServer } from '../support/server.ts'
import {
  addNodeRows,
  drawJob,
  peers,
  randomSource,
  type SimulatedJob,
  simulateNode,
} from './accuracy-jobs.ts'
import { quantile } from './figures.ts'

export const name = 'accuracy'
export const title = 'energy of 1,000 random jobs against the truth, beside the methods of others'

export const goals = [
  { key: 'truth_within_bounds', least: 1000, words: 'truth within the bounds, of 1,000 jobs' },
  { key: 'edges_median_error_percent', most: 0.1, words: 'counter read at edges, median error, %' },
  {
    key: 'interpolated_10_s_median_error_percent',
    most: 0.5,
    words: 'interpolated at 10 s, jobs of ten minutes and more, median error, %',
  },
]

const jobs = 1000

interface Judged {
  job: SimulatedJob
  truth: number
  ours: { joules: number; joules_low: number; joules_high: number | null }
  /** By the method's name. */
  others: Record<string, number>
}

/** Errors in percent by method, over all jobs; our bounds; the seed is among the figures. */
export async function run(): Promise<Record<string, number>> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
  const server = await startServer()
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  pool.on('error', () => {})
  try {
    await migrate(server.url)
    const judged = await simulate(pool, randomSource(seed))
    return { ...summary(judged), seed }
  } finally {
    await pool.end()
    await server.close()
  }
}

async function simulate(pool: pg.Pool, random: () => number): Promise<Judged[]> {
  const startMs = Math.floor((Date.now() - 36 * 3_600_000) / windowMs) * windowMs
  await pool.query(
    `select make_partition('frames', window_start(w), window_start(w + 1))
     from generate_series(window_number($1), window_number($2)) as w`,
    [new Date(startMs), new Date(startMs + 30_000_000)],
  )
  const judged: Judged[] = []
  let frame = 0
  for (let id = 1; id <= jobs; id++) {
    const job = drawJob(id, random)
    const nodes = Array.from({ length: job.nodes }, () => simulateNode(job, random))
    await store(pool, { job, nodes, firstFrame: frame, startMs })
    frame += nodes.length
    if (id === 20) await pool.query('analyze')
    const { rows } = await pool.query<Judged['ours']>(
      `select e.joules, e.joules_low, e.joules_high
       from job_energy(array(select id from job where job_id = $1), now(), 300) e where e.whole`,
      [id],
    )
    const [ours] = rows
    if (!ours) throw new Error(`job ${id}: no energy`)
    const truth = nodes.reduce((sum, { joules }) => sum + joules, 0)
    const others = Object.fromEntries(
      Object.entries(peers).map(([name, method]) => [name, method(nodes, job)]),
    )
    judged.push({ job, truth, ours, others })
  }
  return judged
}

interface Stored {
  job: SimulatedJob
  nodes: readonly ReturnType<typeof simulateNode>[]
  firstFrame: number
  startMs: number
}

/** Straight into the tables: each node has a frame with a counter and its device times. */
async function store(pool: pg.Pool, { job, nodes, firstFrame, startMs }: Stored): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query(
      `insert into series (id, metric, labels)
       select f * 64 + n, case n when 0 then 'cray_node_energy_joules_total'
           else 'cray_sensor_reading_timestamp_seconds' end,
         jsonb_build_object('xname', 'x1c0s0b0n' || f) || case n when 0 then '{}' else
           jsonb_build_object('sensor', 'ChassisVoltageRegulator0InputEnergy') end
       from generate_series($1::int4, $2::int4) as f cross join generate_series(0, 1) as n`,
      [firstFrame, firstFrame + nodes.length - 1],
    )
    const rows = new CopyRows()
    for (const [i, { samples }] of nodes.entries()) {
      addNodeRows(rows, { frame: firstFrame + i, startMs, samples })
      await copyIn(client, 'copy frames (frame, time, v) from stdin (format binary)', rows.take())
    }
    await client.query(
      `with run as (
         insert into job (cluster, job_id, started_at, ended_at, nodelist, source)
         values ('c', $1, $2, $3, 'x', 'bench') returning id)
       insert into allocation (run, node, xname, started_at, ended_at)
       select run.id, 'x1c0s0b0n' || f, 'x1c0s0b0n' || f, $2, $3
       from run cross join generate_series($4::int4, $5::int4) as f`,
      [
        job.id,
        new Date(Math.round(startMs + job.from * 1000)),
        new Date(Math.round(startMs + job.to * 1000)),
        firstFrame,
        firstFrame + nodes.length - 1,
      ],
    )
  } finally {
    client.release()
  }
}

function summary(judged: readonly Judged[]): Record<string, number> {
  const long = ({ job }: Judged) => job.to - job.from >= 600
  const ours = ({ ours }: Judged) => ours.joules
  const groups: [string, (one: Judged) => boolean, (one: Judged) => number][] = [
    ['edges', ({ job }) => job.readAtEdges, ours],
    ['interpolated', ({ job }) => !job.readAtEdges, ours],
    [
      'interpolated_10_s',
      (one) => !one.job.readAtEdges && one.job.stepSeconds === 10 && long(one),
      ours,
    ],
    ...Object.keys(peers).map((peer): (typeof groups)[number] => [
      peer,
      () => true,
      ({ others }) => others[peer] ?? 0,
    ]),
  ]
  const figures: Record<string, number> = {
    truth_within_bounds: judged.filter(isBounded).length,
    jobs: judged.length,
  }
  for (const [group, which, value] of groups) {
    const errors = judged
      .filter(which)
      .map((one) => Math.abs(value(one) / one.truth - 1) * 100)
      .sort((a, b) => a - b)
    figures[`${group}_median_error_percent`] = quantile(errors, 0.5)
    figures[`${group}_p95_error_percent`] = quantile(errors, 0.95)
  }
  return figures
}

function isBounded({ truth, ours: { joules_low, joules_high } }: Judged): boolean {
  return joules_high !== null && joules_low <= truth && truth <= joules_high
}
