import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'

/** 2026-03-01T00:00:00Z */
const t0 = Date.UTC(2026, 2, 1) / 1000
/** What a broken device or database may hold: no two of them can be added up. */
const absurd = [1.7e308, -1.7e308, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]

describe('readings that no number holds the sum of', () => {
  let service: Service
  let pool: Pool

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  for (const [id, metric, value] of [
    [1, 'cray_node_energy_joules_total', (t: number) => 400 * t + 0.5],
    [2, 'cray_node_power_watts', () => 400],
  ] as const) {
    it(`are none of ${metric}: the others tell the energy`, async () => {
      const xname = `x1000c0s0b0n${id}`
      const samples = Array.from({ length: 181 }, (_, i) => {
        const broken = i % 7 === 3 ? absurd[Math.floor(i / 7) % absurd.length] : undefined
        return [t0 + i * 10, broken ?? value(i * 10)] as const
      })
      await storeSeries(pool, [{ metric, labels: { xname }, samples }])
      const about = { cluster: 'c', job_id: id }
      await postEvents(service, [
        { ...about, type: 'start', time: iso(t0 + 305), nodelist: xname },
        { ...about, type: 'end', time: iso(t0 + 905) },
      ])
      const energy = () => getJson<EnergyAnswer>(service, `/api/v1/jobs/${id}/energy`)
      const { joules, resets, coverage_ratio } = await energy()
      assert.deepEqual([Math.round(joules ?? 0), resets, coverage_ratio], [240_000, 0, 1])
      await pool.query('select note_stretches($1)', [iso(t0 + 2500)])
      assert.equal(Math.round((await energy()).joules ?? 0), 240_000)
    })
  }

  it('cost a counter no digit that its other readings have', async () => {
    const xname = 'x1000c0s0b0n9'
    const value = (i: number) => (i === 50 ? 1e299 : i > 50 ? (i - 51) * 4000 : i * 4000)
    const samples = Array.from({ length: 181 }, (_, i) => [t0 + i * 10, value(i) + 0.5] as const)
    const labels = { xname }
    await storeSeries(pool, [{ metric: 'cray_node_energy_joules_total', labels, samples }])
    const about = { cluster: 'c', job_id: 9 }
    await postEvents(service, [
      { ...about, type: 'start', time: iso(t0 + 300), nodelist: xname },
      { ...about, type: 'end', time: iso(t0 + 900) },
    ])
    const { joules, resets } = await getJson<EnergyAnswer>(service, '/api/v1/jobs/9/energy')
    // 190 s before the reading at 500 s that cannot be, 390 s after the restart at 510 s.
    assert.deepEqual([joules, resets], [400 * (190 + 390) + 0.5, 2])
  })
})
