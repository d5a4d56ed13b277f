import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord, write } from '../support/remote-write.ts'

/** Samples of an hour and a half that ended 20 minutes ago, every 10 s, in lots of ten minutes. */
const [count, perLot] = [540, 60]
const cores = 128
const lots = Array.from({ length: count / perLot }, (_, lot) => lot)

const lot = fc.record({ node: fc.nat({ max: 1 }), lot: fc.nat({ max: 8 }) })
/** A run of one of three jobs, on one or both nodes; told again it may have another end. */
const told = fc.record({
  job: fc.nat({ max: 2 }),
  nodes: fc.constantFrom([0], [1], [0, 1]),
  start: fc.constantFrom(700, 1000, 2500),
  seconds: fc.integer({ min: 60, max: 3000 }),
  cores: fc.constantFrom(undefined, cores, 32, 1),
})
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant('straggler' as const) },
    { weight: 3, arbitrary: fc.record({ tell: told }) },
    { weight: 2, arbitrary: fc.constant('keep' as const) },
  ),
  { minLength: 4, maxLength: 14 },
)
const stories = fc.record({
  /** All is there from the start but for these lots: each comes with a straggler, or never. */
  missing: fc.uniqueArray(lot, {
    minLength: 1,
    maxLength: 5,
    selector: ({ node, lot }) => `${node} ${lot}`,
  }),
  first: told,
  steps,
  resetAt: fc.option(fc.integer({ min: 1, max: count - 1 }), { nil: undefined }),
  hasClock: fc.boolean(),
  idle: fc.boolean(),
})

describe('the energy that is kept of jobs that ended', function kept() {
  this.timeout(120_000)
  let service: Service
  let pool: Pool
  let story = 0

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  const keep = async () => {
    await pool.query('select note_stretches(now())')
    await pool.query('select keep_energy(now(), 300)')
    return await keptRuns()
  }
  const keptRuns = async () => {
    const { rows } = await pool.query<{ run: string }>('select run from run_energy')
    return new Set(rows.map(({ run }) => run))
  }
  const answers = async () => {
    const ids = [0, 1, 2].map((job) => story * 3 + job)
    const { rows } = await pool.query<{ job_id: string }>(
      'select distinct job_id from job where job_id = any ($1) order by job_id',
      [ids],
    )
    return await Promise.all(
      rows.map(({ job_id }) =>
        getJson<EnergyAnswer>(service, `/api/v1/jobs/${job_id}/energy`).then(rounded),
      ),
    )
  }
  const ranking = async () => {
    const { jobs } = await getJson<{ jobs: { job_id: number }[] }>(
      service,
      '/api/v1/jobs?sort=energy&limit=500',
    )
    return jobs.map(({ job_id }) => job_id)
  }

  it('is what it would be anew, whatever came late or was told anew', async () => {
    const seen = { kept: 0, forgotten: 0 }
    const property = fc.asyncProperty(stories, async (plan) => {
      story++
      const began = Math.floor(Date.now() / 10_000) * 10 - 1200 - count * 10
      const node = (nth: number) => `x1000c0s0b${nth}n${story}`
      const store = async (nth: number, lots: readonly number[]) => {
        const series = seriesOf(node(nth), { ...plan, began, lots, watts: 300 + 100 * nth })
        assert.equal((await write(service, series)).status, 204)
      }
      const tell = (run: TypeOf<typeof told>) =>
        postEvents(service, eventsOf(run, { began, job: story * 3 + run.job, node }))
      await pool.query(
        'insert into node (name, xname, cores) select x, x, $2 from unnest($1::text[]) x',
        [[node(0), node(1)], cores],
      )
      const stragglers = [...plan.missing]
      for (const node of [0, 1]) {
        const absent = plan.missing.flatMap((one) => (one.node === node ? [one.lot] : []))
        await store(
          node,
          lots.filter((lot) => !absent.includes(lot)),
        )
      }
      await tell(plan.first)
      let known = await keep()
      for (const step of plan.steps) {
        if (step === 'keep') known = await keep()
        else if (step === 'straggler') {
          const late = stragglers.shift()
          if (late) await store(late.node, [late.lot])
        } else assert.equal((await tell(step.tell)).status, 200)
      }
      const left = await keptRuns()
      seen.kept += left.size
      seen.forgotten += [...known].filter((run) => !left.has(run)).length
      const fromKept = [await answers(), await ranking()]
      await pool.query('truncate run_energy')
      assert.deepEqual(fromKept, [await answers(), await ranking()])
      await keep()
      assert.deepEqual([await answers(), await ranking()], fromKept)
    })
    await fc.assert(property, { numRuns: 15 })
    assert.ok(seen.kept > 15 && seen.forgotten > 1, JSON.stringify(seen))
  })

  it('waits for a reading after the end, and then outlives the samples', async () => {
    const began = Math.floor(Date.now() / 1000) - 2400
    const labels = { __name__: 'cray_node_energy_joules_total', xname: 'x9c0s0b0n0' }
    const store = async (seconds: readonly number[]) => {
      const samples = seconds.map((at) => [(began + at) * 1000, at * 500 + 0.25] as const)
      assert.equal((await write(service, [{ labels, samples }])).status, 204)
    }
    await store(Array.from({ length: 90 }, (_, i) => i * 10))
    const about = { cluster: 'c', job_id: 900_001 }
    await postEvents(service, [
      { ...about, type: 'start', time: iso(began + 300), nodelist: 'x9c0s0b0n0' },
      { ...about, type: 'end', time: iso(began + 1000) },
    ])
    const energy = () => getJson<EnergyAnswer>(service, '/api/v1/jobs/900001/energy')
    const before = await keep()
    assert.equal((await energy()).joules_high, null)
    // A minute old, so not late.
    await store([2340])
    const { joules, joules_high } = await energy()
    assert.deepEqual([joules, joules_high !== null], [350_000, true])
    assert.deepEqual(await keep(), before)
    await store([1600, 1610, 1700])
    assert.equal((await keep()).size, before.size + 1)
    await pool.query('truncate frames, segments')
    assert.equal((await energy()).joules, 350_000)
  })
})

