import fc from 'fast-check'
import pg from 'pg'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { ledgerCases, ledgerFaults, storeCases } from '../remote-write/ledger-cases.ts'
import { startServer } from '../support/server.ts'

export const name = 'conservation'
export const title =
  '10,000 nodes with any jobs, resets and gaps: every joule is accounted for once'

export const goals = [
  { key: 'balanced_nodes', least: 10_000, words: 'jobs + idle + unattributed = meter, of 10,000' },
]

const cases = 10_000
const perBatch = 500

/** Nodes whose shares add up to the meter, which is the plain model's; the seed is among them. */
export async function run(): Promise<Record<string, number>> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
  const server = await startServer()
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  pool.on('error', () => {})
  try {
    await migrate(server.url)
    let [balanced, jobs] = [0, 0]
    for (let batch = 0; batch * perBatch < cases; batch++) {
      const drawn = fc.sample(ledgerCases, { seed: seed + batch, numRuns: perBatch })
      const place = { place: `x${batch}c0s0b0`, firstJob: batch * 10_000 + 1 }
      const nodes = await storeCases(pool, drawn, place)
      if (batch === 0) await pool.query('analyze')
      const faults = await ledgerFaults(pool, nodes)
      for (const { xname, fault } of faults.slice(0, 5)) {
        process.stderr.write(`seed ${seed}, batch ${batch}, ${xname}: ${fault}\n`)
      }
      balanced += nodes.length - faults.length
      jobs += nodes.reduce((sum, node) => sum + node.jobs.length, 0)
    }
    return { balanced_nodes: balanced, nodes: cases, jobs, seed }
  } finally {
    await pool.end()
    await server.close()
  }
}
