import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord, write } from '../support/remote-write.ts'

/** A day ago: jobs of then have ended as soon as they are known. */
const t0 = Math.floor(Date.now() / 1000) - 86_400
const x1 = 'x1000c0s0b0n0'
const x2 = 'x1000c0s0b0n1'

/** Instants on both sides of the silence of 300 s that parts two runs. */
const instant = fc.constantFrom(0, 1, 2, 3, 290, 310, 600, 601, 902, 1210, 1500, 1850)
const jobId = fc.constantFrom(0, 0, 0, 1)

const sample = fc.record({
  kind: fc.constant('sample' as const),
  jobId,
  at: instant,
  node: fc.constantFrom(x1, x1, x2, '', 'nid[3-4]'),
  step: fc.constantFrom('', '', '0'),
  user: fc.constantFrom('', 'alice', 'bob'),
})
const event = fc.record({
  kind: fc.constant('event' as const),
  jobId,
  at: instant,
  type: fc.constantFrom('start', 'end'),
  cluster: fc.constantFrom('default', 'alps'),
})
type Value<A> = A extends fc.Arbitrary<infer T> ? T : never
type Told = Value<typeof sample> | Value<typeof event>

/** The same, all of it twice, in any order, cut anywhere, told to two receivers. */
const tellings = fc
  .array(fc.oneof({ weight: 4, arbitrary: sample }, event), { minLength: 1, maxLength: 10 })
  .chain((told) => {
    const twice: Told[] = [...told, ...told]
    const size = { minLength: twice.length, maxLength: twice.length }
    const cut = fc.record({
      length: fc.integer({ min: 1, max: 5 }),
      receiver: fc.nat({ max: 1 }),
      rest: fc.constantFrom(false, false, true),
    })
    const cuts = fc.array(cut, { minLength: 1, maxLength: 5 })
    const telling = fc.record({ told: fc.shuffledSubarray(twice, size), cuts })
    return fc.tuple(telling, telling)
  })

describe('jobs of labels and of events', () => {
  let receivers: Service[]
  let pool: Pool
  let jobs = 1000

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    receivers = [await startRecord(database.url), await startRecord(database.url)]
  })

  after(() => Promise.all(receivers.map((receiver) => receiver.close())))

  it('are the same whatever order, number and receivers of samples and events', async () => {
    const property = fc.asyncProperty(tellings, async ([one, other]) => {
      const state = await stateAfter(one)
      assert.deepEqual(await stateAfter(other), state)
    })
    await fc.assert(property, { numRuns: 15 })
  })

  it('are never two at one time, one of labels and one of events', async () => {
    const property = fc.asyncProperty(tellings, async ([telling]) => {
      await stateAfter(telling)
      const { rows } = await pool.query(
        `select l.job_id
         from job l
         join job e using (job_id)
         where l.source = 'labels' and e.source <> 'labels' and l.ended_at >= e.started_at
           and (e.ended_at is null or e.ended_at >= l.started_at)`,
      )
      assert.deepEqual(rows, [])
    })
    await fc.assert(property, { numRuns: 10 })
  })

  /** Each telling has job numbers of its own: the receivers remember what they were told. */
  async function stateAfter({ told, cuts }: { told: Told[]; cuts: Cut[] }): Promise<unknown> {
    jobs += 10
    const base = jobs
    for (let i = 0, n = 0; i < told.length; n++) {
      const { length, receiver, rest } = cuts[n % cuts.length] ?? wholly
      await tell(receivers[receiver], base, told.slice(i, i + length))
      i += length
      if (rest) await settled()
    }
    await settled()
    return await stateOf(base)
  }

  async function settled(): Promise<void> {
    await until(async () => {
      const { rows } = await pool.query('select from job_label where open or pending')
      return rows.length === 0 || undefined
    }, 20)
  }

  async function tell(to: Service | undefined, base: number, told: Told[]): Promise<void> {
    assert.ok(to)
    const series = told.flatMap((one) => {
      if (one.kind === 'event') return []
      const { at, node, step, user } = one
      const named = Object.entries({ node, step, user }).filter(([, value]) => value !== '')
      const labels = { __name__: 'slurm_job_cpus', jobid: String(base + one.jobId) }
      const samples: [number, number][] = [[(t0 + at) * 1000, 1]]
      return [{ labels: { ...labels, ...Object.fromEntries(named) }, samples }]
    })
    const events = told.flatMap((one) => {
      if (one.kind === 'sample') return []
      const { type, cluster, at } = one
      return [{ type, cluster, job_id: base + one.jobId, time: iso(t0 + at), nodelist: x1 }]
    })
    if (series.length > 0) assert.equal((await write(to, series)).status, 204)
    if (events.length > 0) assert.equal((await postEvents(to, events)).status, 200)
  }

  async function stateOf(base: number): Promise<unknown> {
    const { rows: runs } = await pool.query(
      `select j.job_id - $1 as job, to_jsonb(j) - '{id,job_id}'::text[] as run,
         array(select to_jsonb(a) - 'run' from allocation a where a.run = j.id order by a.node)
           as nodes,
         array(select to_jsonb(s) - 'run' from job_step s
           where s.run = j.id and j.source = 'labels' order by s.step) as steps
       from job j
       where j.job_id between $1 and $1 + 1
       order by j.job_id, j.started_at, j.cluster`,
      [base],
    )
    const { rows: stretches } = await pool.query(
      `select l.job_id - $1 as job, to_jsonb(l) - '{job_id,labels}'::text[] as stretch
       from job_label l
       where l.job_id between $1 and $1 + 1
       order by l.job_id, l.node, l.step, l.first_at`,
      [base],
    )
    return { runs, stretches }
  }
})

interface Cut {
  length: number
  receiver: number
  /** Whether the jobs are brought up to date before the rest is told. */
  rest: boolean
}

const wholly: Cut = { length: 100, receiver: 0, rest: true }
