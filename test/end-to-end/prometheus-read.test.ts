import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import { compressSync } from 'snappy'
import { stringify } from 'yaml'
import type { Service } from '../../exporter/service/http.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { requireNewerPrometheus } from '../support/debian-program.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { requireProgram, runPrometheus, type TestPrometheus } from '../support/prometheus.ts'
import { post, startRecord, type WrittenSeries, writeRequest } from '../support/remote-write.ts'
import { type HistogramFields, histogram, writeV2 } from '../support/remote-write-v2.ts'

const stepMs = 30_000
const hours = 9
const lastMs = Math.floor(Date.now() / stepMs) * stepMs
const firstMs = lastMs - hours * 3_600_000
const steps = (lastMs - firstMs) / stepMs
const stale = '7ff0000000000002'

/** Power and energy of some nodes; the last one ends in mid-time, with a stale marker. */
const nodes = ['x1000c0s0b0n0', 'x1000c0s0b0n1', 'x1000c1s7b1n0', 'x1001c0s0b0n0']
const history: WrittenSeries[] = nodes.flatMap((xname, n) => {
  const watts = (i: number) => 300 + 40 * n + ((i * 7919 + n * 31) % 101) / 10
  const times = Array.from({ length: steps + 1 }, (_, i) => firstMs + i * stepMs + n)
  const lived = xname === nodes.at(-1) ? times.slice(0, steps / 2) : times
  const isLast = (i: number) => lived.length < times.length && i === lived.length - 1
  const labels = { job: 'exporter', instance: xname, xname }
  return [
    {
      labels: { __name__: 'node_power_watts', ...labels },
      samples: lived.map((at, i) => [at, isLast(i) ? stale : watts(i)] as const),
    },
    {
      labels: { __name__: 'node_energy_joules_total', ...labels },
      samples: lived.map((at, i) => [at, isLast(i) ? stale : 1000 + i * 30 * (300 + n)] as const),
    },
  ]
})

const histogramTimes = [lastMs - 120_000, lastMs - 60_000, lastMs]

const bothSides = (i: number) => ({
  schema: 2,
  sum: 12.5 + i,
  zeroCount: 1 + i,
  negative: { spans: [[-2, 1] as [number, number]], counts: [3 + i] },
  positive: {
    spans: [[0, 2] as [number, number], [300, 1] as [number, number]],
    counts: [1, 4000, 2 + i],
  },
})
const histograms: Record<string, (i: number) => Omit<HistogramFields, 'timeMs'>> = {
  integer: bothSides,
  float: (i) => ({ ...bothSides(i), float: true }),
  custom: (i) => ({
    schema: -53,
    sum: 3,
    positive: {
      spans: [
        [0, 2],
        [1, 1],
      ],
      counts: [1 + i, 2, 7 + i],
    },
    customValues: [0.1, 1, 12_345.678_9],
  }),
}

/** In order of time, as Prometheus wants it. */
function* requests(): Iterable<Buffer> {
  const stepsAtOnce = 60
  for (let from = 0; from <= steps; from += stepsAtOnce) {
    const some = history.map(({ labels, samples }) => {
      return { labels, samples: samples.slice(from, from + stepsAtOnce) }
    })
    yield compressSync(writeRequest(some.filter(({ samples }) => samples.length > 0)))
  }
}

const instants = [
  'node_power_watts',
  'sum(node_power_watts)',
  'sum by (job) (rate(node_energy_joules_total[10m]))',
  'increase(node_energy_joules_total{xname=~"x1000c[01]s.+"}[1h])',
  'node_power_watts{xname!~".*n0|nothing"}',
  'count({__name__=~".+"})',
  'count_over_time(node_power_watts[8h])',
  'max_over_time(sum(node_power_watts)[6h:5m])',
  'sum_over_time(node_power_watts{xname=~"(?i)X1001.*|x1000c1s7b1n0"}[5h] offset 1h)',
]

