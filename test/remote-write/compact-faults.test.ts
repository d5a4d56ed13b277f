import assert from 'node:assert/strict'
import pg from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { createRandom } from '../../exporter/simulator/random.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'
import { bitsOf, type StoredSample, storedSamples } from '../support/stored-samples.ts'

const windowMs = 4 * 3_600_000
const closed = Math.floor(Date.now() / windowMs) * windowMs - 6 * windowMs
const due = { delaySeconds: 7200 }

const targets = 30
const perTarget = 40
const samples = 24

/** Sample i of a series; over two windows. */
function timeOf(i: number): number {
  return closed + i * (windowMs / 12) + 1234
}

function valueAt(series: number, i: number): number {
  return series * 1000 + i
}

/** Samples of all series of a target, at these indices. */
function target(nth: number, indices: readonly number[], offset = 0): WrittenSeries[] {
  return Array.from({ length: perTarget }, (_, position) => ({
    labels: { __name__: `sensor_${position}_watts`, job: 'exporter', instance: `a:${nth}` },
    samples: indices.map((i) => {
      return [timeOf(i), valueAt(nth * perTarget + position, i) + offset] as const
    }),
  }))
}

const every = Array.from({ length: samples }, (_, i) => i)

describe('compaction beside faults and ingest', function () {
  this.timeout(120_000)
  let database: TestDatabase
  let service: Service

  beforeEach(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  async function sendUntilStored(series: readonly WrittenSeries[]): Promise<void> {
    for (;;) {
      const { status, text } = await write(service, series)
      if (status === 204) return
      assert.equal(status, 503, text)
    }
  }

  /** What is stored, without where: ids are given in order of arrival. */
  function values(stored: readonly StoredSample[]): string[] {
    return stored.map(({ timeMs, bits }) => `${timeMs} ${bits}`).sort()
  }

  function expected(indices: readonly number[] = every): string[] {
    return Array.from({ length: targets * perTarget }, (_, series) =>
      indices.map((i) => `${timeOf(i)} ${bitsOf(valueAt(series, i))}`),
    )
      .flat()
      .sort()
  }

  it('has every sample once after its connection was killed at any moment', async () => {
    const seed = Date.now() % 1_000_000
    const random = createRandom(seed)
    let killed = 0
    for (const i of every) {
      // Of some targets samples come again, with other values, that are compacted perhaps.
      for (let nth = 0; nth < targets; nth++) await sendUntilStored(target(nth, [i]))
      for (let nth = i % 7; nth < targets; nth += 7) await sendUntilStored(target(nth, [i >> 1], 7))
      killed += await compactAndKill(random.next() * 80)
      const stored = values(await storedSamples(database.pool))
      assert.deepEqual(stored, expected(every.slice(0, i + 1)), `seed ${seed}`)
    }
    assert.ok(killed > 2, `${killed} runs killed, seed ${seed}`)
    const last = await compactDue(database.pool, due)
    assert.deepEqual([last?.failures, last?.windowsDue], [[], 0])
    assert.deepEqual(values(await storedSamples(database.pool)), expected(), `seed ${seed}`)
  })

  /** Kills the connection after so many milliseconds; 1 when the run was not through by then. */
  async function compactAndKill(afterMs: number): Promise<number> {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
    const run = compactDue(pool, due).then(
      () => 0,
      () => 1,
    )
    await Promise.race([new Promise((resolve) => setTimeout(resolve, afterMs)), run])
    await database.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    const killed = await run
    await pool.end()
    return killed
  }

  it('loses and doubles nothing while late samples of the windows come, some twice', async () => {
    const seed = Date.now() % 1_000_000
    const random = createRandom(seed)
    let sending = true
    const sender = (async () => {
      const parts = Array.from({ length: targets * 8 }, (_, i) => i)
      for (const part of parts.sort(() => random.next() - 0.5)) {
        const indices = every.filter((i) => i % 8 === part % 8)
        const one = target(Math.floor(part / 8), indices)
        await Promise.all([sendUntilStored(one), sendUntilStored(one)])
        if (part % 3 === 0) await sendUntilStored(target(Math.floor(part / 8), indices, 7))
      }
      sending = false
    })()
    let moved = 0
    while (sending) moved += (await compactDue(database.pool, due))?.samples ?? 0
    await sender
    moved += (await compactDue(database.pool, due))?.samples ?? 0
    assert.deepEqual(values(await storedSamples(database.pool)), expected(), `seed ${seed}`)
    assert.equal(moved, targets * perTarget * samples)
  })
})