type TypeOf<A> = A extends fc.Arbitrary<infer T> ? T : never

interface Lot {
  began: number
  lots: readonly number[]
  watts: number
  resetAt: number | undefined
  hasClock: boolean
  idle: boolean
}

function seriesOf(xname: string, { began, lots, watts, resetAt, hasClock, idle }: Lot) {
  const labels = { xname, job: 'j', instance: 'e' }
  const sensor = 'ChassisVoltageRegulator0InputEnergy'
  const taken = lots.flatMap((lot) => Array.from({ length: perLot }, (_, i) => lot * perLot + i))
  const samples = (value: (i: number) => number) =>
    taken.map((i) => [(began + i * 10) * 1000, value(i)] as const)
  const since = (i: number) => (resetAt !== undefined && i >= resetAt ? resetAt : -1000)
  return [
    {
      labels: { __name__: 'cray_node_energy_joules_total', ...labels },
      samples: samples((i) => (i - since(i)) * watts * 10 + 0.25),
    },
    {
      labels: { __name__: 'cray_sensor_reading_timestamp_seconds', ...labels, sensor },
      samples: hasClock ? samples((i) => began + i * 10 - 2.5) : [],
    },
    {
      labels: { __name__: 'cray_node_idle_power_watts', ...labels },
      samples: idle ? samples(() => 100).slice(0, 1) : [],
    },
  ].filter(({ samples }) => samples.length > 0)
}

function eventsOf(
  { nodes, start, seconds, cores }: TypeOf<typeof told>,
  { began, job, node }: { began: number; job: number; node: (nth: number) => string },
) {
  const about = { cluster: 'c', job_id: job }
  const share = cores === undefined ? {} : { cpus_per_node: `${cores}(x${nodes.length})` }
  const nodelist = nodes.map(node).join(',')
  return [
    { ...about, type: 'start', time: iso(began + start), nodelist, ...share },
    { ...about, type: 'end', time: iso(began + start + seconds) },
  ]
}

/** To the thousandth of a joule: sums go in any order. */
function rounded({ nodes, ...energy }: EnergyAnswer) {
  const figures = (part: object) =>
    Object.entries(part).map(([name, value]) => [
      name,
      typeof value === 'number' ? Math.round(value * 1000) : value,
    ])
  return [figures(energy), nodes.map(figures)]
}
