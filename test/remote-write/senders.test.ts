import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fetch from 'node-fetch'
import { stringify } from 'yaml'
import { startChild } from '../../exporter/service/child.ts'
import { listen, type Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { requireNewerProgram } from '../support/debian-program.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'

describe('remote write from other senders than Prometheus', function senders() {
  this.timeout(300_000)
  let database: TestDatabase
  let record: Service
  let directory: string

  before(async () => {
    database = await cloneDatabase()
    record = await startRecord(database.url)
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-senders-'))
  })

  after(async () => {
    await record?.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function stored(metric: string): Promise<{ labels: object; values: number[] }[]> {
    const { rows } = await database.pool.query<{ labels: object; values: number[] }>(
      `select labels, array_agg(value order by time) as values
       from sample join series on id = series_id where metric = $1 group by id order by labels`,
      [metric],
    )
    return rows
  }

  async function answers(code: number): Promise<number> {
    const text = await (await fetch(`${record.url}/metrics`)).text()
    const pattern = new RegExp(`^joulebridge_write_requests_total\\{code="${code}"\\} (\\d+)$`, 'm')
    return Number(pattern.exec(text)?.[1] ?? 0)
  }

  it('takes each sample that vmagent scraped, whose zstd it refuses first', async function agent() {
    const program = await requireNewerProgram(this, {
      packageName: 'victoria-metrics',
      program: 'vmagent',
    })
    const served: number[] = []
    const target = await listen((_request, response) => {
      const value = 0.1 + served.length
      served.push(value)
      response.end(`reading{place="a"} ${value}\nreading{place="ü \\"b\\""} ${-value}\n`)
    }, '127.0.0.1:0')
    const vmagent = await startVmagent(program, { directory, record, target })
    await until(() => (served.length >= 8 ? true : undefined), 60)
    // As it ends it sends what it still has.
    await vmagent.stop()
    await target.close()
    assert.ok((await answers(415)) > 0, 'it did not try zstd')
    assert.deepEqual(await stored('reading'), [
      { labels: labels(target, { place: 'a' }), values: served },
      { labels: labels(target, { place: 'ü "b"' }), values: served.map((value) => -value) },
    ])
  })

  it('takes what promtool pushes', async function push() {
    // Debian 12's own has no such command.
    const newer = { packageName: 'promtool', program: 'promtool' }
    const promtool = await requireNewerProgram(this, newer)
    const file = join(directory, 'metrics.prom')
    const lines = ['pushed{place="a"} 0.1', 'pushed{place="b"} NaN', 'pushed{place="c"} -Inf']
    await writeFile(file, `# HELP pushed Pushed.\n# TYPE pushed gauge\n${lines.join('\n')}\n`)
    const args = ['push', 'metrics', `${record.url}/api/v1/write`, file, '--label', 'job=cli']
    await promisify(execFile)(promtool, args)
    assert.deepEqual(await stored('pushed'), [
      { labels: { job: 'cli', place: 'a' }, values: [0.1] },
      { labels: { job: 'cli', place: 'c' }, values: [Number.NEGATIVE_INFINITY] },
    ])
    const { rows } = await database.pool.query(
      `select v[position + 1]::text as value from frames join series using (frame)
       where metric = 'pushed' and labels ->> 'place' = 'b'`,
    )
    assert.deepEqual(rows, [{ value: 'NaN' }])
  })
})

/** As it scrapes once a second and sends what it has once a second. */
async function startVmagent(
  program: string,
  { directory, record, target }: { directory: string; record: Service; target: Service },
) {
  const config = join(directory, 'scrape.yml')
  const targets = [new URL(target.url).host]
  await writeFile(
    config,
    stringify({
      global: { scrape_interval: '1s' },
      scrape_configs: [{ job_name: 'test', static_configs: [{ targets }] }],
    }),
  )
  const address = `127.0.0.1:${await freePort()}`
  return await startChild({
    name: 'vmagent',
    command: program,
    args: [
      `-promscrape.config=${config}`,
      `-remoteWrite.url=${record.url}/api/v1/write`,
      `-remoteWrite.tmpDataPath=${join(directory, 'queue')}`,
      '-remoteWrite.flushInterval=1s',
      `-httpListenAddr=${address}`,
    ],
    env: process.env,
    logFile: join(directory, 'vmagent.log'),
    readyUrl: `http://${address}/health`,
    signal: new AbortController().signal,
  })
}

function labels(target: Service, own: object): object {
  return { instance: new URL(target.url).host, job: 'test', ...own }
}
