import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { runCommand } from '../support/command.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'
import { type LedgerCase, ledgerCases, ledgerSpan, storeCases } from './ledger-cases.ts'

/** A node that draws 400 W, whose counter restarts after 25 minutes; two jobs share it. */
const plain: LedgerCase = {
  samples: Array.from({ length: 380 }, (_, i) => ({
    scraped: ledgerSpan.from - 100 + i * 10,
    value: i < 160 ? 1e6 + i * 4000 : (i - 160) * 4000 + 1000,
  })),
  idleWatts: 100,
  accelerators: [],
  holdings: [
    { from: ledgerSpan.from + 203, to: ledgerSpan.from + 2705, cores: 32 },
    { from: ledgerSpan.from + 1000, to: ledgerSpan.from + 3000, cores: 64 },
  ],
}

describe('what lies behind the energy of a job', function behind() {
  this.timeout(60_000)
  let service: Service
  let pool: Pool

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  const text = async (path: string) => {
    const response = await fetch(`${service.url}${path}`)
    assert.equal(response.status, 200)
    return await response.text()
  }
  const recompute = (csv: string) =>
    Number(
      execFileSync(process.execPath, ['--import', 'tsx', 'test/remote-write/recompute.ts'], {
        input: csv,
      }),
    )

  it('is enough to reckon it anew, with a script that knows nothing of ours', async () => {
    const cases = [plain, ...fc.sample(ledgerCases, 40)]
    const nodes = await storeCases(pool, cases, { place: 'x1c0s0b0', firstJob: 1 })
    const jobs = nodes.flatMap((node) => node.jobs)
    // All nodes' jobs in one file: the sum is that of all.
    let [expected, csv] = [0, '']
    for (const job of jobs) {
      const energy = await getJson<EnergyAnswer>(service, `/api/v1/jobs/${job}/energy`)
      expected += energy.joules ?? 0
      const lines = await text(`/api/v1/jobs/${job}/energy/readings?format=csv`)
      // Of several jobs on a node each has its own name of it.
      const own = lines.replaceAll(/^x/gm, `job${job}x`)
      csv += csv === '' ? own : own.slice(own.indexOf('\n') + 1)
    }
    assert.ok(jobs.length > 40)
    const found = recompute(csv)
    assert.ok(Math.abs(found - expected) < 1e-6 * expected, `${found}, expected ${expected}`)
  })

  for (const [job, method, metric, labels] of [
    [900_001, 'power', 'cray_node_power_watts', {}],
    [900_002, 'in-band', 'cray_pm_energy_joules_total', { domain: 'node' }],
  ] as const) {
    it(`is enough where the method is ${method}, too`, async () => {
      const xname = `x2000c0s0b0n${job % 10}`
      // With a gap that adds nothing to power, and all that it rose to a counter.
      const samples = Array.from({ length: 100 }, (_, i) => {
        const at = i * 20 + (i < 60 ? 0 : 400)
        const watts = 300 + 200 * Math.sin(i / 5)
        return [ledgerSpan.from + at, method === 'power' ? watts : at * 400 + watts] as const
      })
      await storeSeries(pool, [{ metric, labels: { xname, ...labels }, samples }])
      const about = { cluster: 'c', job_id: job }
      await postEvents(service, [
        { ...about, type: 'start', time: iso(ledgerSpan.from + 303), nodelist: xname },
        { ...about, type: 'end', time: iso(ledgerSpan.from + 2005) },
      ])
      const path = `/api/v1/jobs/${job}/energy`
      const { joules, ...energy } = await getJson<EnergyAnswer>(service, path)
      assert.equal(energy.method, method)
      const found = recompute(await text(`${path}/readings?format=csv`))
      assert.ok(Math.abs(found - (joules ?? 0)) < 1e-3, `${found}, expected ${joules}`)
    })
  }

  it('is told in words: edges, readings, resets, shares and the sum', async () => {
    const explained = await text('/api/v1/jobs/1/energy/readings?format=explain')
    const lines = explained.split('\n')
    assert.equal(lines[0], 'job 1')
    assert.match(explained, /method counter, \d+ readings/)
    assert.match(explained, /start \d+: between \d+ J at \d+ and \d+ J at \d+/)
    assert.match(explained, /reset at 2026-03-01T03:55:00.000Z: 1636000 J to 1000 J, counts 1000 J/)
    assert.match(explained, /32 of 96 cores held, node of 128: floor min\(/)
    const { joules } = await getJson<EnergyAnswer>(service, '/api/v1/jobs/1/energy')
    const total = /energy = sum of \d+ parts = ([\d.]+) J/.exec(explained)?.[1]
    assert.ok(Math.abs(Number(total) - (joules ?? 0)) < 1e-3)
  })

  it('is printed by the command', async () => {
    const args = ['job-energy', '1', '--url', service.url]
    const told = ['--explain', '--csv', '--json'].map((form) => runCommand(...args, form))
    for (const { ended, stderr } of told) assert.equal(await ended, 0, stderr())
    const [explained, csv, json] = told.map((command) => command.stdout())
    assert.equal(explained, await text('/api/v1/jobs/1/energy/readings?format=explain'))
    assert.equal(csv, await text('/api/v1/jobs/1/energy/readings?format=csv'))
    assert.equal(JSON.parse(json ?? '').job_id, 1)
    const both = runCommand(...args, '--csv', '--explain')
    assert.notEqual(await both.ended, 0)
  })

  it('is added up by day, user and account, to the joule of the meters', async () => {
    const path = '/api/v1/energy/accounts?from=2026-03-01&to=2026-03-01'
    const { days } = await getJson<{ days: { kind: string; joules: number; user: string }[] }>(
      service,
      path,
    )
    const { rows } = await pool.query<{ joules: number }>(
      `select sum(m.joules)::float8 as joules from (
         select distinct xname, meter_joules as joules
         from energy_ledger('2026-03-01 00:00Z', '2026-03-02 00:00Z')) m`,
    )
    assert.equal(
      days.reduce((sum, { joules }) => sum + joules, 0),
      rows[0]?.joules,
    )
    assert.ok(days.some(({ kind, user }) => kind === 'job' && user === 'user1'))
    const csv = await text(`${path}&format=csv`)
    assert.equal(csv.split('\n').length, days.length + 2)
    assert.match(csv, /^2026-03-01,job,user1,account1,\d+,\d+$/m)
  })

  it('is refused for a job that nobody told of, and for days that are none', async () => {
    await getJson(service, '/api/v1/jobs/999999/energy/readings', 404)
    await getJson(service, '/api/v1/energy/accounts?from=2026-03-02&to=2026-03-01', 400)
  })
})
