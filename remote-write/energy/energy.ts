import type { Pool } from 'pg'

/** How energy is asked for. */
export interface EnergyOptions {
  /** Runs that have not ended count until then. */
  asOf: Date
  /** A longer gap between two readings lowers the coverage. */
  maxGapSeconds: number
}

/** Energy in joules with what it rests on, as the API shows it; null is what was not measured. */
export interface Energy {
  joules: number | null
  /** What it is at least and at most, by the readings around each edge; high null: unbounded. */
  joules_low: number | null
  joules_high: number | null
  /** Node-seconds with readings / node-seconds held, 0 to 1. */
  coverage_ratio: number
  /** in-band: of pm_counters, where the node's controller tells no energy. */
  method: 'counter' | 'in-band' | 'power' | 'mixed' | 'none'
  /** Restarts and implausible steps of counters; each widens the bounds. */
  resets: number
}

export interface JobEnergy extends Energy {
  nodes_expected: number
  nodes_with_data: number
}

export interface NodeEnergy extends Energy {
  node: string
  /** Null: the topology does not know the node, so there is nothing to measure. */
  xname: string | null
}

/**
 * Energy of the job that `runs` (ids of the table job) are the runs of, and of each of its nodes in
 * order of their names. What is energy, and whose, is defined in postgres/functions/job_energy.sql.
 */
export async function jobEnergy(
  pool: Pool,
  runs: readonly string[],
  options: EnergyOptions,
): Promise<{ job: JobEnergy | undefined; nodes: NodeEnergy[] }> {
  const rows = await selectEnergy(pool, runs, options)
  const total = rows.find(({ whole }) => whole)
  const nodes = rows.filter(({ whole }) => !whole)
  return { job: total && pickJobEnergy(total), nodes: nodes.map(pickNodeEnergy) }
}

/** Joules of each job that any of `runs` is a run of; null where nothing was measured. */
export async function jobTotals(
  pool: Pool,
  runs: readonly string[],
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<{ cluster: string; job_id: number; joules: number | null }[]> {
  const { rows } = await pool.query<Pick<EnergyRow, 'cluster' | 'job_id' | 'joules'>>(
    `select j.cluster, j.job_id, sum(e.joules) as joules
     from run_joules($1, $2, $3) e
     join job j on j.id = e.run
     group by j.cluster, j.job_id`,
    [runs, asOf, maxGapSeconds],
  )
  return rows.map((row) => ({ ...row, job_id: Number(row.job_id) }))
}

async function selectEnergy(
  pool: Pool,
  runs: readonly string[],
  { asOf, maxGapSeconds }: EnergyOptions,
): Promise<EnergyRow[]> {
  const { rows } = await pool.query<EnergyRow>(
    `select e.cluster, e.job_id, e.whole, e.node, e.xname, e.joules, e.joules_low, e.joules_high,
       e.coverage_ratio, e.nodes_expected, e.nodes_with_data, e.method, e.resets
     from job_energy($1, $2, $3) e
     order by e.node, e.xname`,
    [runs, asOf, maxGapSeconds],
  )
  return rows
}

interface EnergyRow extends JobEnergy, NodeEnergy {
  cluster: string
  job_id: string
  whole: boolean
}

function pickEnergy(row: Energy): Energy {
  const { joules, joules_low, joules_high, coverage_ratio, method, resets } = row
  return { joules, joules_low, joules_high, coverage_ratio, method, resets }
}

/** The energy that a row has among other columns. */
export function pickJobEnergy(row: JobEnergy): JobEnergy {
  const { nodes_expected, nodes_with_data } = row
  return { ...pickEnergy(row), nodes_expected, nodes_with_data }
}

function pickNodeEnergy(row: NodeEnergy): NodeEnergy {
  return { node: row.node, xname: row.xname, ...pickEnergy(row) }
}
