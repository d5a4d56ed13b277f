import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { parseJobId } from '../../remote-write/jobs/label.ts'
import { until } from '../support/command.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { RecordProcess } from '../support/record-process.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'

const x1 = 'x1000c0s0b0n0'
const x2 = 'x1000c0s0b0n1'
const staleMarker = '7ff0000000000002'

/** A day ago, on the ten seconds: jobs of then have ended as soon as they are known. */
const t0 = Math.floor(Date.now() / 10_000) * 10 - 86_400

/** A series with a sample every ten seconds of [from, to], in seconds after `since`. */
function series(labels: Record<string, string>, from: number, to: number, since = t0) {
  const samples: [number, number][] = []
  for (let at = from; at <= to; at += 10) samples.push([(since + at) * 1000, 500])
  return { labels: { __name__: 'slurm_job_cpus', job: 'slurm', ...labels }, samples }
}

function power(xname: string, from: number, to: number, more = {}): WrittenSeries {
  const labels = { __name__: 'cray_node_power_watts', job: 'joulebridge', bmc: xname.slice(0, -2) }
  return { ...series({}, from, to), labels: { ...labels, xname, ...more } }
}

describe('jobs from the labels of samples', () => {
  let service: Service
  let pool: Pool
  let url: string

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    url = database.url
    service = await startRecord(url)
  })

  afterEach(() => service.close())

  async function send(...sent: WrittenSeries[]): Promise<void> {
    assert.deepEqual(await write(service, sent), { status: 204, text: '' })
  }

  /** Waits until what was sent, of jobs that have ended, is in the tables of jobs. */
  async function settled(): Promise<void> {
    await until(async () => {
      const { rows } = await pool.query('select from job_label where open or pending')
      return rows.length === 0 || undefined
    }, 10)
  }

  const span = (row: string) => {
    const since = (column: string) => `date_part('epoch', ${row}.${column}) - ${t0}`
    return `concat(${since('started_at')}, '..', ${since('ended_at')})`
  }

  /** `7 100..700 x1000c0s0b0n0 100..700` in seconds after t0: runs with their nodes. */
  async function runs(): Promise<string[]> {
    await settled()
    const { rows } = await pool.query<{ run: string }>(
      `select concat_ws(' ', j.job_id, ${span('j')}, (
         select string_agg(a.node || ' ' || ${span('a')}, ' ' order by a.node)
         from allocation a where a.run = j.id)) as run
       from job j
       order by j.job_id, j.started_at, j.cluster`,
    )
    return rows.map(({ run }) => run)
  }

  const event = (type: 'start' | 'end', at: number, more = {}) => {
    return { cluster: 'alps', job_id: 7, type, time: iso(t0 + at), ...more }
  }
  const events = (more = {}) => [
    event('start', 95, { nodelist: `${x1},${x2}`, user: 'alice', ...more }),
    event('end', 705),
  ]

  async function tell(told: object[]): Promise<void> {
    assert.equal((await postEvents(service, told)).status, 200)
  }

  it('have the nodes, the times, the facts and the energy that events would give', async () => {
    const meters = [power(x1, 0, 900), power(x2, 0, 900)]
    const facts = { jobid: '7', user: 'alice', account: 'proj_a', partition: 'workq' }
    await send(...meters, ...[x1, x2].map((xname) => series({ xname, ...facts }, 100, 700)))
    await settled()
    const { cluster, job_id, user, account, partition, state, started_at, ended_at, source } =
      await getJson<Record<string, unknown>>(service, '/api/v1/jobs/7')
    assert.deepEqual(
      { cluster, job_id, user, account, partition, state, source },
      {
        ...{ cluster: 'default', job_id: 7, user: 'alice', account: 'proj_a' },
        ...{ partition: 'workq', state: 'ENDED', source: 'labels' },
      },
    )
    assert.deepEqual([started_at, ended_at], [iso(t0 + 100), iso(t0 + 700)])
    const labelled = await getJson<EnergyAnswer>(service, '/api/v1/jobs/7/energy')
    await tell([
      { ...event('start', 100, { nodelist: `${x1},${x2}` }), job_id: 8 },
      { ...event('end', 700), job_id: 8 },
    ])
    await pool.query(`delete from job where source = 'labels'`)
    const told = await getJson<EnergyAnswer>(service, '/api/v1/jobs/8/energy')
    assert.equal(told.joules, 2 * 600 * 500)
    const told8 = { ...told, job_id: 7, cluster: 'default', source: 'labels' }
    assert.deepEqual(labelled, told8)
  })

  it('come from power series that are relabelled with the job', async () => {
    await send(power(x1, 0, 100), power(x1, 110, 700, { jobid: '7' }), power(x1, 710, 900))
    assert.deepEqual(await runs(), [`7 110..700 ${x1} 110..700`])
    const { joules } = await getJson<EnergyAnswer>(service, '/api/v1/jobs/7/energy')
    assert.equal(joules, 590 * 500)
  })

  it('are two runs when a long silence parts them, as after a requeue', async () => {
    await send(series({ jobid: '7', xname: x1 }, 0, 300))
    await send(series({ jobid: '7', xname: x1 }, 601, 900))
    await send(series({ jobid: '8', xname: x1 }, 0, 300))
    await send(series({ jobid: '8', xname: x1 }, 600, 900))
    assert.deepEqual(await runs(), [
      `7 0..300 ${x1} 0..300`,
      `7 601..891 ${x1} 601..891`,
      `8 0..900 ${x1} 0..900`,
    ])
  })

  it('are one run when the samples that join its parts come last', async () => {
    const sample = (at: number) => series({ jobid: '7', xname: x1 }, at, at)
    for (const at of [600, 310, 1200, 20, 900]) await send(sample(at))
    assert.deepEqual(await runs(), [`7 20..1200 ${x1} 20..1200`])
    const { rows } = await pool.query('select from job_label')
    assert.equal(rows.length, 1)
  })

  it('hold a node that comes or goes in the middle only as long as it is there', async () => {
    const later = series({ jobid: '7', xname: x2 }, 400, 500)
    await send(series({ jobid: '7', xname: x1 }, 7, 997), later)
    assert.deepEqual(await runs(), [`7 7..997 ${x1} 7..997 ${x2} 400..500`])
  })

  it('hold their nodes from the first to the last sample of any', async () => {
    await send(series({ jobid: '7', node: 'nid2:9100' }, 3, 603))
    await send(series({ jobid: '7', nodelist: 'nid[2-3]' }, 9, 609), series({ jobid: '7' }, 0, 630))
    assert.deepEqual(await runs(), ['7 0..630 nid2 0..630 nid3 0..630'])
  })

  it('have steps', async () => {
    await send(series({ jobid: '7.batch', xname: x1 }, 0, 200))
    await send(series({ jobid: '7', step: '0', xname: x1 }, 10, 100))
    await send(series({ jobid: '7', step: '4294967292' }, 0, 200))
    assert.deepEqual(await runs(), [`7 0..200 ${x1} 0..200`])
    const { rows } = await pool.query(
      `select s.step, date_part('epoch', s.ended_at - s.started_at) as seconds, s.source
       from job_step s order by s.step`,
    )
    assert.deepEqual(rows, [
      { step: '0', seconds: 90, source: 'labels' },
      { step: 'batch', seconds: 200, source: 'labels' },
      { step: 'extern', seconds: 200, source: 'labels' },
    ])
  })

  it('run while samples come, and end at the last sample when a stale marker follows', async () => {
    const now = Math.floor(Date.now() / 1000)
    const live = series({ jobid: '7', xname: x1 }, -60, -10, now)
    const other = series({ jobid: '8', xname: x2 }, -60, -10, now)
    await send(live, other)
    const state = async (id: number) => {
      return await getJson<{ state: string; ended_at: string }>(service, `/api/v1/jobs/${id}`)
    }
    await until(() => state(7).catch(() => undefined), 10)
    assert.equal((await state(7)).state, 'RUNNING')
    await send({ ...live, samples: [[now * 1000, staleMarker]] })
    const ended = await until(async () => {
      const job = await state(7)
      return job.state === 'ENDED' ? job : undefined
    }, 10)
    assert.equal(ended.ended_at, iso(now - 10))
    assert.equal((await state(8)).state, 'RUNNING')
    await send({ ...live, samples: [[now * 1000 + 1000, 1]] })
    await until(async () => (await state(7)).state === 'RUNNING' || undefined, 10)
  })

  it('give way to events of the same job, whichever come first', async () => {
    const labelled = series({ jobid: '7', xname: x1, slurm_cluster: 'alps' }, 110, 730)
    const told = [`7 95..705 ${x1} 95..705 ${x2} 95..705`]
    await send(labelled)
    assert.deepEqual(await runs(), [`7 110..730 ${x1} 110..730`])
    await tell(events())
    assert.deepEqual(await runs(), told)
    await send(series({ jobid: '7', xname: x2, cluster: 'alps' }, 110, 730))
    assert.deepEqual(await runs(), told)
    const { source } = await getJson<{ source: string }>(service, '/api/v1/jobs/7')
    assert.equal(source, 'event')
  })

  it('give way to events at the same instant, of any cluster where labels name none', async () => {
    await send(series({ jobid: '7', xname: x2, step: '0' }, 95, 705))
    assert.deepEqual(await runs(), [`7 95..705 ${x2} 95..705`])
    await tell(events({ nodelist: x1 }))
    assert.deepEqual(await runs(), [`7 95..705 ${x1} 95..705`])
  })

  it('give way to the tasks of their array', async () => {
    await send(series({ jobid: '5_3', xname: x1 }, 110, 700))
    assert.deepEqual(await runs(), [`5 110..700 ${x1} 110..700`])
    await tell(events({ array_job_id: 5, array_task_id: 3 }))
    assert.deepEqual(await runs(), [`7 95..705 ${x1} 95..705 ${x2} 95..705`])
  })

  it('stay where events tell of another time, or of another cluster', async () => {
    await tell(events())
    await send(series({ jobid: '7', xname: x1, cluster: 'alps' }, 1100, 1200))
    await send(series({ jobid: '7', xname: x1, cluster: 'daint' }, 100, 200))
    const told = `7 95..705 ${x1} 95..705 ${x2} 95..705`
    const expected = [told, `7 100..200 ${x1} 100..200`, `7 1100..1200 ${x1} 1100..1200`]
    assert.deepEqual(await runs(), expected)
    await tell(events())
    assert.deepEqual(await runs(), expected)
  })

  it('end at the last sample though the receiver was killed before it noted that', async () => {
    const victim = await RecordProcess.load({ databaseUrl: url })
    await victim.start()
    const now = Math.floor(Date.now() / 1000)
    const labels = { jobid: '7', xname: x1 }
    for (const samples of [series(labels, -60, -40, now), series(labels, -30, -10, now)]) {
      assert.equal((await write(victim, [samples])).status, 204)
    }
    await victim.close()
    const { rows } = await pool.query(
      `select date_part('epoch', l.last_at) - $1::float8 as last from job_label l`,
      [now],
    )
    assert.deepEqual(rows, [{ last: -40 }])
    await send({ ...series(labels, 0, 0, now), samples: [[now * 1000, staleMarker]] })
    const at = now - t0
    assert.deepEqual(await runs(), [`7 ${at - 60}..${at - 10} ${x1} ${at - 60}..${at - 10}`])
  })

  it('are not lost where they cannot be written: the sender is told to come again', async () => {
    const sent = series({ jobid: '7', xname: x1 }, 0, 600)
    await pool.query('alter table job_label rename to away')
    assert.equal((await write(service, [sent])).status, 503)
    await pool.query('alter table away rename to job_label')
    await send(sent)
    assert.deepEqual(await runs(), [`7 0..600 ${x1} 0..600`])
  })

  it('go on when the receiver was started anew', async () => {
    await send(series({ jobid: '7', xname: x1 }, 0, 300))
    await service.close()
    service = await startRecord(url)
    await send(series({ jobid: '7', xname: x1 }, 310, 900))
    assert.deepEqual(await runs(), [`7 0..900 ${x1} 0..900`])
  })

  it('are not taken from our own series of jobs', async () => {
    const own = { __name__: 'cray_job_node_info', jobid: '7', xname: x1 }
    await send(series(own, 0, 100), series({ jobid: '8', xname: x1 }, 0, 100))
    assert.deepEqual(await runs(), [`8 0..100 ${x1} 0..100`])
  })

  it('are not taken from labels that cannot be, which are counted', async () => {
    const bad = ['', 'none', '0', '-1', '1e3', '7 ', '4294967296', '9'.repeat(400), '7.x', '７']
    const sent = bad.slice(1).map((jobid) => series({ jobid }, 0, 10))
    const nodes = ['nid[1-', 'nid[000000-999999]', `n${'x'.repeat(2000)}`, 'a b']
    const odd = nodes.map((node, i) => series({ jobid: String(20 + i), node }, 0, 10))
    await send(
      ...sent,
      ...odd,
      series({ jobid: '30', step: 'train', user: 'u'.repeat(300) }, 0, 10),
    )
    assert.deepEqual(await runs(), ['20 0..10', '21 0..10', '22 0..10', '23 0..10', '30 0..10'])
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    const ignored = [...metrics.matchAll(/^joulebridge_job_labels_ignored_total\{(.*)\} (\d+)$/gm)]
    assert.deepEqual(ignored.map(([, reason, count]) => `${reason} ${count}`).sort(), [
      'reason="job_id" 9',
      'reason="name" 1',
      'reason="node" 4',
      'reason="step" 1',
    ])
    const { rows } = await pool.query('select count(*)::int4 as n from sample')
    assert.equal(rows[0].n, 2 * 14)
  })
})

describe('a job id of Slurm', () => {
  for (const [text, expected] of Object.entries({
    '123': { jobId: 123, step: '' },
    '0123': { jobId: 123, step: '' },
    '123.0': { jobId: 123, step: '0' },
    '123.batch': { jobId: 123, step: 'batch' },
    '123_4': { jobId: 123, step: '' },
    '123_4.1': { jobId: 123, step: '1' },
    '123+1': { jobId: 123, step: '' },
    '4294967295': { jobId: 4294967295, step: '' },
  })) {
    it(`such as ${text} names job ${expected.jobId}`, () => {
      assert.deepEqual(parseJobId(text), expected)
    })
  }
  for (const text of ['123_[1-4]', '123.server', '0', 'x', '', '1.5.6', '4294967296']) {
    it(`is not ${JSON.stringify(text)}`, () => {
      assert.equal(parseJobId(text), undefined)
    })
  }
})
