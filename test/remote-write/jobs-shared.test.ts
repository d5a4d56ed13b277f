import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000
const xname = 'x1000c0s0b0n0'

describe('jobs that share a node', () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
    await pool.query('insert into node (name, xname, cores) values ($1, $1, 100)', [xname])
    const at = Array.from({ length: 201 }, (_, i) => i * 10)
    await storeSeries(pool, [
      {
        metric: 'cray_node_energy_joules_total',
        labels: { xname },
        samples: at.map((t) => [t0 + t, 0.5 + 500 * t] as const),
      },
      {
        metric: 'cray_node_idle_power_watts',
        labels: { xname },
        samples: at.map((t) => [t0 + t, 200] as const),
      },
    ])
  })

  afterEach(() => service.close())

  /** A run of 1000 s from `from`, with some of the 100 cores. */
  const run = (job_id: number, from: number, cpus: number, cpu_seconds?: number) => ({
    ...{ type: 'run', cluster: 'c', job_id, nodelist: xname, cpus, cpu_seconds },
    ...{ time: iso(t0 + from), ended_at: iso(t0 + from + 1000), told_at: iso(t0 + 5000) },
  })
  const joules = async (...events: object[]) => {
    assert.equal((await postEvents(service, events)).status, 200)
    const energies = [1, 2].map((id) => getJson<EnergyAnswer>(service, `/api/v1/jobs/${id}/energy`))
    return (await Promise.all(energies)).map((each) => Math.round(each.joules ?? -1))
  }

  it('bear what it draws above its floor by their CPU time, the floor by their cores', async () => {
    // From 500 s to 1000 s both: 20 and 5 of their 40 and 50 cores are busy.
    assert.deepEqual(await joules(run(1, 0, 40, 20_000), run(2, 500, 50, 5000)), [
      200 * 0.4 * 1000 + 300 * 500 + 300 * 0.8 * 500,
      200 * 0.5 * 1000 + 300 * 500 + 300 * 0.2 * 500,
    ])
    const { rows } = await pool.query<{ sum: number; meter: number }>(
      `select sum(l.joules)::int4 as sum, max(l.meter_joules)::int4 as meter
       from energy_ledger(to_timestamp($1), to_timestamp($1 + 1500)) l`,
      [t0],
    )
    assert.deepEqual(rows, [{ sum: 750_000, meter: 750_000 }])
  })

  it('bear it by their cores while one does not tell its CPU time', async () => {
    assert.deepEqual(await joules(run(1, 0, 40, 20_000), run(2, 0, 60)), [200_000, 300_000])
    const told = { ...run(2, 0, 60, 60_000), told_at: iso(t0 + 6000) }
    assert.deepEqual(await joules(told), [80_000 + 75_000, 120_000 + 225_000])
  })
})
