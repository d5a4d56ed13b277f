import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'

/** 2026-03-01T00:00:00Z */
const t0 = Date.UTC(2026, 2, 1) / 1000
const watts = [400, 600]
const xname = (node: number) => `x1000c0s0b${node}n0`

describe('the energy calls of CAPMC', function capmc() {
  this.timeout(30_000)
  let service: Service
  let pool: Pool

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    const settings = { capmc: { powerCapTargetWatts: 2.5e6, rampLimitWattsPerMinute: 1e5 } }
    service = await startRecord(database.url, {}, settings)
    await pool.query(
      `insert into node (name, xname) values
         ('nid000001', 'x1000c0s0b0n0'), ('nid000002', 'x1000c0s0b1n0'), ('nid000003', 'x9')`,
    )
    const every = (value: (t: number) => number) =>
      Array.from({ length: 361 }, (_, i) => [t0 + i * 10, value(i * 10)] as const)
    await storeSeries(pool, [
      ...watts.map((power, node) => ({
        metric: 'cray_node_energy_joules_total',
        labels: { xname: xname(node) },
        samples: every((t) => power * t + 0.5),
      })),
      ...[0, 1].map((chassis) => ({
        metric: 'cray_chassis_power_watts',
        labels: { xname: `x1000c${chassis}`, side: 'Input' },
        samples: every((t) => (t < 600 ? 5000 : 7000)),
      })),
      {
        metric: 'cray_node_power_watts',
        labels: { xname: 'x3000c0s1b0n0' },
        samples: every(() => 250),
      },
    ])
    const about = { cluster: 'alps', job_id: 4711 }
    await postEvents(service, [
      { ...about, type: 'start', time: iso(t0 + 600), nodelist: 'nid[000001-000002]' },
      { ...about, type: 'end', time: iso(t0 + 1200) },
    ])
    await pool.query(
      `insert into job_step (run, step, started_at, ended_at, source)
       select id, '0', to_timestamp($1), to_timestamp($2), 'test' from job`,
      [t0 + 700, t0 + 800],
    )
  })

  after(() => service.close())

  const call = async (name: string, body: unknown, status = 200) => {
    const response = await fetch(`${service.url}/capmc/v1/${name}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    const text = await response.text()
    assert.equal(response.status, status, text)
    return JSON.parse(text)
  }
  const hour = { start_time: '2026-03-01 00:00:00', end_time: '2026-03-01 00:10:00' }

  it('give the energy of each node by nids and a time without a zone', async () => {
    const answer = await call('get_node_energy', { ...hour, nids: [2, 1] })
    assert.deepEqual([answer.e, answer.err_msg, answer.time], [0, '', 600])
    assert.deepEqual(
      answer.nodes.map(({ nid, energy }: { nid: number; energy: number }) => [nid, energy]),
      [
        [2, 360_000],
        [1, 240_000],
      ],
    )
    const { energy_total, nid_count, nodes_expected } = answer
    assert.deepEqual([energy_total, nid_count, nodes_expected], [600_000, 2, 2])
    assert.equal(answer.nodes[0].method, 'counter')
  })

  it('take xnames and a time with its zone', async () => {
    const answer = await call('get_node_energy', {
      start_time: '2026-03-01T01:00:00+01:00',
      end_time: '2026-03-01T01:10:00+01:00',
      xnames: [xname(1)],
    })
    assert.deepEqual([answer.nodes[0].nid, answer.nodes[0].energy], [2, 360_000])
  })

  it('give that of a job and of an application, which CAPMC refused', async () => {
    const job = await call('get_node_energy', { job_id: '4711' })
    assert.deepEqual([job.time, job.energy_total], [600, 600_000])
    assert.equal(job.start_time, '2026-03-01T00:10:00.000Z')
    const step = await call('get_node_energy', { apid: '4711.0' })
    assert.deepEqual([step.time, step.energy_total], [100, 100_000])
    const node = await call('get_node_energy', { job_id: '4711', nids: [1] })
    assert.deepEqual([node.energy_total, node.nodes[0].nid], [240_000, 1])
    const part = await call('get_node_energy', { job_id: '4711', end_time: '2026-03-01 00:15:00' })
    assert.deepEqual([part.time, part.energy_total], [300, 300_000])
  })

  it('give the statistics over nodes', async () => {
    const answer = await call('get_node_energy_stats', { ...hour, nids: [1, 2] })
    const { energy_total, energy_avg, energy_std, energy_max, energy_min } = answer
    assert.deepEqual(
      { energy_total, energy_avg, energy_std, energy_max, energy_min },
      {
        energy_total: 600_000,
        energy_avg: 300_000,
        energy_std: 60_000,
        energy_max: [2, 360_000],
        energy_min: [1, 240_000],
      },
    )
  })

  it('give what the counters showed', async () => {
    const answer = await call('get_node_energy_counter', {
      nids: [1],
      time: '2026-03-01 00:05:05',
    })
    assert.deepEqual(answer.nodes, [
      { nid: 1, xname: xname(0), energy_ctr: 120_000.5, time: '2026-03-01 00:05:00' },
    ])
    const job = await call('get_node_energy_counter', { job_id: '4711' })
    assert.deepEqual([job.e, job.code], [400, 'NO_DATA'])
  })

  it('say how many nodes had no data', async () => {
    const answer = await call('get_node_energy', { ...hour, nids: [1, 3] })
    assert.deepEqual([answer.nid_count, answer.nodes_expected], [1, 2])
  })

  it('say so under status 200 where there is no data', async () => {
    const answer = await call('get_node_energy', {
      start_time: '2026-02-01 00:00:00',
      end_time: '2026-02-01 01:00:00',
      nids: [1],
    })
    assert.equal(answer.e, 400)
    const words = 'No data in time window 2026-02-01 00:00:00 to 2026-02-01 01:00:00'
    assert.equal(answer.err_msg, words)
  })

  it('give the power of the system, and of each cabinet by its rectifiers or nodes', async () => {
    const window = { start_time: '2026-03-01 00:05:00', window_len: 600 }
    const system = await call('get_system_power', window)
    const { start_time, window_len, avg, min, max } = system
    assert.deepEqual(
      { start_time, window_len, min, max },
      { start_time: '2026-03-01 00:05:00', window_len: 600, min: 10_250, max: 14_250 },
    )
    assert.ok(Math.abs(avg - 12_250) < 100, `${avg} W`)
    const { cabinets } = await call('get_system_power_details', window)
    assert.deepEqual(
      cabinets.map(({ x, y, max, source }: Record<string, unknown>) => [x, y, max, source]),
      [
        [1000, 0, 14_000, 'rectifiers'],
        [3000, 0, 250, 'nodes'],
      ],
    )
    const query = 'start_time=2026-03-01%2000:00:00&window_len=3'
    const got = await fetch(`${service.url}/capmc/v1/get_system_power?${query}`)
    const raised = (await got.json()) as { window_len: number; avg: number }
    assert.deepEqual([raised.window_len, raised.avg], [15, 10_250])
  })

  it('give what limits the site has told of, null for the others', async () => {
    const expected = {
      e: 0,
      err_msg: '',
      power_cap_target: 2.5e6,
      power_threshold: null,
      static_power: null,
      ramp_limited: true,
      ramp_limit: 1e5,
      power_band_min: null,
      power_band_max: null,
    }
    assert.deepEqual(await call('get_system_parameters', {}), expected)
    const got = await fetch(`${service.url}/capmc/v1/get_system_parameters`)
    assert.deepEqual(await got.json(), expected)
  })

  it('tell of a failing store in their own form', async () => {
    await pool.query('alter function latest rename to earliest')
    const answer = await call('get_node_energy_counter', { nids: [1] }, 500)
    await pool.query('alter function earliest rename to latest')
    assert.deepEqual([answer.e, answer.code], [500, 'PSQL_FAILURE'])
    assert.match(answer.err_msg, /latest.* does not exist/)
  })

  const refusals: [string, string, unknown, string][] = [
    [
      'a time that is none',
      'get_node_energy',
      { ...hour, end_time: 'x', nids: [1] },
      'BAD_END_TIME',
    ],
    ['no time', 'get_node_energy', { nids: [1] }, 'BAD_START_TIME'],
    ['no nodes', 'get_node_energy', hour, 'INVALID_ARGUMENTS'],
    ['an unknown nid', 'get_node_energy', { ...hour, nids: [77] }, 'INVALID_ARGUMENTS'],
    ['an unknown job', 'get_node_energy', { job_id: '1' }, 'INVALID_ARGUMENTS'],
    ['an application without a job', 'get_node_energy', { apid: '7' }, 'INVALID_ARGUMENTS'],
    [
      'two ways to name nodes',
      'get_node_energy_counter',
      { nids: [1], job_id: 1 },
      'INVALID_ARGUMENTS',
    ],
    ['a window that is no number', 'get_system_power', { window_len: 'x' }, 'BAD_WINDOW_LEN'],
    ['a window too long', 'get_system_power', { window_len: 9999 }, 'WINDOW_LEN_OUT_OF_RANGE'],
  ]
  for (const [what, name, body, code] of refusals) {
    it(`refuse ${what} with ${code}`, async () => {
      const answer = await call(name, body, 400)
      assert.deepEqual([answer.e, answer.code], [400, code])
    })
  }

  it('refuse another method, and what is no JSON', async () => {
    const put = await fetch(`${service.url}/capmc/v1/get_node_energy`, { method: 'PUT' })
    assert.equal(put.status, 405)
    const body = '{'
    const post = await fetch(`${service.url}/capmc/v1/get_node_energy`, { method: 'POST', body })
    assert.equal(post.status, 400)
    assert.equal(((await post.json()) as { e: number }).e, 400)
  })
})
