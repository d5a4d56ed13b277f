import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import { read } from '../support/remote-read.ts'
import {
  post,
  startRecord,
  type WrittenSeries,
  write,
  writeRequest,
} from '../support/remote-write.ts'
import { writeV2 } from '../support/remote-write-v2.ts'

const now = Date.now()

function series(metric: string, time: number, value: number): WrittenSeries {
  return { labels: { __name__: metric, job: 'x' }, samples: [[time, value]] }
}

describe('when PostgreSQL fails', () => {
  let database: TestDatabase
  let proxy: TcpProxy
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    const url = new URL(database.url)
    proxy = await startProxy(Number(url.port))
    url.port = String(proxy.port)
    service = await startRecord(url.href)
  })

  afterEach(async () => {
    await service.close()
    await proxy.close()
  })

  /** Locks the frames so that commits wait; the function given ends that. */
  async function holdCommits(): Promise<() => Promise<void>> {
    const client = await database.pool.connect()
    await client.query('begin; lock table frames in exclusive mode')
    return async () => {
      await client.query('rollback')
      client.release()
    }
  }

  /** Waits until a statement of the record waits for that lock; the process that runs it. */
  async function waitingBackend(): Promise<number> {
    const deadline = Date.now() + 20_000
    while (Date.now() < deadline) {
      const { rows } = await database.pool.query<{ pid: number }>(
        `select pid from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      )
      if (rows[0]) return rows[0].pid
    }
    throw new Error('no statement waits for the lock')
  }

  it('answers 503 with Retry-After while it is gone, and stores the retry', async () => {
    await write(service, [series('a', now, 1)])
    proxy.cut()
    const body = compressSync(writeRequest([series('a', now + 1, 2), series('b', now, 3)]))
    const refused = await post(service, body)
    assert.equal(refused.status, 503)
    assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/)
    proxy.mend()
    assert.equal((await post(service, body)).status, 204)
    const { rows } = await database.pool.query(
      'select metric, value from sample join series on id = series_id order by metric, time',
    )
    assert.deepEqual(rows, [
      { metric: 'a', value: 1 },
      { metric: 'a', value: 2 },
      { metric: 'b', value: 3 },
    ])
  })

  it('starts, though its connections break again and again meanwhile', async () => {
    const url = new URL(database.url)
    url.port = String(proxy.port)
    const starting = startRecord(url.href)
    for (let breaks = 0; breaks < 20; breaks++) {
      await database.pool.query('select')
      proxy.cut()
      proxy.mend()
    }
    const late = await starting
    assert.equal((await write(late, [series('m', now, 1)])).status, 204)
    await late.close()
  })

  it('does not keep ids that a failed transaction took', async () => {
    const other = await startRecord(database.url)
    await write(other, [series('before', now, 1)])
    const release = await holdCommits()
    const failing = write(service, [series('mine', now, 2)])
    await database.pool.query('select pg_terminate_backend($1)', [await waitingBackend()])
    assert.equal((await failing).status, 503)
    await release()
    assert.equal((await write(other, [series('other', now, 3)])).status, 204)
    assert.equal((await write(service, [series('mine', now, 4)])).status, 204)
    const answer = await read(service, [['job', '=', 'x']], [now, now])
    assert.deepEqual(
      answer.map(({ labels, samples }) => [labels['__name__'], samples[0]?.[1]]),
      [
        ['before', bits(1)],
        ['mine', bits(4)],
        ['other', bits(3)],
      ],
    )
    await other.close()
  })

  it('answers 503 above the limit of open samples, and stores what it answered 204', async () => {
    const small = await startRecord(database.url, { openSamples: 10 })
    const release = await holdCommits()
    const first = write(small, [series('m', now, 0)])
    await waitingBackend()
    const requests = Array.from({ length: 20 }, (_, i) =>
      write(small, [series('m', now + i + 1, i)]),
    )
    assert.equal((await Promise.race(requests)).status, 503)
    await release()
    const answers = await Promise.all([first, ...requests])
    const taken = answers.filter(({ status }) => status === 204)
    assert.equal(taken.length + answers.filter(({ status }) => status === 503).length, 21)
    const { rows } = await database.pool.query('select count(*)::int4 as n from sample')
    assert.deepEqual(rows, [{ n: taken.length }])
    await small.close()
  })

  it('mixes no series of 2.0 after it refused a request that brought new ones', async () => {
    const small = await startRecord(database.url, { openSamples: 4 })
    const release = await holdCommits()
    const full = [0, 1, 2].map((i): [number, number] => [now + i, i])
    const first = writeV2(small, [{ labels: { __name__: 'first' }, samples: full }])
    await waitingBackend()
    const refused = [series('x', now, 1), series('y', now, 2)]
    const next = writeV2(small, [series('first', now + 3, 3)])
    const answer = await Promise.race([next, writeV2(small, refused)])
    assert.deepEqual([answer.status, answer.written], [503, [null, null, null]])
    await release()
    await Promise.all([first, next])
    for (const [metric, value] of [['y', 2] as const, ['z', 3] as const, ['x', 1] as const]) {
      assert.equal((await writeV2(small, [series(metric, now, value)])).status, 204)
    }
    const { rows } = await database.pool.query(
      `select metric, value from sample join series on id = series_id
       where metric <> 'first' order by metric`,
    )
    const expected = { x: 1, y: 2, z: 3 }
    assert.deepEqual(
      rows,
      Object.entries(expected).map(([metric, value]) => ({ metric, value })),
    )
    await small.close()
  })

  it('loses and doubles nothing when its connections are ended again and again', async () => {
    const total = 60
    let done = 0
    const send = async (i: number) => {
      const one = [series(`m${i % 7}`, now + i, i), series(`n${i}`, now, i)]
      while ((await write(service, one)).status !== 204) await setImmediate()
      done++
    }
    const all = Promise.all(Array.from({ length: total }, (_, i) => send(i)))
    while (done < total) {
      const before = done
      await database.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'joulebridge'`,
      )
      while (done === before) await setImmediate()
    }
    await all
    const { rows } = await database.pool.query(
      'select count(*)::int4 as n, sum(value)::int4 as sum from sample',
    )
    assert.deepEqual(rows, [{ n: total * 2, sum: total * (total - 1) }])
  })

  it('makes a partition anew that was dropped behind its back', async () => {
    await write(service, [series('m', now, 1)])
    await database.pool.query(
      `do $$ declare name text; begin
         select tableoid::regclass::text into name from frames;
         execute 'drop table ' || name;
       end $$`,
    )
    assert.equal((await write(service, [series('m', now, 2)])).status, 503)
    assert.equal((await write(service, [series('m', now, 3)])).status, 204)
    const { rows } = await database.pool.query('select value from sample')
    assert.deepEqual(rows, [{ value: 3 }])
  })

  it('has stored all that it acknowledged when it is closed in mid-stream', async () => {
    const requests = Array.from({ length: 50 }, (_, i) =>
      write(service, [series('m', now + i, i)]).then(
        ({ status }) => (status === 204 ? i : undefined),
        () => undefined,
      ),
    )
    await Promise.race(requests)
    await service.close()
    const acknowledged = (await Promise.all(requests)).filter((i) => i !== undefined)
    const { rows } = await database.pool.query<{ value: number }>('select value from sample')
    const stored = new Set(rows.map(({ value }) => value))
    assert.deepEqual(
      acknowledged.filter((i) => !stored.has(i)),
      [],
    )
    service = await startRecord(database.url)
  })
})

function bits(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}
