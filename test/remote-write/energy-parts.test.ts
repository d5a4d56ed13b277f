import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { type StoredSeries, storeSeries } from '../support/samples.ts'

/** 2026-03-01T00:00:00Z */
const t0 = Date.UTC(2026, 2, 1) / 1000
const [x1, x2] = ['x1000c0s0b0n0', 'x1000c0s0b1n0']
/** The sensor of a switch controller that is nearest to the switch's power. */
const brick = 'ASICVoltageRegulator7OutputPower'

interface Parts {
  steps: { step: string; joules: number; coverage_ratio: number; nodes_expected: number }[]
  domains: { domain: string; joules: number; nodes_with_data: number }[]
  overhead: Record<string, number | string | null>[]
}

describe('the parts of the energy of a job', () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url, {}, { energy: { coolingRatio: 0.1 } })
  })

  afterEach(() => service.close())

  const series = (metric: string, watts: number, labels: Record<string, string>): StoredSeries => ({
    metric,
    labels,
    samples: Array.from({ length: 181 }, (_, i) => {
      return [t0 + i * 10, metric.endsWith('_total') ? watts * i * 10 + 0.5 : watts] as const
    }),
  })
  const counter = 'cray_node_energy_joules_total'
  const run = async (more = {}) => {
    const about = { cluster: 'c', job_id: 7 }
    const events = [
      { ...about, type: 'start', time: iso(t0 + 300), nodelist: x1, ...more },
      { ...about, type: 'end', time: iso(t0 + 900) },
    ]
    assert.equal((await postEvents(service, events)).status, 200)
  }
  const parts = () => getJson<Parts>(service, '/api/v1/jobs/7/energy/parts')

  it('are its steps, by their own times', async () => {
    await storeSeries(pool, [series(counter, 500, { xname: x1 })])
    await run()
    await pool.query(
      `insert into job_step (run, step, started_at, ended_at, source)
       select j.id, s.step, to_timestamp(s.began), to_timestamp(s.ended), 'test'
       from job j, (values ('batch', $1::float8, $2::float8), ('0', $1 + 100, $1 + 165)) as s
         (step, began, ended)`,
      [t0 + 300, t0 + 900],
    )
    const { steps } = await parts()
    assert.deepEqual(
      steps.map(({ step, joules, coverage_ratio }) => [step, Math.round(joules), coverage_ratio]),
      [
        ['batch', 300_000, 1],
        ['0', 32_500, 1],
      ],
    )
  })

  it('are steps of their own nodes only, where these are told', async () => {
    await storeSeries(pool, [
      series(counter, 500, { xname: x1 }),
      series(counter, 300, { xname: x2 }),
    ])
    const times = { started_at: iso(t0 + 300), ended_at: iso(t0 + 400) }
    const steps = [
      { step: 'batch', ...times, nodelist: x1 },
      { step: 'extern', ...times, nodelist: 'x1000c0s0b[0-1]n0' },
      { step: '0', ...times },
    ]
    const told = { cluster: 'c', job_id: 7, type: 'run', nodelist: `${x1},${x2}`, steps }
    const runTimes = { time: iso(t0 + 300), ended_at: iso(t0 + 900), told_at: iso(t0 + 999) }
    assert.equal((await postEvents(service, [{ ...told, ...runTimes }])).status, 200)
    const { steps: found } = await parts()
    assert.deepEqual(
      found.map(({ step, joules, nodes_expected }) => [step, Math.round(joules), nodes_expected]),
      [
        ['0', 80_000, 2],
        ['batch', 50_000, 1],
        ['extern', 80_000, 2],
      ],
    )
  })

  it('are cpu, memory and accelerator, of the controller before the node itself', async () => {
    const pm = 'cray_pm_energy_joules_total'
    const domain = 'cray_domain_energy_joules_total'
    await storeSeries(pool, [
      series(counter, 500, { xname: x1 }),
      series(domain, 200, { xname: x1, domain: 'CPU' }),
      series(pm, 190, { xname: x1, domain: 'cpu' }),
      series(pm, 50, { xname: x1, domain: 'memory' }),
      series(pm, 30, { xname: x1, domain: 'accel0' }),
      series(pm, 40, { xname: x1, domain: 'accel3' }),
    ])
    await run()
    const { domains } = await parts()
    assert.deepEqual(
      domains.map(({ domain, joules }) => [domain, Math.round(joules)]),
      [
        ['accelerator', 42_000],
        ['cpu', 120_000],
        ['memory', 30_000],
      ],
    )
  })

  it('leave the overhead of the cabinet apart, by the part of its nodes', async () => {
    const chassis = 'cray_chassis_power_watts'
    await storeSeries(pool, [
      series(counter, 500, { xname: x1 }),
      series(counter, 300, { xname: x2 }),
      series(chassis, 1100, { xname: 'x1000c0', side: 'Input' }),
      series(chassis, 1000, { xname: 'x1000c0', side: 'Output' }),
      // Scraped twice.
      series(chassis, 1000, { xname: 'x1000c0', side: 'Output', instance: 'b' }),
      series('cray_sensor_power_watts', 120, { xname: 'x1000c0r1b0', sensor: brick }),
    ])
    await run()
    const { overhead } = await parts()
    const [one, ...others] = overhead
    assert.deepEqual(others, [])
    assert.equal(one?.['cabinet'], 'x1000')
    const { cabinet: _, ...joules } = one ?? {}
    assert.deepEqual(
      Object.fromEntries(
        Object.entries(joules).map(([name, own]) => [name, Math.round(Number(own))]),
      ),
      {
        node_joules: 300_000,
        cabinet_node_joules: 480_000,
        rectifier_loss_joules: (60_000 * 5) / 8,
        switch_joules: (72_000 * 5) / 8,
        other_joules: (48_000 * 5) / 8,
        // A tenth of the input of 1100 W, by the site's own figure.
        cooling_joules: (66_000 * 5) / 8,
      },
    )
  })

  it('are unknown, not zero, where nobody measured them', async () => {
    await storeSeries(pool, [series(counter, 500, { xname: x1 })])
    await run()
    const { steps, domains, overhead } = await parts()
    assert.deepEqual([steps, domains], [[], []])
    const [{ cabinet: _, node_joules: own, cabinet_node_joules: all, ...unknown } = {}] = overhead
    assert.deepEqual([own, all].map(Number).map(Math.round), [300_000, 300_000])
    assert.deepEqual(
      unknown,
      Object.fromEntries(
        ['rectifier_loss', 'switch', 'other', 'cooling'].map((part) => [`${part}_joules`, null]),
      ),
    )
  })

  it('come from pm_counters where the controller tells no energy', async () => {
    const pm = 'cray_pm_energy_joules_total'
    await storeSeries(pool, [
      series(pm, 450, { xname: x1, domain: 'node' }),
      series(pm, 99, { xname: x1, domain: 'cpu' }),
      series('cray_node_power_watts', 1, { xname: x1 }),
    ])
    await run()
    const { joules, method } = await getJson<EnergyAnswer>(service, '/api/v1/jobs/7/energy')
    assert.deepEqual([Math.round(joules ?? 0), method], [270_000, 'in-band'])
  })
})
