import type { Pool } from 'pg'
import type { EnergyOptions } from './energy.ts'

interface StepEnergy {
  step: string
  started_at: Date
  ended_at: Date | null
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  coverage_ratio: number
  nodes_expected: number
  nodes_with_data: number
  resets: number
}

interface DomainEnergy {
  domain: 'cpu' | 'memory' | 'accelerator'
  joules: number
  nodes_with_data: number
}

interface SuspensionEnergy {
  started_at: Date
  ended_at: Date | null
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  coverage_ratio: number
}

interface Overhead {
  cabinet: string
  node_joules: number
  cabinet_node_joules: number | null
  rectifier_loss_joules: number | null
  switch_joules: number | null
  other_joules: number | null
  /** By the site's figure: null without one. */
  cooling_joules: number | null
}

export interface EnergyParts {
  steps: StepEnergy[]
  domains: DomainEnergy[]
  suspensions: SuspensionEnergy[]
  overhead: Overhead[]
}

/**
 * What the energy of a job is made of, and what comes on top of it: by step, domain and suspension,
 * which are parts of it, and the overhead of its cabinets, which is not. Defined in
 * postgres/functions: step_energy(), job_domain_energy(), suspension_energy(), job_overhead().
 */
export async function energyParts(
  pool: Pool,
  runs: readonly string[],
  { asOf, maxGapSeconds, coolingRatio }: EnergyOptions & { coolingRatio: number | undefined },
): Promise<EnergyParts> {
  const asked = [runs, asOf, maxGapSeconds]
  const steps = await pool.query<StepEnergy>(
    `select s.step, s.started_at, s.ended_at, s.joules, s.joules_low, s.joules_high,
       s.coverage_ratio, s.nodes_expected, s.nodes_with_data, s.resets
     from step_energy($1, $2, $3) s`,
    asked,
  )
  const domains = await pool.query<DomainEnergy>(
    'select d.domain, d.joules, d.nodes_with_data from job_domain_energy($1, $2, $3) d',
    asked,
  )
  const suspensions = await pool.query<SuspensionEnergy>(
    `select s.started_at, s.ended_at, s.joules, s.joules_low, s.joules_high, s.coverage_ratio
     from suspension_energy($1, $2, $3) s`,
    asked,
  )
  const overhead = await pool.query<Overhead>(
    `select o.cabinet, o.node_joules, o.cabinet_node_joules, o.rectifier_loss_joules,
       o.switch_joules, o.other_joules, o.cooling_joules
     from job_overhead($1, $2, $3, $4) o`,
    [...asked, coolingRatio ?? null],
  )
  return {
    steps: steps.rows,
    domains: domains.rows,
    suspensions: suspensions.rows,
    overhead: overhead.rows,
  }
}
