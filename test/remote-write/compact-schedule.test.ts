import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import { postgresSection } from '../../remote-write/postgres/pool.ts'
import { remoteWriteSection } from '../../remote-write/settings.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { write } from '../support/remote-write.ts'

const dayMs = 86_400_000
const yesterday = Math.floor(Date.now() / dayMs) * dayMs - dayMs / 2

describe('scheduled compaction', () => {
  let database: TestDatabase
  let service: Service
  let lines: Record<string, unknown>[]

  beforeEach(async () => {
    database = await cloneDatabase()
    lines = []
    const info = { level: 'info', format: 'json' } as const
    const log = createLog('test', info, { write: (line) => lines.push(JSON.parse(line)) })
    const settings = remoteWriteSection.parse({
      web: { listenAddress: '127.0.0.1:0' },
      compaction: { schedule: '* * * * * *' },
    })
    const postgres = { ...postgresSection.parse({}), url: database.url }
    service = await startRemoteWrite({ ...settings, log: info, postgres }, { log, env: {} })
  })

  afterEach(() => service.close())

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  }

  async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
    while (!(await holds())) await sleep(20)
  }

  async function send(timeMs: number): Promise<void> {
    const labels = { __name__: 'a_watts', job: 'exporter', instance: 'a:1' }
    const { status } = await write(service, [{ labels, samples: [[timeMs, 1]] }])
    assert.equal(status, 204)
  }

  it('moves what is due, and says so in metrics and one line of the log', async () => {
    await send(yesterday)
    await until(async () => (await metric('joulebridge_compaction_samples_total')) === 1)
    await until(() => lines.some(({ samples }) => samples === 1))
    const line = lines.find(({ samples }) => samples === 1)
    assert.equal(line?.['message'], 'compaction run')
    assert.deepEqual([line?.['windows'], line?.['windows_due']], [1, 0])
    const success = await metric('joulebridge_compaction_last_success_timestamp_seconds')
    assert.ok(Math.abs(success - Date.now() / 1000) < 60)
    assert.equal(await metric('joulebridge_compaction_windows_due'), 0)
    const { rows } = await database.pool.query('select n from segments')
    assert.deepEqual(rows, [{ n: 1 }])
  })

  it('takes samples into a window whose partition it has dropped', async () => {
    await send(yesterday)
    await until(async () => (await metric('joulebridge_compaction_samples_total')) === 1)
    await send(yesterday + 1)
    await until(async () => (await metric('joulebridge_compaction_samples_total')) === 2)
  })

  it('tells which window it could not compact and why, and tries again', async () => {
    await send(yesterday)
    await until(async () => (await metric('joulebridge_compaction_samples_total')) === 1)
    const { rows } = await database.pool.query<{ chunk: Buffer }>('select chunk from segments')
    await database.pool.query(`update segments set chunk = '\\xdeadbeef'`)
    await send(yesterday + 60_000)
    await until(async () => (await metric('joulebridge_compaction_failures_total')) > 0)
    assert.equal(await metric('joulebridge_compaction_windows_due'), 1)
    const line = lines.find(({ message }) => message === 'window not compacted')
    assert.match(String(line?.['error']), /^frames_\d{8}t\d{4}: frames 0 to 0: chunk: /)
    await database.pool.query('update segments set chunk = $1', [rows[0]?.chunk])
    await until(async () => (await metric('joulebridge_compaction_samples_total')) === 2)
  })
})
