import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'

const now = Math.floor(Date.now() / 1000)

describe("the series of jobs in remote-write's /metrics", () => {
  let service: Service
  let pool: Pool

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
    await pool.query(`insert into node (name, xname, cores) values ('nid1', 'x1c0s0b0n0', 128)`)
    const samples = Array.from({ length: 600 }, (_, i) => {
      return [now - 6000 + i * 10, i * 4000 + 0.5] as const
    })
    const metric = 'cray_node_energy_joules_total'
    await storeSeries(pool, [{ metric, labels: { xname: 'x1c0s0b0n0' }, samples }])
    const facts = { user: 'alice', account: 'a', partition: 'p', nodelist: 'nid1' }
    const start = (job_id: number, at: number, more = {}) => {
      return { type: 'start', cluster: 'c', job_id, time: iso(now + at), ...facts, ...more }
    }
    const end = (job_id: number, at: number) => {
      return { type: 'end', cluster: 'c', job_id, time: iso(now + at) }
    }
    await postEvents(service, [
      ...[start(1, -5500), end(1, -4900)],
      ...[start(2, -1500), end(2, -900)],
      ...[start(3, -800), end(3, -200)],
      ...[start(4, -100, { cpus_per_node: '32' }), start(5, -90, { nodelist: 'nid9' })],
    ])
    await postEvents(service, [{ type: 'start' }])
  })

  after(() => service.close())

  const shown = async (name: string) => {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  }

  it('tell whose the running jobs are', async () => {
    assert.deepEqual(await shown('cray_job_info'), [
      'cray_job_info{jobid="4",slurm_cluster="c",user="alice",account="a",partition="p"} 1',
      'cray_job_info{jobid="5",slurm_cluster="c",user="alice",account="a",partition="p"} 1',
    ])
  })

  it('tell which nodes they hold, and how much of them', async () => {
    assert.deepEqual(await shown('cray_job_node_info'), [
      'cray_job_node_info{jobid="4",xname="x1c0s0b0n0"} 1',
    ])
    assert.deepEqual(await shown('cray_job_node_share_ratio'), [
      'cray_job_node_share_ratio{jobid="4",xname="x1c0s0b0n0"} 0.25',
    ])
  })

  it('tell the energy of the jobs that ended within the hour, at each scrape', async () => {
    for (let scrape = 0; scrape < 2; scrape++) {
      assert.deepEqual(await shown('cray_job_energy_joules'), [
        'cray_job_energy_joules{jobid="3",user="alice",account="a"} 240000',
        'cray_job_energy_joules{jobid="2",user="alice",account="a"} 240000',
      ])
    }
  })

  it('tell how many events were stored, and how many requests refused', async () => {
    assert.deepEqual(await shown('joulebridge_job_events_accepted_total'), [
      'joulebridge_job_events_accepted_total 8',
    ])
    assert.deepEqual(await shown('joulebridge_job_event_requests_total'), [
      'joulebridge_job_event_requests_total{code="200"} 1',
      'joulebridge_job_event_requests_total{code="400"} 1',
    ])
  })
})
