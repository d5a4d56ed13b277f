import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent } from 'node:http'
import type { Readable } from 'node:stream'
import fetch, { type Response } from 'node-fetch'
import pg from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type Matcher, postQueries, postRead } from '../support/remote-read.ts'
import { type Limits, startRecord, write } from '../support/remote-write.ts'

const now = Date.now()
const whole: [number, number] = [now - 86_400_000, now + 600_000]
const matchers: Matcher[] = [['__name__', '=', 'large']]
const streamedType = 1
/** More than is in memory at once. */
const [frames, perFrame, times] = [30, 40, 2000]
const total = frames * perFrame * times

describe('a remote read that does not come to its end', () => {
  let database: TestDatabase
  let service: Service | undefined

  beforeEach(async () => {
    service = undefined
    database = await cloneDatabase()
  })

  afterEach(() => service?.close())

  async function start(limits: Limits = {}): Promise<Service> {
    service = await startRecord(database.url, limits)
    return service
  }

  /** Values of random bits, which are hard to compress. */
  async function fill(): Promise<void> {
    await database.pool.query(
      `insert into series (id, metric, labels)
       select frame * 64 + position, 'large', jsonb_build_object('i', frame || '.' || position)
       from generate_series(1, $1) as frame cross join generate_series(0, $2 - 1) as position`,
      [frames, perFrame],
    )
    await database.pool.query(
      `select make_partition('frames', window_start(number), window_start(number + 1))
       from generate_series(window_number($1) - 1, window_number($1)) as number`,
      [new Date(now)],
    )
    await database.pool.query(
      `insert into frames (frame, time, v)
       select frame, to_timestamp($4::float8 / 1000 - i), array(
         select random() + frame + i from generate_series(1, $2))
       from generate_series(1, $1) as frame cross join generate_series(0, $3 - 1) as i`,
      [frames, perFrame, times, now],
    )
  }

  /** How many of the service's connections are in this state with a read. */
  async function reading(state: string): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      `select count(*)::int4 as n from pg_stat_activity
       where datname = current_database() and application_name = 'joulebridge' and state = $1
         and (query like '%joulebridge.read%' or query like '%lock table%')`,
      [state],
    )
    return rows[0]?.n ?? 0
  }

  /** How many reads have asked the database for nothing for some time. */
  async function waiting(): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      `select count(*)::int4 as n from pg_stat_activity
       where datname = current_database() and state = 'idle in transaction'
         and state_change < clock_timestamp() - interval '0.7 s'`,
    )
    return rows[0]?.n ?? 0
  }

  async function count(metric: string): Promise<number> {
    const text = await (await fetch(`${service?.url}/metrics`, { agent: new Agent() })).text()
    const line = text.split('\n').find((one) => one.startsWith(`${metric} `))
    return Number(line?.slice(metric.length) ?? 0)
  }

  /** A streamed answer, of which no more is taken than the buffers between us hold. */
  async function untaken(
    limits: Limits = {},
  ): Promise<{ response: Response; body: Readable; leave: () => void }> {
    await fill()
    const service = await start(limits)
    const controller = new AbortController()
    const query = { matchers, range: whole }
    const response = await postQueries(service, [query], [streamedType], controller.signal)
    assert.equal(response.status, 200)
    const body = response.body as unknown as Readable
    await until(async () => ((await waiting()) === 1 ? true : undefined), 30)
    return { response, body, leave: () => controller.abort() }
  }

  it('waits with reading on until the client takes what there is', async () => {
    const { body } = await untaken()
    assert.ok((await count('joulebridge_read_samples_total')) < total)
    body.resume()
    await once(body, 'end')
    assert.equal(await count('joulebridge_read_samples_total'), total)
  })

  it('lets go of the database when the client leaves in the middle', async () => {
    const { body, leave } = await untaken()
    body.on('error', () => {})
    leave()
    await until(async () => ((await reading('idle in transaction')) === 0 ? true : undefined), 20)
    const broken = 'joulebridge_read_answers_total{type="streamed",outcome="broken off"}'
    await until(async () => ((await count(broken)) === 1 ? true : undefined), 20)
  })

  it('is broken off when the client does not take it within the limit', async () => {
    const { body } = await untaken({ readSeconds: 5 })
    await until(async () => ((await reading('idle in transaction')) === 0 ? true : undefined), 20)
    const failed = once(body, 'end').then(() => assert.fail('a part was taken for the whole'))
    body.resume()
    await assert.rejects(failed, /premature|aborted|terminated/i)
  })

  it('breaks the connection when the database fails in the middle', async () => {
    const { body } = await untaken()
    await database.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and state = 'idle in transaction'`,
    )
    const failed = once(body, 'end').then(() => assert.fail('a part was taken for the whole'))
    body.resume()
    await assert.rejects(failed, /premature|aborted|terminated/i)
  })

  /** Makes every read wait in the database. */
  async function block(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('begin; lock table histogram in access exclusive mode')
    return client
  }

  it('has its statement cancelled when the client leaves', async () => {
    const service = await start()
    await write(service, [{ labels: { __name__: 'large', job: 'x' }, samples: [[now, 1]] }])
    const blocker = await block()
    try {
      for (const types of [[0], [1]]) {
        const controller = new AbortController()
        const query = { matchers, range: whole }
        const asked = postQueries(service, [query], types, controller.signal)
        await until(async () => ((await reading('active')) === 1 ? true : undefined), 20)
        controller.abort()
        await assert.rejects(asked, /abort/)
        await until(async () => ((await reading('active')) === 0 ? true : undefined), 20)
      }
    } finally {
      await blocker.end()
    }
  })

  it('is answered 503 when it takes longer than its limit', async () => {
    const service = await start({ readSeconds: 1 })
    await write(service, [{ labels: { __name__: 'large', job: 'x' }, samples: [[now, 1]] }])
    const blocker = await block()
    try {
      const response = await postRead(service, matchers, whole, [streamedType])
      assert.equal(response.status, 503)
      assert.match(await response.text(), /took more than 1 s: ask for less time or fewer series/)
      assert.equal(await reading('active'), 0)
    } finally {
      await blocker.end()
    }
  })

  it('is answered 400 when it has more samples than its limit, by either type', async () => {
    const service = await start({ readSamples: 100 })
    const samples = Array.from({ length: 51 }, (_, i): [number, number] => [now - i, i])
    const labels = { __name__: 'large', job: 'x' }
    await write(
      service,
      ['a', 'b'].map((i) => ({ labels: { ...labels, i }, samples })),
    )
    for (const types of [[0], [1]]) {
      const response = await postRead(service, matchers, whole, types)
      assert.equal(response.status, 400)
      assert.match(await response.text(), /more than 100 samples/)
      const one: Matcher[] = [...matchers, ['i', '=', 'a']]
      assert.equal((await postRead(service, one, whole, types)).status, 200)
      const query = { matchers: one, range: whole }
      assert.equal((await postQueries(service, [query, query], types)).status, 400)
    }
  })
})
