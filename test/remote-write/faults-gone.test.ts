import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import fetch from 'node-fetch'
import { compressSync } from 'snappy'
import { until } from '../support/command.ts'
import { LedgerSender } from '../support/ledger.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import { RecordProcess } from '../support/record-process.ts'
import { writeRequest } from '../support/remote-write.ts'

const MiB = 2 ** 20

describe('the record, when PostgreSQL is gone for long', function gone() {
  this.timeout(180_000)
  let database: TestDatabase
  let proxy: TcpProxy
  let record: RecordProcess

  before(async () => {
    database = await cloneDatabase()
    const url = new URL(database.url)
    proxy = await startProxy(Number(url.port))
    url.port = String(proxy.port)
    record = await RecordProcess.load({ databaseUrl: url.href })
    await record.start()
  })

  after(async () => {
    await record?.close()
    await proxy?.close()
  })

  it('answers 503 to thousands of requests in steady memory, then stores them all', async () => {
    const sender = new LedgerSender({ urls: [record.url], seed: 1, inFlight: 32 })
    sender.start()
    await until(() => (sender.answered >= 300 ? true : undefined), 60)
    const answers = await answersBy(record)
    proxy.cut()
    await until(() => (sender.retried >= 500 ? true : undefined), 60)
    const before = await residentBytes(record)
    await until(() => (sender.retried >= 3000 ? true : undefined), 120)
    const grown = (await residentBytes(record)) - before
    const refused = (await answersBy(record)).get('503') ?? 0
    proxy.mend()
    const { answered } = sender
    await until(() => (sender.answered >= answered + 300 ? true : undefined), 60)
    await sender.stop()
    assert.equal(answers.get('503'), undefined)
    assert.ok(refused >= 3000 - 32, `${refused} of ${sender.retried} retries for a 503`)
    assert.ok(grown < 64 * MiB, `${grown / MiB} MiB more`)
    assert.deepEqual(await sender.differences(database.pool), [])
  })

  it('takes in no more than its limits while commits hang, and keeps what it took', async () => {
    const peaks: number[] = []
    let stored = 0
    for (let round = 0; round < 3; round++) {
      const release = await holdCommits()
      const before = await residentBytes(record)
      const answers = flood(record, round)
      await until(() => (answers.refused > requests / 3 ? true : undefined), 60)
      assert.ok((await openSamples(record)) <= 500_000)
      peaks.push((await residentBytes(record)) - before)
      await release()
      const taken = await answers.done
      assert.equal(taken + answers.refused, requests)
      stored += taken * samplesPerRequest
      const { rows } = await database.pool.query<{ n: number }>(
        `select count(*)::int4 as n
         from sample join series on id = series_id where metric = 'flood'`,
      )
      assert.deepEqual(rows, [{ n: stored }])
    }
    const [first = 0, ...later] = peaks
    const shown = peaks.map((bytes) => Math.round(bytes / MiB))
    process.stderr.write(`      ${shown.join(', ')} MiB more at the height of each flood\n`)
    assert.ok(first < 256 * MiB, `${shown} MiB more at its height`)
    assert.ok(Math.max(...later) < 128 * MiB, `${shown} MiB more at its height`)
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
})

const requests = 200
const samplesPerRequest = 5000

/** Many large requests at once, each of its own time; none is sent again. */
function flood(record: RecordProcess, round: number): { refused: number; done: Promise<number> } {
  const agent = new Agent({ keepAlive: true, maxSockets: requests })
  const counts = { refused: 0, done: Promise.resolve(0) }
  const bodies = Array.from({ length: requests }, (_, i) => {
    const first = Date.now() - 5000 * (round * requests + i)
    const times = Array.from({ length: 5 }, (_, nth) => first - 1000 * nth)
    const series = Array.from({ length: samplesPerRequest / 5 }, (_, series) => ({
      labels: { __name__: 'flood', instance: `${series % 100}`, series: `${series}` },
      samples: times.map((timeMs) => [timeMs, series] as const),
    }))
    return compressSync(writeRequest(series))
  })
  const statuses = bodies.map(async (body) => {
    const status = await post(`${record.url}/api/v1/write`, body, agent)
    assert.ok(status === 204 || status === 503, `status ${status}`)
    if (status === 503) counts.refused++
    return status
  })
  counts.done = Promise.all(statuses).then((all) => {
    agent.destroy()
    return all.filter((status) => status === 204).length
  })
  return counts
}

function post(url: string, body: Buffer, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' }
    request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode))
    })
      .on('error', reject)
      .end(body)
  })
}

async function metrics(record: RecordProcess): Promise<string> {
  return await (await fetch(`${record.url}/metrics`)).text()
}

async function openSamples(record: RecordProcess): Promise<number> {
  return Number(/^joulebridge_open_samples (\d+)$/m.exec(await metrics(record))?.[1])
}

async function answersBy(record: RecordProcess): Promise<Map<string, number>> {
  const pattern = /^joulebridge_write_requests_total\{code="(\d+)"\} (\d+)$/gm
  const found = [...(await metrics(record)).matchAll(pattern)]
  return new Map(found.map(([, code = '', n]) => [code, Number(n)]))
}

async function residentBytes({ pid }: RecordProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
