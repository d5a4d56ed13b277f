import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000

const edge = fc
  .record({
    job_id: fc.integer({ min: 1, max: 3 }),
    at: fc.integer({ min: 0, max: 90 }),
    fraction: fc.constantFrom(0, 0, 0.4),
    type: fc.constantFrom('start', 'end'),
    nodelist: fc.constantFrom('x1c0s0b0n[0-1]', 'x1c0s0b0n[1-3]', 'nid7', ''),
    restart_count: fc.option(fc.integer({ min: 0, max: 1 }), { nil: undefined }),
    state: fc.constantFrom(undefined, 'COMPLETED', 'FAILED'),
    user: fc.constantFrom(undefined, 'alice', 'bob'),
    accelerators: fc.constantFrom(
      undefined,
      [{ nodelist: 'x1c0s0b0n[0-1]', indices: [1, 0] }],
      [{ nodelist: 'x1c0s0b0n1', indices: [3] }],
    ),
  })
  .map(({ at, fraction, ...rest }) => {
    return { ...rest, cluster: 'c', time: iso(t0 + at * 2 + fraction) }
  })

const second = fc.integer({ min: 0, max: 90 })

/** What accounting says of a run, and says again later. */
const run = fc
  .record({
    job_id: fc.integer({ min: 1, max: 3 }),
    at: second,
    lasts: fc.option(second, { nil: undefined }),
    told: fc.integer({ min: 100, max: 110 }),
    db_index: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    nodelist: fc.constantFrom('x1c0s0b0n[0-1]', 'nid7'),
    cpus: fc.constantFrom(undefined, 5),
    state: fc.constantFrom('RUNNING', 'REQUEUED', 'COMPLETED'),
    submitted: fc.constantFrom(undefined, 0, -9000),
    steps: fc.constantFrom([], ['0'], ['0', 'batch']),
  })
  .map(({ at, lasts, told, submitted, steps, ...rest }) => {
    const started_at = iso(t0 + at * 2)
    return {
      ...rest,
      type: 'run',
      cluster: 'c',
      time: started_at,
      told_at: iso(t0 + told),
      ended_at: lasts === undefined ? undefined : iso(t0 + (at + lasts) * 2),
      submitted_at: submitted === undefined ? undefined : iso(t0 + submitted),
      steps: steps.map((step) => ({ step, started_at })),
    }
  })

const pause = fc
  .record({
    job_id: fc.integer({ min: 1, max: 3 }),
    at: second,
    type: fc.constantFrom('suspend', 'resume'),
  })
  .map(({ at, ...rest }) => ({ ...rest, cluster: 'c', time: iso(t0 + at * 2) }))

const event = fc.oneof(edge, run, pause)

/** The same events twice: in any order, some told again, cut into batches anywhere. */
const tellings = fc.array(event, { minLength: 1, maxLength: 8 }).chain((events) => {
  const telling = fc.tuple(
    fc.shuffledSubarray([...events, ...events], {
      minLength: events.length * 2,
      maxLength: events.length * 2,
    }),
    fc.integer({ min: 2, max: events.length * 2 }),
  )
  return fc.tuple(telling, telling)
})

describe('events in any order', () => {
  let service: Service
  let pool: Pool

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  async function stateAfter(events: readonly object[], batch: number): Promise<unknown> {
    await pool.query('truncate job_event, job cascade')
    for (let i = 0; i < events.length; i += batch) {
      const { status } = await postEvents(service, events.slice(i, i + batch))
      assert.equal(status, 200)
    }
    const { rows } = await pool.query(
      `select to_jsonb(j) - 'id' as run, array_agg(to_jsonb(a) - 'run' order by a.node) as nodes,
         array(select to_jsonb(s) - 'run' from job_step s where s.run = j.id order by 1) as steps,
         array(select to_jsonb(s) - 'run' from suspension s where s.run = j.id order by 1) as halts
       from job j left join allocation a on a.run = j.id
       group by j.id order by j.cluster, j.job_id, j.started_at`,
    )
    return rows
  }

  it('give the same runs and allocations', async () => {
    const property = fc.asyncProperty(tellings, async ([one, other]) => {
      assert.deepEqual(await stateAfter(...one), await stateAfter(...other))
    })
    await fc.assert(property, { numRuns: 60 })
  })

  it('never leave two runs or suspensions open, or one that overlaps the next', async () => {
    const events = fc.array(event, { minLength: 1, maxLength: 20 })
    const property = fc.asyncProperty(events, async (told) => {
      await stateAfter(told, told.length)
      const { rows } = await pool.query(
        `select from job j join job k using (cluster, job_id)
         where j.started_at < k.started_at
           and (j.ended_at is null or j.ended_at > k.started_at)`,
      )
      assert.equal(rows.length, 0)
      const outside = await pool.query(
        `select from suspension s join job j on j.id = s.run
         where s.started_at < j.started_at or s.ended_at > j.ended_at
           or (s.ended_at is null and j.ended_at is not null)
           or exists (select from suspension o where o.run = s.run
             and o.started_at > s.started_at
             and (o.started_at < s.ended_at or s.ended_at is null))`,
      )
      assert.equal(outside.rows.length, 0)
    })
    await fc.assert(property, { numRuns: 50 })
  })
})