for (const version of [2, 3]) {
  describe(`remote read by a real Prometheus ${version}`, function remoteRead() {
    this.timeout(300_000)
    const parts: { close(): Promise<void> }[] = []
    const up = async <T extends { close(): Promise<void> }>(part: Promise<T>): Promise<T> => {
      parts.push(await part)
      return await part
    }
    let database: TestDatabase
    let record: Service
    /** Has the history in its own storage. */
    let owner: TestPrometheus
    /** Has nothing but the record to read from. */
    let reader: TestPrometheus

    before(async function bringUp() {
      const program =
        version === 2
          ? await requireProgram('prometheus', this)
          : await requireNewerPrometheus(this)
      database = await cloneDatabase()
      record = await up(startRecord(database.url))
      const flags = ['--web.enable-remote-write-receiver', '--enable-feature=native-histograms']
      owner = await up(runPrometheus(program, '', { flags }))
      const source = { url: `${record.url}/api/v1/read`, read_recent: true }
      reader = await up(runPrometheus(program, stringify({ remote_read: [source] })))
      for (const body of requests()) {
        for (const receiver of [record, owner]) {
          const response = await post(receiver, body)
          assert.ok(response.ok, `${response.status}: ${await response.text()}`)
        }
      }
    })

    after(async () => {
      while (parts.length > 0) await parts.pop()?.close()
    })

    async function compare(): Promise<void> {
      const times = [lastMs, firstMs + 4.6 * 3_600_000, firstMs + 8.3 * 3_600_000]
      for (const promql of instants) {
        for (const at of times.map((ms) => new Date(ms))) {
          const expected = await owner.query(promql, at)
          assert.deepEqual(await reader.query(promql, at), expected, `${promql} at ${at}`)
        }
        assert.ok((await owner.query(promql, new Date(lastMs))).size > 0, `${promql}: nothing`)
      }
      const range = { from: new Date(firstMs), to: new Date(lastMs), stepSeconds: 300 }
      for (const promql of ['node_power_watts', 'sum(rate(node_energy_joules_total[5m]))']) {
        const expected = await owner.queryRange(promql, range)
        assert.deepEqual(await reader.queryRange(promql, range), expected, promql)
      }
    }

    /** What SQL has of the power in 8 h, against what PromQL has. */
    async function compareWithSql(): Promise<void> {
      const at = new Date(lastMs + 1000)
      const { rows } = await database.pool.query<{ n: number; sum: number }>(
        `select count(*)::float8 as n, sum(value) as sum
         from sample join series on id = series_id
         where metric = 'node_power_watts'
           and time > $1::timestamptz - interval '8 h' and time <= $1`,
        [at],
      )
      const one = async (promql: string) => [...(await reader.query(promql, at)).values()][0]
      assert.equal(await one('sum(count_over_time(node_power_watts[8h]))'), rows[0]?.n)
      const sum = Number(await one('sum(sum_over_time(node_power_watts[8h]))'))
      assert.ok(Math.abs(sum / Number(rows[0]?.sum) - 1) < 1e-12, `${sum}, SQL: ${rows[0]?.sum}`)
    }

    it('gives over live frames what its own storage gives, and what SQL gives', async () => {
      await compare()
      await compareWithSql()
    })

    it('gives the same when windows are compacted, and when all are', async () => {
      for (const delaySeconds of [0, -5 * 3600]) {
        const compacted = await compactDue(database.pool, { delaySeconds })
        assert.deepEqual(compacted?.failures, [])
        assert.ok(compacted.samples > 0)
        await compare()
        await compareWithSql()
      }
    })

    it('lists the series and label values of the record', async () => {
      const list = async ({ url }: TestPrometheus) => {
        const parameters = `match[]=node_power_watts&start=${firstMs / 1000}&end=${lastMs / 1000}`
        const response = await fetch(`${url}/api/v1/series?${parameters}`)
        return ((await response.json()) as { data: unknown }).data
      }
      assert.deepEqual(await list(reader), await list(owner))
    })

    // The other version has not all of these kinds.
    const kinds = version === 3 ? Object.entries(histograms) : []
    for (const [kind, fields] of kinds) {
      it(`gives native histograms as its own storage does: ${kind}`, async () => {
        const labels = { __name__: `${kind}_seconds`, job: 'exporter', instance: 'x' }
        const sent = histogramTimes.map((timeMs, i) => histogram({ ...fields(i), timeMs }))
        for (const receiver of [record, owner]) {
          const { status, text } = await writeV2(receiver, [{ labels, histograms: sent }])
          assert.ok(status < 300, `${status}: ${text}`)
        }
        const name = labels.__name__
        for (const promql of [
          ...[`histogram_count(${name})`, `histogram_sum(rate(${name}[5m]))`],
          ...[0.1, 0.5, 0.9].map((quantile) => `histogram_quantile(${quantile}, ${name})`),
          `histogram_fraction(-1, 1, ${name})`,
          `histogram_count(increase(${name}[5m]))`,
        ]) {
          const expected = await owner.query(promql, new Date(lastMs))
          assert.equal(expected.size, 1, promql)
          assert.deepEqual(await reader.query(promql, new Date(lastMs)), expected, promql)
        }
      })
    }

    it(`asks for answers of the type ${version === 2 ? 'SAMPLES' : 'STREAMED'}`, async () => {
      const text = await (await fetch(`${record.url}/metrics`)).text()
      const pattern = /^joulebridge_read_answers_total\{type="(\w+)",outcome="whole"\} [1-9]/gm
      const types = [...text.matchAll(pattern)].map(([, type]) => type)
      assert.deepEqual(types, [version === 2 ? 'samples' : 'streamed'])
    })
  })
}
