import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { loadTopology } from '../../remote-write/jobs/topology.ts'
import { getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000
const about = { cluster: 'alps', job_id: 7 }

function start(at: number, more: object = {}) {
  return { ...about, type: 'start', time: iso(t0 + at), nodelist: 'x1000c0s0b0n[0-1]', ...more }
}

function end(at: number, more: object = {}) {
  return { ...about, type: 'end', time: iso(t0 + at), ...more }
}

interface ListedJob {
  job_id: number
  state: string
  started_at: string
  ended_at: string | null
  runs: number
  nodes: number
}

describe('jobs over HTTP', () => {
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
    return body
  }
  const list = async (query = '') => {
    const { jobs } = await getJson<{ jobs: ListedJob[] }>(service, `/api/v1/jobs${query}`)
    return jobs
  }
  const runs = async () => {
    const { rows } = await pool.query<{ run: string }>(
      `select format('%s-%s %s', extract(epoch from started_at) - $1,
         extract(epoch from ended_at) - $1, state) as run
       from job order by cluster, job_id, started_at`,
      [t0],
    )
    return rows.map(({ run }) => run.replaceAll('.000000', '').trim())
  }

  it('shows what was told of a job', async () => {
    const facts = {
      submitted_at: iso(t0 + 50),
      user: 'alice',
      uid: 2001,
      account: 'proj_a',
      partition: 'workq',
      name: 'we|rd "n\'ame, é x',
      cpus_per_node: '128(x2)',
      restart_count: 0,
      array_job_id: 5,
      array_task_id: 2,
    }
    await tell(start(100, facts), end(700, { state: 'TIMEOUT', exit_code: '0:0' }))
    assert.deepEqual(await getJson(service, '/api/v1/jobs/7'), {
      job_id: 7,
      cluster: 'alps',
      user: 'alice',
      account: 'proj_a',
      partition: 'workq',
      name: 'we|rd "n\'ame, é x',
      state: 'TIMEOUT',
      exit_code: '0:0',
      submitted_at: iso(t0 + 50),
      started_at: iso(t0 + 100),
      ended_at: iso(t0 + 700),
      suspended_seconds: 0,
      runs: 1,
      array_job_id: 5,
      array_task_id: 2,
      het_job_id: null,
      het_job_offset: null,
      nodes: 2,
      nodelist: 'x1000c0s0b0n[0-1]',
      source: 'event',
      energy: {
        joules: null,
        joules_low: null,
        joules_high: null,
        coverage_ratio: 0,
        method: 'none',
        resets: 0,
        nodes_expected: 2,
        nodes_with_data: 0,
      },
    })
  })

  it('changes nothing when the same events come again', async () => {
    await tell(start(100), end(700))
    const before = await pool.query('select * from job j join allocation a on a.run = j.id')
    await tell(end(700), start(100), end(700))
    const after = await pool.query('select * from job j join allocation a on a.run = j.id')
    assert.deepEqual(after.rows, before.rows)
  })

  const stories: Record<string, [events: object[], runs: string[]]> = {
    'keeps an end that came before its start': [[end(700), start(100)], ['100-700']],
    'has a run for each start of a requeued job': [
      [start(100), end(300, { state: 'REQUEUED' }), start(450), end(700, { state: 'COMPLETED' })],
      ['100-300 REQUEUED', '450-700 COMPLETED'],
    ],
    'closes a run at the next start when its end was never told': [
      [start(100), start(450)],
      ['100-450', '450-'],
    ],
    'takes two starts within 30 s for one run told twice': [
      [start(100.4), start(100), end(700.2), end(700)],
      ['100-700'],
    ],
    'takes two starts within 30 s for two runs if their restart counts differ': [
      [start(100, { restart_count: 0 }), start(110, { restart_count: 1 })],
      ['100-110', '110-'],
    ],
    'has a run without length for a job that ended in the second it started': [
      [start(100.6), end(100)],
      ['100.600000-100.600000'],
    ],
    'ends a run before the next starts in the same second': [
      [start(100), start(700), end(700)],
      ['100-700', '700-'],
    ],
    'waits for the start when only an end was told': [[end(700)], []],
  }
  for (const [title, [events, expected]] of Object.entries(stories)) {
    it(title, async () => {
      for (const event of events) await tell(event)
      assert.deepEqual(await runs(), expected)
    })
  }

  it('lists the jobs that started last first, with one entry for a requeued job', async () => {
    await tell(start(100), end(300), start(900))
    await tell(start(400, { job_id: 8, user: 'bob' }), end(500, { job_id: 8 }))
    const jobs = await list()
    assert.deepEqual(
      jobs.map(({ job_id, state, runs }) => [job_id, state, runs]),
      [
        [7, 'RUNNING', 2],
        [8, 'ENDED', 1],
      ],
    )
    assert.equal(jobs[0]?.started_at, iso(t0 + 100))
    assert.equal(jobs[0]?.ended_at, null)
  })

  it('lists by state, user, cluster, time and number', async () => {
    await tell(start(100, { user: 'alice' }))
    await tell(start(400, { job_id: 8, user: 'bob' }), end(500, { job_id: 8 }))
    await tell(
      start(600, { cluster: 'eiger', job_id: 9 }),
      end(700, { cluster: 'eiger', job_id: 9 }),
    )
    const ids = async (query: string) => (await list(query)).map(({ job_id }) => job_id)
    assert.deepEqual(await ids('?state=running'), [7])
    assert.deepEqual(await ids('?state=ended'), [9, 8])
    assert.deepEqual(await ids('?user=bob'), [8])
    assert.deepEqual(await ids('?cluster=eiger'), [9])
    assert.deepEqual(await ids(`?since=${iso(t0 + 600)}`), [9, 7])
    assert.deepEqual(await ids('?limit=1'), [9])
  })

  it('refuses parameters that it does not understand', async () => {
    for (const query of [
      'limit=501',
      'limit=0',
      'state=done',
      'since=yesterday',
      'user=a&user=b',
    ]) {
      const problem = await getJson<{ detail: string }>(service, `/api/v1/jobs?${query}`, 400)
      assert.ok(problem.detail.startsWith(`${query.split('=')[0]}: `), problem.detail)
    }
    await getJson(service, '/api/v1/jobs/seven', 400)
  })

  it('answers 404 for a job that nobody told of', async () => {
    for (const path of ['/api/v1/jobs/7', '/api/v1/jobs/7/energy']) {
      const problem = await getJson<{ code: string; detail: string }>(service, path, 404)
      assert.deepEqual([problem.code, problem.detail], ['unknown_job', 'nobody told of a job 7'])
    }
  })

  it('asks for the cluster where two have a job of the same number', async () => {
    await tell(start(100), start(200, { cluster: 'eiger', nodelist: 'x1000c0s0b0n0' }))
    const problem = await getJson<{ detail: string }>(service, '/api/v1/jobs/7/energy', 400)
    assert.match(problem.detail, /alps, eiger/)
    const energy = await getJson<{ nodes_expected: number }>(
      service,
      '/api/v1/jobs/7/energy?cluster=eiger',
    )
    assert.equal(energy.nodes_expected, 1)
    await getJson(service, '/api/v1/jobs/7?cluster=daint', 404)
  })

  describe('events that are refused', () => {
    const faults: Record<string, [event: object, fault: RegExp]> = {
      'an unknown type': [start(1, { type: 'pause' }), /events\.0\.type: /],
      'no job id': [start(1, { job_id: undefined }), /events\.0\.job_id: /],
      'a negative job id': [start(1, { job_id: -1 }), /events\.0\.job_id: /],
      'a time without zone': [start(1, { time: '2026-03-01 00:00:00' }), /events\.0\.time: /],
      'a nodelist that is none': [start(1, { nodelist: 'nid[5-3]' }), /nodelist: .*5-3 falls/],
      'too many nodes': [start(1, { nodelist: 'n[0-70000]' }), /events\.0\.nodelist: .*65536/],
      'cpus for other nodes': [
        start(1, { cpus_per_node: '64' }),
        /cpus_per_node: .*1 nodes, not 2/,
      ],
      'cpus that are none': [start(1, { cpus_per_node: '64x2' }), /"64x2" is not a count/],
      'a NUL character': [start(1, { name: 'a\0b' }), /events\.0\.name: .*cannot be stored/],
      'half a character': [start(1, { name: 'a\ud83d' }), /events\.0\.name: .*cannot be stored/],
      'a name that is too long': [start(1, { name: 'a'.repeat(1025) }), /events\.0\.name: /],
    }
    for (const [title, [event, fault]] of Object.entries(faults)) {
      it(`have ${title}`, async () => {
        const { status, body } = await postEvents(service, [event])
        assert.equal(status, 400)
        assert.match(String(body['detail']), fault)
      })
    }

    it('are named all at once, and nothing of the batch is stored', async () => {
      const events = [start(1, { job_id: 'x' }), start(1), end(2, { cluster: '' })]
      const { status, body } = await postEvents(service, events)
      assert.equal(status, 400)
      assert.match(String(body['detail']), /events\.0\.job_id: .*; events\.2\.cluster: /)
      assert.deepEqual(await runs(), [])
    })

    it('are too many, too large, or no JSON', async () => {
      const many = Array.from({ length: 5001 }, (_, i) => end(i))
      assert.equal((await postEvents(service, many)).status, 400)
      const wide = Array.from({ length: 4 }, (_, i) => start(i, { nodelist: 'n[1-65536]' }))
      assert.equal((await postEvents(service, wide)).status, 413)
      const post = async (body: string, type: string) =>
        await fetch(`${service.url}/api/v1/jobs/events`, {
          method: 'POST',
          body,
          headers: { 'content-type': type },
        })
      assert.equal((await post('{"events":', 'application/json')).status, 400)
      assert.equal((await post('[]', 'application/json')).status, 400)
      assert.equal((await post('{}', 'text/plain')).status, 415)
      const large = JSON.stringify({ events: [start(1, { padding: 'x'.repeat(4 << 20) })] })
      assert.equal((await post(large, 'application/json')).status, 413)
    })
  })

  it('takes batches about the same jobs from several writers at once', async () => {
    const batch = Array.from({ length: 40 }, (_, i) => start(100, { job_id: i }))
    const ends = Array.from({ length: 40 }, (_, i) => end(200, { job_id: i }))
    const batches = Array.from({ length: 12 }, (_, i) => {
      const events = [...batch, ...ends]
      return i % 2 === 0 ? events : events.reverse()
    })
    const answers = await Promise.all(batches.map((events) => postEvents(service, events)))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    assert.deepEqual(new Set(await runs()), new Set(['100-200']))
  })

  describe('with a topology file', () => {
    let directory: string

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'joulebridge-topology-'))
    })

    afterEach(() => rm(directory, { recursive: true, force: true }))

    const load = async (text: string) => {
      const file = join(directory, 'topology.yml')
      await writeFile(file, text)
      await loadTopology(pool, file)
    }
    const places = async () => {
      const { rows } = await pool.query<{ node: string; xname: string; share: number }>(
        'select node, xname, share from allocation order by node',
      )
      return rows.map(({ node, xname, share }) => `${node} ${xname} ${share}`)
    }

    it('puts nodes in their place whatever zeros pad their number', async () => {
      await load('- {node: nid000001, xname: x1000c0s0b0n0, cores: 128}\n')
      const events = [start(100, { nodelist: 'nid[0001,02]', cpus_per_node: '32(x2)' })]
      assert.deepEqual((await tell(...events))['unmapped_nodes'], ['nid02'])
      assert.deepEqual(await places(), ['nid0001 x1000c0s0b0n0 0.25', 'nid02 null 1'])
    })

    it('places nodes later that were unknown, and moves none that were known', async () => {
      await load('- {node: nid1, xname: x1000c0s0b0n0}\n')
      await tell(start(100, { nodelist: 'nid[1-2]' }))
      await load(`[{"node": "nid1", "xname": "X1000C0S7B0N0", "cores": 64},
        {"node": "nid2", "xname": "x1000c0s0b0n1", "cores": 128}]`)
      assert.deepEqual(await places(), ['nid1 x1000c0s0b0n0 1', 'nid2 x1000c0s0b0n1 1'])
      assert.deepEqual((await tell(end(200)))['unmapped_nodes'], [])
      assert.deepEqual(await places(), ['nid1 x1000c0s0b0n0 1', 'nid2 x1000c0s0b0n1 1'])
    })

    it('names the line of a fault', async () => {
      const text = '- {node: nid1, xname: x1000c0s0b0n0}\n- {node: nid2, xname: rack7}\n'
      await assert.rejects(load(text), /topology\.yml:2: 1\.xname: expected an xname/)
    })
  })
})
