import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { networkInterfaces } from 'node:os'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecordWith } from '../support/slurm-record.ts'

const about = { cluster: 'c', job_id: 7 }
const time = iso(Math.floor(Date.now() / 1000))
const told = { ...about, type: 'start', time, nodelist: 'x1000c0s0b0n[0-1],nid9' }

describe('who may tell of jobs', () => {
  let url: string
  let service: Service | undefined

  before(async () => {
    url = (await cloneDatabase()).url
  })

  afterEach(() => service?.close())

  const post = async (where: string, headers: Record<string, string> = {}) => {
    const body = JSON.stringify({ events: [told] })
    const all = { 'content-type': 'application/json', ...headers }
    const response = await fetch(`${where}/api/v1/jobs/events`, {
      method: 'POST',
      headers: all,
      body,
    })
    return [response.status, ((await response.json()) as { detail?: string }).detail ?? '']
  }

  it('is this machine, where there is no token', async () => {
    service = await startRecordWith(url, {})
    assert.equal((await post(service.url))[0], 200)
    const [status, detail] = await post(service.url, { 'x-forwarded-for': '10.1.2.3' })
    assert.equal(status, 403)
    assert.match(String(detail), /remote_write\.token is not configured/)
  })

  it('is not another machine, where there is no token', async function () {
    const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
    const other = addresses.find(({ internal, family }) => !internal && family === 'IPv4')
    if (other === undefined) return this.skip()
    const listenAddress = `${other.address}:${await freePort()}`
    service = await startRecordWith(url, { web: { listenAddress } })
    assert.equal((await post(`http://${listenAddress}`))[0], 403)
  })

  it('is who has the token, as a bearer token or as a password', async () => {
    const token = { env: 'TOKEN' }
    service = await startRecordWith(url, { token }, { TOKEN: 'sesame' })
    const basic = Buffer.from('slurm:sesame').toString('base64')
    const answers = [
      await post(service.url),
      await post(service.url, { authorization: 'Bearer wrong' }),
      await post(service.url, { authorization: 'Bearer sesame' }),
      await post(service.url, { authorization: `Basic ${basic}` }),
    ]
    assert.deepEqual(
      answers.map(([status]) => status),
      [401, 401, 200, 200],
    )
  })
})

describe("records of Slurm's jobcomp/elasticsearch", () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecordWith(database.url, {})
  })

  afterEach(() => service.close())

  /** What Slurm 22.05 posted, but for the script. */
  const record = {
    ...{ jobid: 18, container: '', username: 'bob', user_id: 2002, groupname: 'bob' },
    ...{ '@start': '2026-11-22T06:54:28', '@end': '2026-11-22T06:54:29', elapsed: 1 },
    ...{ partition: 'workq', nodes: 'nid[000001-000002]', total_cpus: 4, total_nodes: 2 },
    ...{ derived_ec: '0:0', exit_code: '2:0', state: 'FAILED', array_job_id: 18 },
    ...{ array_task_id: 9, het_job_id: 0, het_job_offset: 0, '@submit': '2026-11-22T06:54:20' },
    ...{ cluster: 'nidtest', qos: 'normal', job_name: 'x', account: 'proj_b', script: '#!/bin/sh' },
  }
  const post = async (body: string) => {
    const options = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
    return await fetch(`${service.url}/api/v1/jobs/jobcomp`, options)
  }
  const jobs = async () => {
    const { rows } = await pool.query(
      `select j.job_id::int4, j.cluster, j.started_at, j.ended_at, j.submitted_at, j.state,
         j.exit_code, j.user_name, j.array_task_id::int4, j.het_job_id, j.qos, j.source,
         (select sum(a.cores)::int4 from allocation a where a.run = j.id) as cores
       from job j order by j.job_id`,
    )
    return rows
  }

  it('are a whole run, in UTC', async () => {
    for (let times = 0; times < 2; times++) {
      assert.equal((await post(JSON.stringify(record))).status, 200)
    }
    assert.deepEqual(await jobs(), [
      {
        ...{ job_id: 18, cluster: 'nidtest', started_at: new Date('2026-11-22T06:54:28Z') },
        ended_at: new Date('2026-11-22T06:54:29Z'),
        submitted_at: new Date('2026-11-22T06:54:20Z'),
        ...{ state: 'FAILED', exit_code: '2:0', user_name: 'bob', array_task_id: 9 },
        ...{ het_job_id: null, qos: 'normal', source: 'jobcomp', cores: 4 },
      },
    ])
  })

  it('say of a requeued run that it is pending, and of a job that never ran no nodes', async () => {
    await post(JSON.stringify({ ...record, state: 'PENDING' }))
    await post(JSON.stringify({ ...record, jobid: 19, nodes: '(null)', state: 'CANCELLED' }))
    const all = (await jobs()) as { job_id: number; state: string }[]
    assert.deepEqual(
      all.map(({ job_id, state }) => [job_id, state]),
      [[18, 'REQUEUED']],
    )
  })

  it('are kept aside and answered 200 when they cannot be understood', async () => {
    const bodies = ['{"jobid":', '{"jobid":1,"cluster":"c\\u0000"}', '[]', '']
    const statuses = await Promise.all(bodies.map(async (body) => (await post(body)).status))
    assert.deepEqual(new Set(statuses), new Set([200]))
    const { rows } = await pool.query<{ fault: string }>(
      'select a.fault, a.record from job_record_aside a order by a.record desc',
    )
    assert.equal(rows.length, 4)
    assert.match(rows.map(({ fault }) => fault).join('\n'), /@start: Invalid input/)
  })
})

