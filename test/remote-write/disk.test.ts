import assert from 'node:assert/strict'
import pg from 'pg'
import { compressSync } from 'snappy'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { LedgerSender } from '../support/ledger.ts'
import { MortalPostgres } from '../support/mortal-postgres.ts'
import { post, startRecord, writeRequest } from '../support/remote-write.ts'
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts'

describe('the record on a full disk', function fullDisk() {
  this.timeout(180_000)
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
  let disk: SmallDisk | undefined
  let postgres: MortalPostgres | undefined
  let service: Service | undefined
  let pool: pg.Pool

  before(async function bringUp() {
    process.stderr.write(`      seed ${seed}: SEED=${seed} repeats it\n`)
    postgres = await MortalPostgres.start((directory) => {
      disk = smallDisk(directory, this)
    })
    service = await startRecord(postgres.url)
    pool = new pg.Pool({ connectionString: postgres.url })
    pool.on('error', () => {})
  })

  after(async () => {
    await service?.close()
    await pool?.end()
    await postgres?.close()
    disk?.unmount()
    await postgres?.remove()
  })

  /** A request of series that stand nowhere else, for as long as the disk is full. */
  async function probe(): Promise<{ status: number; retryAfter: string | null; text: string }> {
    assert.ok(service)
    const series = Array.from({ length: 500 }, (_, i) => ({
      labels: { __name__: `probe_${i}`, job: 'probe', filling: 'x'.repeat(1000) },
      samples: [[Date.now(), i] as const],
    }))
    const answer = await post(service, compressSync(writeRequest(series)))
    const retryAfter = answer.headers.get('retry-after')
    return { status: answer.status, retryAfter, text: await answer.text() }
  }

  /** Fills the disk while samples come in, does `meanwhile`, makes room, compares. */
  async function survive(number: number, meanwhile: () => Promise<void>): Promise<void> {
    assert.ok(service && disk)
    const sender = new LedgerSender({ urls: [service.url], seed: seed + number })
    sender.start()
    await until(() => (sender.answered >= 100 ? true : undefined), 30)
    await disk.fill()
    await meanwhile()
    await disk.clear()
    await until(async () => ((await probe()).status === 204 ? true : undefined), 60)
    const { answered } = sender
    await until(() => (sender.answered >= answered + 100 ? true : undefined), 60)
    await sender.stop()
    const differences = await sender.differences(pool)
    assert.deepEqual(differences.slice(0, 5), [], `${differences.length} series differ`)
  }

  it('answers 503 and why, and goes on by itself once there is room again', async () => {
    // Into a new file of its log, in which there is room.
    await pool.query('select pg_switch_wal()')
    await survive(0, async () => {
      const refused = await until(async () => {
        const answer = await probe()
        return answer.status === 204 ? undefined : answer
      }, 60)
      assert.equal(refused.status, 503)
      assert.match(refused.retryAfter ?? '', /^\d+$/)
      assert.match(refused.text, /No space left on device/)
    })
  })

  it('loses nothing when PostgreSQL gives up for want of room for its log', async () => {
    await survive(1, async () => {
      assert.ok(postgres)
      const ended = postgres.ended
      // Its log goes on in a new file, for which there is no room: PostgreSQL panics.
      await pool.query('select pg_switch_wal()').catch(() => {})
      await pool.query('checkpoint').catch(() => {})
      await ended
      assert.equal((await probe()).status, 503)
      await disk?.clear()
      await postgres.startAgain()
    })
  })
})

function smallDisk(directory: string, context: Mocha.Context): SmallDisk {
  try {
    return mountSmallDisk(directory, 192)
  } catch (error) {
    if (process.env['CI']) throw error
    const title = context.test?.parent?.fullTitle()
    process.stderr.write(`SKIPPED: no file system can be mounted: ${title}: ${error}\n`)
    return context.skip()
  }
}
