import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord, write } from '../support/remote-write.ts'

/** Samples of an hour and a half that ended 20 minutes ago, every 10 s, on the ten seconds. */
const count = 540
const began = Math.floor(Date.now() / 10_000) * 10 - 1200 - count * 10

/** Which samples come together, in which order, and after which of them stretches are noted. */
const arrivals = fc.record({
  lots: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8], { minLength: 9 }),
  noted: fc.uniqueArray(fc.integer({ min: 0, max: 8 }), { minLength: 1 }),
  /** Samples that come last of all. */
  stragglers: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { maxLength: 5 }),
  /** Those around the job's start and end come last, too. */
  edgesLate: fc.boolean(),
  /** Whether the job is told before its samples. */
  toldFirst: fc.boolean(),
  resets: fc.uniqueArray(fc.integer({ min: 1, max: count - 1 }), {
    maxLength: 2,
    comparator: (a, b) => Math.abs(a - b) < 2,
  }),
  from: fc.integer({ min: 700, max: 3000 }),
  seconds: fc.integer({ min: 60, max: 2300 }),
})

describe('the energy of a job whose samples come late', function late() {
  this.timeout(120_000)
  let service: Service
  let pool: Pool
  let job = 0

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  const store = async (samples: (readonly [number, number])[]) => {
    if (samples.length === 0) return
    const xname = `x1000c0s0b0n${job}`
    const labels = { __name__: 'cray_node_energy_joules_total', xname, job: 'j', instance: 'e' }
    assert.equal((await write(service, [{ labels, samples }])).status, 204)
  }

  it('is the same with what was noted before and without', async () => {
    const used = { stretches: 0, edges: 0 }
    const property = fc.asyncProperty(arrivals, async (plan) => {
      job++
      const told = valuesOf(plan.resets)
      const span = { from: began + plan.from, to: began + plan.from + plan.seconds }
      const edges = [plan.from, plan.from + plan.seconds].map((edge) => Math.floor(edge / 10))
      const late = new Set([...plan.stragglers, ...(plan.edgesLate ? edges : [])])
      if (plan.toldFirst) await postEvents(service, events(job, span))
      for (const [nth, lot] of plan.lots.entries()) {
        const own = told.filter((_, i) => Math.floor(i / 60) === lot && !late.has(i))
        await store(own)
        if (plan.noted.includes(nth)) await pool.query('select note_stretches(now())')
      }
      const noted0 = await counted()
      await store(told.filter((_, i) => late.has(i)))
      if (!plan.toldFirst) await postEvents(service, events(job, span))
      const energy = () => getJson<EnergyAnswer>(service, `/api/v1/jobs/${job}/energy`)
      const noted = await energy()
      await pool.query('select note_stretches(now())')
      const renoted = await energy()
      used.stretches += noted0.stretches
      used.edges += noted0.edges
      await pool.query('truncate counter_stretch cascade')
      const read = await energy()
      assert.deepEqual([rounded(noted), rounded(renoted)], [rounded(read), rounded(read)])
      assert.equal(read.resets, resetsWithin(plan.resets, plan))
    })
    await fc.assert(property, { numRuns: 30 })
    assert.ok(used.stretches > 0 && used.edges > 0, JSON.stringify(used))
  })

  async function counted(): Promise<{ stretches: number; edges: number }> {
    const { rows } = await pool.query<{ stretches: number; edges: number }>(
      `select (select count(*)::int from counter_stretch) as stretches,
         (select count(*)::int from edge_reading) as edges`,
    )
    return rows[0] ?? { stretches: 0, edges: 0 }
  }
})

/** 400 W and 0.25 J, from zero again at each reset. */
function valuesOf(resets: readonly number[]): (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => {
    const since = Math.max(-1000, ...resets.filter((reset) => reset <= i))
    return [(began + i * 10) * 1000, (i - since) * 4000 + 0.25] as const
  })
}

/** The step to each reset counts if any of it is the job's. */
function resetsWithin(
  resets: readonly number[],
  { from, seconds }: { from: number; seconds: number },
) {
  return resets.filter((i) => i * 10 > from && (i - 1) * 10 < from + seconds).length
}

function events(id: number, { from, to }: { from: number; to: number }) {
  const about = { cluster: 'c', job_id: id }
  return [
    { ...about, type: 'start', time: iso(from), nodelist: `x1000c0s0b0n${id}` },
    { ...about, type: 'end', time: iso(to) },
  ]
}

function rounded({ joules, joules_low, joules_high, coverage_ratio, resets }: EnergyAnswer) {
  const joule = (value: number | null) => value !== null && Math.round(value * 1000)
  return [joule(joules), joule(joules_low), joule(joules_high), coverage_ratio, resets]
}