describe('the start and the end of a job', () => {
  let service: Service
  let exporter: Server
  let requests: { authorization: string | undefined; body: unknown }[]
  let status: number
  // The file may have been read minutes ago, and edges of then are not asked for any more.
  let now: number
  let start: typeof told

  before(async () => {
    now = Math.floor(Date.now() / 1000)
    start = { ...told, time: iso(now) }
    requests = []
    status = 202
    exporter = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { authorization } = request.headers
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
        requests.push({ authorization, body })
        response.statusCode = request.url === '/api/v1/poll' ? status : 404
        response.end('{"asked": 2, "unknown": []}')
      })
    }).listen(0, '127.0.0.1')
    await once(exporter, 'listening')
    const address = exporter.address()
    const port = typeof address === 'object' ? address?.port : 0
    const exporters = [{ url: `http://127.0.0.1:${port}`, token: { env: 'TOKEN' } }]
    const { url } = await cloneDatabase()
    service = await startRecordWith(url, { exporters }, { TOKEN: 'sesame' })
  })

  after(async () => {
    await service.close()
    exporter.close()
  })

  const xnames = ['x1000c0s0b0n0', 'x1000c0s0b0n1']
  const asked = async (count: number) => {
    await until(() => requests.length >= count || undefined, 10)
    return requests.map(({ body }) => (body as { xnames: string[] }).xnames.sort())
  }

  it('make the exporter read the nodes of the job at once, once for each edge', async () => {
    const run = { ...start, type: 'run', told_at: iso(now) }
    await postEvents(service, [start, { ...start, job_id: 8, nodelist: 'x1000c0s0b0n1' }])
    assert.deepEqual(await asked(1), [xnames])
    assert.equal(requests[0]?.authorization, 'Bearer sesame')
    await postEvents(service, [start, run, { ...start, job_id: 9, time: iso(now - 3600) }])
    await postEvents(service, [{ ...about, type: 'end', time: iso(now + 1) }])
    await postEvents(service, [{ ...run, ended_at: iso(now + 1) }])
    assert.deepEqual(await asked(2), [xnames, xnames])
  })

  it('are taken though the exporter refuses', async () => {
    status = 500
    const before = requests.length
    const { status: answer } = await postEvents(service, [{ ...start, job_id: 10 }])
    assert.equal(answer, 200)
    await asked(before + 1)
    const failed = async () => {
      const text = await (await fetch(`${service.url}/metrics`)).text()
      return /edge_nodes_total\{outcome="failed"\} 2/.test(text) || undefined
    }
    await until(failed, 10)
  })
})
