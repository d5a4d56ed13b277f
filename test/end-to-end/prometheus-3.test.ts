import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import fetch from 'node-fetch'
import { stringify } from 'yaml'
import { listen, type Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { requireNewerPrometheus } from '../support/debian-program.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { runPrometheus, type TestPrometheus } from '../support/prometheus.ts'
import { startRecord } from '../support/remote-write.ts'

/** What an application with traces shows in OpenMetrics. */
const exposition = `# HELP requests Requests served.
# TYPE requests counter
requests_total 7 # {trace_id="abc"} 1.0
# EOF
`

describe('a real Prometheus 3 that sends remote write 2.0', function prometheus3() {
  this.timeout(300_000)
  const parts: { close(): Promise<void> }[] = []
  const up = async <T extends { close(): Promise<void> }>(part: Promise<T>): Promise<T> => {
    parts.push(await part)
    return await part
  }
  let program: string
  let database: TestDatabase
  let record: Service
  let sender: TestPrometheus
  let address: string

  before(async function bringUp() {
    program = await requireNewerPrometheus(this)
    database = await cloneDatabase()
    record = await up(startRecord(database.url))
    const application = await up(listen(serveExposition, '127.0.0.1:0'))
    address = `127.0.0.1:${await freePort()}`
    const config = senderConfig([address, application.url.replace('http://', '')])
    const features = 'native-histograms,exemplar-storage,metadata-wal-records'
    const flags = [`--enable-feature=${features}`]
    sender = await up(runPrometheus(program, config, { flags, address }))
  })

  after(async () => {
    while (parts.length > 0) await parts.pop()?.close()
  })

  function senderConfig(targets: string[]): string {
    const endpoint = { url: `${record.url}/api/v1/write` }
    return stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [{ job_name: 'test', static_configs: [{ targets }] }],
      remote_write: [
        {
          ...endpoint,
          protobuf_message: 'io.prometheus.write.v2.Request',
          send_exemplars: true,
          send_native_histograms: true,
          queue_config: { batch_send_deadline: '1s', max_shards: 1 },
        },
      ],
    })
  }

  /** The sum of a counter of the sender's own remote-write client. */
  async function sent(name: string): Promise<number> {
    const text = await (await fetch(`http://${address}/metrics`)).text()
    const pattern = new RegExp(`^prometheus_remote_storage_${name}(?:\\{.*\\})? (\\S+)$`, 'gm')
    return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async function count(from: string): Promise<number> {
    const { rows } = await database.pool.query<{ n: number }>(
      `select count(*)::int4 as n from ${from}`,
    )
    return rows[0]?.n ?? 0
  }

  it('has samples, histograms and exemplars stored, and counts none as failed', async () => {
    const ups = `sample join series on id = series_id where metric = 'up'`
    await until(async () => ((await count(ups)) >= 10 ? true : undefined), 60)
    await until(async () => ((await count('histogram')) > 0 ? true : undefined), 60)
    await until(async () => ((await count('exemplar')) > 0 ? true : undefined), 60)
    for (const kind of ['samples', 'histograms', 'exemplars', 'metadata']) {
      assert.equal(await sent(`${kind}_failed_total`), 0, `${kind} failed`)
      assert.equal(await sent(`${kind}_retried_total`), 0, `${kind} sent again`)
    }
    assert.ok((await sent('samples_total')) > 1000)
    const { rows } = await database.pool.query(
      `select labels from exemplar where labels <> '{}' limit 1`,
    )
    assert.deepEqual(rows, [{ labels: { trace_id: 'abc' } }])
  })

  it('has the metadata of its metrics stored', async () => {
    const { rows } = await database.pool.query(
      `select metric, type, help from metric_metadata
       where metric in ('requests_total', 'go_goroutines') order by metric`,
    )
    assert.deepEqual(rows, [
      {
        metric: 'go_goroutines',
        type: 'gauge',
        help: 'Number of goroutines that currently exist.',
      },
      { metric: 'requests_total', type: 'counter', help: 'Requests served.' },
    ])
  })

  it('gives another Prometheus, by remote read, what it has itself', async () => {
    const config = stringify({
      remote_read: [{ url: `${record.url}/api/v1/read`, read_recent: true }],
    })
    const reader = await up(runPrometheus(program, config))
    const at = new Date()
    const later = `sample join series on id = series_id
      where metric = 'up' and time > to_timestamp(${at.getTime() / 1000} + 2)`
    await until(async () => ((await count(later)) > 0 ? true : undefined), 60)
    for (const promql of [
      'up',
      'count(go_goroutines)',
      'sum(rate(prometheus_tsdb_head_samples_appended_total[30s]))',
      'histogram_count(prometheus_http_request_duration_seconds)',
      'histogram_sum(prometheus_http_request_duration_seconds)',
      'histogram_quantile(0.9, sum(prometheus_http_request_duration_seconds))',
    ]) {
      const expected = await sender.query(promql, at)
      assert.ok(expected.size > 0, `${promql} gives nothing`)
      assert.deepEqual(await reader.query(promql, at), expected, promql)
    }
  })
})

const serveExposition = (_request: unknown, response: ServerResponse): void => {
  response.setHeader('content-type', 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  response.end(exposition)
}
