import assert from 'node:assert/strict'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import type { Storage } from '../../remote-write/storage/storage.ts'
import { runCommand, until } from '../support/command.ts'
import { getJson } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { type StoredSeries, storeSeries } from '../support/samples.ts'

const windowSeconds = 4 * 3600

/** The start of a window of two windows ago. */
const t0 = (Math.floor(Date.now() / 1000 / windowSeconds) - 2) * windowSeconds

describe('joulebridge storage', () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  const series = (metric: string, xname: string, from: number, to: number): StoredSeries => {
    const samples: [number, number][] = []
    for (let at = from; at < to; at += 10) samples.push([t0 + at, at])
    return { metric, labels: { xname }, samples }
  }

  it('tells what is on disk, of which samples, and which metrics take most', async () => {
    await storeSeries(pool, [
      ...['n0', 'n1', 'n2'].map((xname) => series('cray_node_power_watts', xname, 100, 1100)),
      series('cray_node_energy_joules_total', 'n0', 100, 600),
    ])
    const command = runCommand('storage', '--url', service.url, '--json')
    assert.equal(await command.ended, 0, command.stderr())
    const storage = JSON.parse(command.stdout()) as Record<keyof Storage, unknown> & Storage
    assert.equal(storage.series, 4)
    assert.equal(storage.metrics, 2)
    assert.deepEqual([storage.live.samples_about, storage.compacted.samples_about], [350, 0])
    assert.equal(storage.samples_per_day_about, 350)
    assert.equal(storage.oldest_sample_about, new Date((t0 + 100) * 1000).toISOString())
    assert.equal(storage.newest_sample_about, new Date((t0 + 1090) * 1000).toISOString())
    assert.equal(storage.uncompacted_windows, 1)
    assert.equal(storage.uncompacted_since, new Date(t0 * 1000).toISOString())
    assert.deepEqual(
      storage.top_by_series.map(({ metric, series }) => [metric, series]),
      [
        ['cray_node_power_watts', 3],
        ['cray_node_energy_joules_total', 1],
      ],
    )
    const total = Object.values(storage.bytes).reduce((sum, size) => sum + size, 0)
    assert.equal(storage.bytes_total, total)
    assert.equal(storage.bytes_per_sample_about, total / 350)
    assert.equal(storage.compression_ratio_about, 16 / (total / 350))
    assert.equal(storage.bytes['frames'], await sizeOf('frames'))
    assert.equal(storage.live.bytes, storage.bytes['frames'])
    assert.equal(storage.bytes['series'], await sizeOf('series'))
  })

  /** As PostgreSQL counts tables and indexes whose names begin so, with what belongs to them. */
  async function sizeOf(kind: 'frames' | 'series'): Promise<number> {
    const tables = { frames: '^frames', series: '^(series|target|frame_counter|metric_metadata)$' }
    const { rows } = await pool.query<{ bytes: number }>(
      `select sum(pg_table_size(oid) + pg_indexes_size(oid))::float8 as bytes
       from pg_class
       where relkind in ('r', 'p') and relname ~ $1 and relnamespace = 'public'::regnamespace`,
      [tables[kind]],
    )
    return rows[0]?.bytes ?? 0
  }

  it('counts the same samples before and after compaction', async () => {
    await storeSeries(pool, [
      series('cray_node_power_watts', 'n0', 100, 1100),
      series('cray_node_energy_joules_total', 'n0', 100, 600),
    ])
    await compactDue(pool, { delaySeconds: 0 })
    const storage = await getJson<Storage>(service, '/api/v1/storage')
    assert.deepEqual([storage.live.samples_about, storage.compacted.samples_about], [0, 150])
    assert.equal(storage.uncompacted_windows, 0)
    assert.equal(storage.uncompacted_since, null)
    assert.equal(storage.oldest_sample_about, new Date((t0 + 100) * 1000).toISOString())
    assert.equal(storage.newest_sample_about, new Date((t0 + 1090) * 1000).toISOString())
  })

  it('counts compacted samples by their segments', async () => {
    await storeSeries(pool, [
      series('cray_node_power_watts', 'n0', 0, 10),
      series('cray_node_fan_hertz', 'n0', 0, 10),
    ])
    const day = Math.floor(t0 / 86_400) * 86_400
    await pool.query(
      `select make_partition('segments', to_timestamp($1::float8), to_timestamp($2::float8))`,
      [day, day + 86_400],
    )
    await pool.query(
      `insert into segments (frame, position, t0, t1, n, resets, chunk)
       select s.frame, s.position, to_timestamp($1), to_timestamp($1) + interval '1 hour', 360, 0,
         case when s.metric = 'cray_node_power_watts' then repeat('x', 1000) else 'x' end::bytea
       from series s`,
      [day + 40],
    )
    const storage = await getJson<Storage>(service, '/api/v1/storage')
    assert.equal(storage.compacted.samples_about, 720)
    assert.equal(storage.live.samples_about, 2)
    assert.equal(storage.oldest_sample_about, new Date((day + 40) * 1000).toISOString())
    assert.equal(storage.compacted.bytes, storage.bytes['segments'])
    assert.ok(storage.compacted.bytes >= 8192)
    const [first, second] = storage.top_by_bytes
    assert.equal(first?.metric, 'cray_node_power_watts')
    const more = (first?.bytes_about ?? 0) - (second?.bytes_about ?? 0)
    assert.ok(more > storage.compacted.bytes / 2)
    const shared = (first?.bytes_about ?? 0) + (second?.bytes_about ?? 0)
    assert.ok(Math.abs(shared - storage.live.bytes - storage.compacted.bytes) <= 2)
  })

  it('is about right where it cannot look at every page', async () => {
    await pool.query(
      `select make_partition('frames', to_timestamp($1::float8), to_timestamp($2::float8))`,
      [t0, t0 + windowSeconds],
    )
    await pool.query(
      `insert into frames (frame, time, v)
       select f, to_timestamp($1 + s * 10), array_fill(f::float8, array[10 + f % 40])
       from generate_series(1, 100) f, generate_series(0, 199) s`,
      [t0],
    )
    const { rows } = await pool.query('select sum(cardinality(v))::int4 as n from frames')
    const storage = await getJson<Storage>(service, '/api/v1/storage')
    const ratio = storage.live.samples_about / rows[0].n
    assert.ok(ratio > 0.8 && ratio < 1.25, `${storage.live.samples_about} of ${rows[0].n}`)
    assert.equal(storage.newest_sample_about, new Date((t0 + 1990) * 1000).toISOString())
  })

  it('prints tables for people', async () => {
    await storeSeries(pool, [series('cray_node_power_watts', 'n0', 0, 1000)])
    const command = runCommand('storage', '--url', service.url)
    assert.equal(await command.ended, 0, command.stderr())
    for (const line of [
      /^frames +\d+\.\d KiB$/m,
      /^live +about 100 +\d+\.\d\d B$/m,
      /^compacted +about 0$/m,
      /^series +1 of 1 metrics$/m,
      /^last day +about 100 samples$/m,
      /^compression +about 0\.\d times smaller than 16 B a sample$/m,
      /^not compacted +1 closed window since \S+:00:00Z$/m,
      /^cray_node_power_watts +1$/m,
    ]) {
      assert.match(command.stdout(), line)
    }
  })

  it('has unknown figures, not wrong ones, while there is no sample', async () => {
    const storage = await getJson<Storage>(service, '/api/v1/storage')
    assert.equal(storage.compression_ratio_about, null)
    assert.equal(storage.newest_sample_about, null)
    assert.equal(storage.live.bytes_per_sample_about, null)
    const command = runCommand('storage', '--url', service.url)
    assert.equal(await command.ended, 0, command.stderr())
    assert.match(command.stdout(), /^compression +unknown$/m)
  })

  it('names the place that does not answer', async () => {
    const command = runCommand('storage', '--url', 'http://127.0.0.1:1')
    assert.equal(await command.ended, 1)
    assert.match(command.stderr(), /remote-write at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/)
  })

  it('shows the same as metrics', async () => {
    await storeSeries(pool, [series('cray_node_power_watts', 'n0', 0, 1000)])
    const storage = await getJson<Storage>(service, '/api/v1/storage')
    const text = await until(async () => {
      const metrics = await (await fetch(`${service.url}/metrics`)).text()
      return metrics.includes('joulebridge_storage_series 1') ? metrics : undefined
    }, 10)
    const shown = (name: string) => {
      const line = text.split('\n').find((one) => one.startsWith(`joulebridge_storage_${name} `))
      return Number(line?.split(' ').at(-1))
    }
    assert.equal(shown('samples{state="live"}'), 100)
    assert.equal(shown('bytes{kind="frames"}'), storage.bytes['frames'])
    assert.equal(shown('bytes_per_sample{state="live"}'), storage.live.bytes_per_sample_about)
    assert.equal(shown('newest_sample_timestamp_seconds'), t0 + 990)
    assert.equal(shown('uncompacted_windows'), 1)
    assert.equal(shown('metric_series{metric="cray_node_power_watts"}'), 1)
    assert.ok(!text.includes('joulebridge_storage_bytes_per_sample{state="compacted"}'))
  })
})
