import assert from 'node:assert/strict'
import fetch from 'node-fetch'
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
      ...[20, 40, 60, 80].map((watts, i) => ({
        metric: 'cray_pm_energy_joules_total',
        labels: { xname, domain: `accel${i}` },
        samples: at.map((t) => [t0 + t, 0.5 + watts * t] as const),
      })),
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

  const balance = async () => {
    const { rows } = await pool.query<{ sum: number; meter: number }>(
      `select sum(l.joules)::int4 as sum, max(l.meter_joules)::int4 as meter
       from energy_ledger(to_timestamp($1), to_timestamp($1 + 1500)) l`,
      [t0],
    )
    assert.deepEqual(rows, [{ sum: 750_000, meter: 750_000 }])
  }
  const has = (...indices: number[]) => ({ accelerators: [{ nodelist: xname, indices }] })

  it('bear what it draws above its floor by their CPU time, the floor by their cores', async () => {
    // From 500 s to 1000 s both: 20 and 5 of their 40 and 50 cores are busy.
    assert.deepEqual(await joules(run(1, 0, 40, 20_000), run(2, 500, 50, 5000)), [
      200 * 0.4 * 1000 + 300 * 500 + 300 * 0.8 * 500,
      200 * 0.5 * 1000 + 300 * 500 + 300 * 0.2 * 500,
    ])
    await balance()
  })

  it('bear it by their cores while one does not tell its CPU time', async () => {
    assert.deepEqual(await joules(run(1, 0, 40, 20_000), run(2, 0, 60)), [200_000, 300_000])
    const told = { ...run(2, 0, 60, 60_000), told_at: iso(t0 + 6000) }
    assert.deepEqual(await joules(told), [80_000 + 75_000, 120_000 + 225_000])
  })

  it('bear their own accelerators, and by their cores what is left', async () => {
    const [first, second] = [run(1, 0, 40), run(2, 500, 50)]
    const told = [first, { ...first, ...has(0, 1), told_at: iso(t0 + 6000) }]
    const both = 500 - 20 - 40 - 80 - 200
    assert.deepEqual(await joules(...told, { ...second, ...has(3) }), [
      // Alone on a part of the node at first.
      500 * (20 + 40 + 200 * 0.4 + (500 - 60 - 200)) +
        Math.round(500 * (20 + 40 + 200 * 0.4 + (both * 40) / 90)),
      Math.round(500 * (80 + 200 * 0.5 + (both * 50) / 90)) +
        500 * (80 + 200 * 0.5 + (500 - 80 - 200)),
    ])
    await balance()
    const { domains } = await getJson<{ domains: { domain: string; joules: number }[] }>(
      service,
      '/api/v1/jobs/2/energy/parts',
    )
    const [accelerators, ...others] = domains
    assert.deepEqual([accelerators?.domain, others], ['accelerator', []])
    // Those that nobody owns it bears as it does the rest.
    const [first500, last500] = [(100 + (both * 50) / 90) / 360, 320 / 420]
    const expected = 500 * (80 + 60 * first500) + 500 * (80 + 120 * last500)
    assert.equal(Math.round(accelerators?.joules ?? 0), Math.round(expected))
  })

  it('bear an accelerator alike that both have, and keep it over a resize', async () => {
    const resized = { ...run(1, 0, 40), ...has(2), state: 'RESIZING', db_index: 1 }
    const rest = { ...run(1, 1000, 40), db_index: 2 }
    const both = 500 - 60 - 200
    assert.deepEqual(await joules(resized, rest, { ...run(2, 0, 40), ...has(2) }), [
      1000 * (30 + 80 + both / 2) + 1000 * (60 + 80 + both),
      1000 * (30 + 80 + both / 2),
    ])
  })

  it('bear but their part of the floor while they are suspended and another is not', async () => {
    const pause = (type: string, at: number, job_id = 1) => {
      return { type, cluster: 'c', job_id, time: iso(t0 + at) }
    }
    await joules(run(1, 0, 40), run(2, 500, 60))
    // What is kept of ended runs is forgotten when somebody tells more of them.
    const { rows } = await pool.query('select keep_energy(to_timestamp($1), $2) as kept', [
      t0 + 90_000,
      300,
    ])
    assert.deepEqual(rows, [{ kept: 2 }])
    assert.deepEqual(await joules(pause('suspend', 700), pause('resume', 800)), [
      500 * (80 + 300) + 400 * (80 + 300 * 0.4) + 100 * 80,
      500 * (120 + 300) + 400 * (120 + 300 * 0.6) + 100 * (120 + 300),
    ])
    await balance()
    const path = '/api/v1/jobs/1/energy'
    const { suspensions } = await getJson<{ suspensions: Record<string, number>[] }>(
      service,
      `${path}/parts`,
    )
    assert.deepEqual(
      suspensions.map((each) => [each['started_at'], each['ended_at'], each['joules']]),
      [[iso(t0 + 700), iso(t0 + 800), 8000]],
    )
    const explained = await fetch(`${service.url}${path}/readings?format=explain`)
    assert.match(
      await explained.text(),
      /^suspended from 2026-03-01T00:11:40.000Z to 2026-03-01T00:13:20.000Z: /m,
    )
    // As both are, they are as if neither was.
    assert.deepEqual(await joules(pause('suspend', 700, 2), pause('resume', 750, 2)), [
      500 * (80 + 300) + 450 * (80 + 300 * 0.4) + 50 * 80,
      500 * (120 + 300) + 450 * (120 + 300 * 0.6) + 50 * (120 + 300),
    ])
    await balance()
  })
})
