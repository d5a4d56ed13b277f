import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000
const about = { cluster: 'alps', job_id: 7 }
const nodelist = 'x1000c0s0b0n[0-1]'

function start(at: number, more: object = {}) {
  return { ...about, type: 'start', time: iso(t0 + at), nodelist, ...more }
}

function end(at: number, more: object = {}) {
  return { ...about, type: 'end', time: iso(t0 + at), ...more }
}

/** A run as sacct has it, told at `told`. */
function run(from: number, to: number | undefined, more: object = {}, told = 10_000) {
  const ended_at = to === undefined ? undefined : iso(t0 + to)
  const times = { time: iso(t0 + from), ended_at, told_at: iso(t0 + told) }
  return { ...about, type: 'run', ...times, nodelist, source: 'sacct', ...more }
}

describe('runs of accounting', () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  const tell = async (...events: object[]) => {
    const { status, body } = await postEvents(service, events)
    assert.equal(status, 200, JSON.stringify(body))
  }
  const runs = async () => {
    const { rows } = await pool.query<{ run: string }>(
      `select concat_ws(' ', format('%s-%s', (extract(epoch from j.started_at) - $1)::float8,
         (extract(epoch from j.ended_at) - $1)::float8), j.state, j.source,
         (select string_agg(concat_ws(':', a.node, a.cores), ',' order by a.node)
          from allocation a where a.run = j.id)) as run
       from job j order by j.job_id, j.started_at`,
      [t0],
    )
    return rows.map(({ run }) => run.replaceAll('x1000c0s0b0', ''))
  }

  const stories: Record<string, [events: object[], runs: string[]]> = {
    'overwrite the times and facts that hooks told, and keep what only hooks know': [
      [
        start(100.4, { source: 'slurm-hook', cpus_per_node: '3,1' }),
        end(700.5),
        run(100, 700, { state: 'TIMEOUT', cpus: 4 }),
      ],
      ['100-700 TIMEOUT sacct n0:3,n1:1'],
    ],
    'end when a hook says so, until accounting knows': [
      [start(100.4), end(700.5), run(100, undefined, { state: 'RUNNING' })],
      ['100-700.5 sacct n0,n1'],
    ],
    'are two though they start in the same second': [
      [
        run(100, 100, { state: 'REQUEUED', db_index: 3 }, 6000),
        run(100, 160, { state: 'COMPLETED', db_index: 4 }, 5000),
        run(100, 130, { state: 'FAILED', source: 'jobcomp' }, 7000),
      ],
      ['100-100 REQUEUED sacct n0,n1', '100.001-160 COMPLETED sacct n0,n1'],
    ],
    'keep their end when an older report comes later': [
      [
        run(100, 700, { state: 'COMPLETED' }, 5000),
        run(100, undefined, { state: 'RUNNING' }, 4000),
        run(100, undefined, { state: 'RUNNING' }, 6000),
      ],
      ['100-700 COMPLETED sacct n0,n1'],
    ],
    'take the later of two reports that have an end': [
      [
        run(100, 700, { state: 'FAILED', db_index: 3 }, 6000),
        run(101, 650, { state: 'COMPLETED', db_index: 3 }, 5000),
      ],
      ['100-700 FAILED sacct n0,n1'],
    ],
    'are open while their end is unknown, whatever their state': [
      [run(100, undefined, { state: 'COMPLETED' })],
      ['100- sacct n0,n1'],
    ],
    'shrink with a resize that hooks did not see': [
      [
        start(100.3, { cpus_per_node: '4(x2)' }),
        end(700.1),
        run(100, 300, { state: 'RESIZING', cpus: 8, db_index: 1 }),
        run(300, 700, { state: 'COMPLETED', cpus: 4, db_index: 2, nodelist: 'x1000c0s0b0n0' }),
      ],
      ['100-300 RESIZING sacct n0:4,n1:4', '300-700 COMPLETED sacct n0:4'],
    ],
    'leave the run alone that only hooks know yet': [
      [start(100.3), end(300.2), start(450.5, { restart_count: 1 }), run(100, 300)],
      ['100-300 sacct n0,n1', '450.5- event n0,n1'],
    ],
    'end an open run when hooks tell of the next': [
      [start(100.3), start(450.5, { restart_count: 1 }), run(100, undefined)],
      ['100-450.5 sacct n0,n1', '450.5- event n0,n1'],
    ],
    'are one with a start that a busy slurmctld told late': [
      [start(190.3, { cpus_per_node: '3,1' }), end(700.5), run(100, 700, { cpus: 4 })],
      ['100-700 sacct n0:3,n1:1'],
    ],
    'have no length for a job of less than a second': [
      [run(100, 100, { state: 'COMPLETED' })],
      ['100-100 COMPLETED sacct n0,n1'],
    ],
    'spread cores that only their sum is known of': [
      [run(100, 700, { cpus: 5 })],
      ['100-700 sacct n0:3,n1:2'],
    ],
  }
  for (const [title, [events, expected]] of Object.entries(stories)) {
    it(title, async () => {
      await tell(...events)
      assert.deepEqual(await runs(), expected)
      await pool.query('truncate job_event, job cascade')
      for (const event of events.toReversed()) await tell(event)
      assert.deepEqual(await runs(), expected)
    })
  }

  it('have steps, suspended seconds and the energy that Slurm says', async () => {
    const step = { step: 'batch', name: 'batch', started_at: iso(t0 + 100), state: 'FAILED' }
    const known = { scheduler_joules: 86_059, suspended_seconds: 4, db_index: 12, qos: 'normal' }
    await tell(run(100, undefined, { steps: [step] }, 4000))
    const more = {
      ...step,
      ended_at: iso(t0 + 200),
      exit_code: '1:0',
      scheduler_joules: 5,
      cpus: 2,
    }
    const last = { step: '0', started_at: iso(t0 + 150), nodelist: 'x1000c0s0b0n0' }
    await tell(run(100, 700, { ...known, steps: [more, last] }, 5000))
    const { rows } = await pool.query(
      `select j.scheduler_joules, j.suspended_seconds::int4, j.db_index::int4, j.qos, s.step,
         s.state, s.exit_code, s.scheduler_joules as step_joules, s.cpus, s.nodelist,
         extract(epoch from s.ended_at)::float8 - $1 as ended_at
       from job j join job_step s on s.run = j.id order by s.step`,
      [t0],
    )
    const none = { state: null, exit_code: null, step_joules: null, cpus: null, ended_at: null }
    assert.deepEqual(rows, [
      { ...known, ...none, step: '0', nodelist: 'x1000c0s0b0n0' },
      {
        ...known,
        ...{ step: 'batch', state: 'FAILED', exit_code: '1:0', step_joules: 5, cpus: 2 },
        ...{ nodelist: null, ended_at: 200 },
      },
    ])
  })

  it('are of another job where a number was used again', async () => {
    const later = { submitted_at: iso(t0 + 90_000), user: 'bob' }
    await tell(run(100, 700, { submitted_at: iso(t0 + 50), user: 'alice' }))
    await tell(run(90_100, 90_200, later), run(90_300, 90_400, { ...later, restart_count: 1 }))
    const job = await getJson<Record<string, unknown>>(service, '/api/v1/jobs/7')
    assert.deepEqual(
      [job['user'], job['runs'], job['started_at'], job['ended_at']],
      ['bob', 2, iso(t0 + 90_100), iso(t0 + 90_400)],
    )
    const first = await getJson<Record<string, unknown>>(
      service,
      `/api/v1/jobs/7?at=${iso(t0 + 100)}`,
    )
    assert.deepEqual(
      [first['user'], first['runs'], first['started_at'], first['ended_at']],
      ['alice', 1, iso(t0 + 100), iso(t0 + 700)],
    )
    const paths = ['energy', 'energy/readings'].map((path) => `/api/v1/jobs/7/${path}?at=`)
    for (const path of paths) {
      await getJson(service, path + iso(t0 + 99), 404)
      await getJson(service, path + iso(t0 + 80_000))
    }
    const { jobs } = await getJson<{ jobs: { user: string; runs: number }[] }>(
      service,
      '/api/v1/jobs',
    )
    assert.deepEqual(
      jobs.map(({ user, runs }) => [user, runs]),
      [
        ['bob', 2],
        ['alice', 1],
      ],
    )
  })

  it('show which jobs hold a node now', async () => {
    const step = { step: '0', started_at: iso(t0 + 110) }
    await tell(run(100, undefined, { user: 'alice', steps: [step] }))
    await tell(run(100, 200, { job_id: 8 }), run(100, undefined, { job_id: 9, nodelist: 'nid9' }))
    const { rows } = await pool.query(
      `select r.xname, r.cluster, r.job_id::int4, r.step, r.user_name, r.since
       from running_job r order by r.xname`,
    )
    const same = { cluster: 'alps', job_id: 7, step: '0', user_name: 'alice' }
    const since = new Date((t0 + 100) * 1000)
    assert.deepEqual(
      rows,
      ['x1000c0s0b0n0', 'x1000c0s0b0n1'].map((xname) => ({ xname, ...same, since })),
    )
  })
})
