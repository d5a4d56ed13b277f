import assert from 'node:assert/strict'
import fc from 'fast-check'
import { cloneDatabase } from '../support/postgres.ts'
import { ledgerCases, ledgerFaults, storeCases } from './ledger-cases.ts'

describe('the ledger of energy', function ledger() {
  this.timeout(120_000)

  it('has jobs, idle and unattributed add up to the meter, to the joule', async () => {
    const { pool } = await cloneDatabase()
    const cases = fc.sample(ledgerCases, 300)
    const nodes = await storeCases(pool, cases, { place: 'x1c0s0b0', firstJob: 1 })
    assert.deepEqual(await ledgerFaults(pool, nodes), [])
    assert.ok(nodes.some(({ jobs }) => jobs.length > 2))
  })
})
