import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createRandom, type Random } from '../../exporter/simulator/random.ts'
import { until } from '../support/command.ts'
import { LedgerSender } from '../support/ledger.ts'
import { MortalPostgres } from '../support/mortal-postgres.ts'
import { RecordProcess } from '../support/record-process.ts'

/**
 * What a 2xx promises, under a sender that repeats half of what it sends, all of it shuffled: each
 * sample is there once, with its first value, whatever was killed when.
 */
describe('the record, when processes are killed', function killed() {
  this.timeout(600_000)
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e6)
  const random = createRandom(seed)
  let senders = 0
  let postgres: MortalPostgres
  let record: RecordProcess

  before(async () => {
    postgres = await MortalPostgres.start()
    // The record must not rely on the server's default, which may be to lose the last commits.
    await query('alter system set synchronous_commit = off')
    await postgres.stopImmediately()
    await postgres.startAgain()
    record = await RecordProcess.load({ databaseUrl: postgres.url, mortal: true })
    await record.start()
  })

  after(async () => {
    await record?.close()
    await postgres?.close()
    await postgres?.remove()
  })

  async function query(text: string): Promise<void> {
    await withPool((pool) => pool.query(text))
  }

  async function withPool<T>(work: (pool: pg.Pool) => Promise<T>): Promise<T> {
    const pool = new pg.Pool({ connectionString: postgres.url })
    try {
      return await work(pool)
    } finally {
      await pool.end()
    }
  }

  async function segments(): Promise<number> {
    const { rows } = await withPool((pool) =>
      pool.query<{ n: number }>('select count(*)::int4 as n from segments'),
    )
    return rows[0]?.n ?? 0
  }

  /** Sends through `rounds` of `crash`, each at a random moment, then compares with the ledger. */
  async function survive(
    rounds: number,
    crash: () => Promise<void>,
    spanSeconds = 3600,
  ): Promise<void> {
    process.stderr.write(`      seed ${seed}: SEED=${seed} repeats it\n`)
    const sender = new LedgerSender({ urls: [record.url], seed: seed + senders++, spanSeconds })
    sender.start()
    for (let round = 0; round < rounds; round++) {
      await randomMoment(random, sender)
      await crash()
    }
    await sender.stop()
    assert.ok(sender.retried > 0, 'no request was met by a crash')
    const differences = await withPool((pool) => sender.differences(pool))
    assert.deepEqual(differences.slice(0, 5), [], `${differences.length} series differ`)
  }

  async function killRecord(): Promise<void> {
    await record.kill()
    const started = record.start()
    // One in five dies while it starts.
    if (random.next() < 0.2) {
      await Promise.race([started, sleep(random.between(0, 150))])
      await record.kill()
      await started
      await record.start()
    } else await started
  }

  async function killBoth(): Promise<void> {
    const both = [record.kill(), postgres.stopImmediately()]
    await Promise.all(random.next() < 0.5 ? both.reverse() : both)
    await postgres.startAgain()
    await record.start()
  }

  it('keeps all it acknowledged, once, when killed at 100 random moments', async () => {
    await survive(100, killRecord)
  })

  it('keeps it when PostgreSQL is stopped immediately', async () => {
    await survive(20, async () => {
      await postgres.stopImmediately()
      await postgres.startAgain()
    })
  })

  it('keeps it when both die, together or one after the other', async () => {
    await survive(20, killBoth)
  })

  it('keeps it when they die while windows are compacted into segments', async () => {
    await record.close()
    record = await RecordProcess.load({ databaseUrl: postgres.url, compacting: true, mortal: true })
    await record.start()
    const halfDay = 12 * 3600
    await survive(30, () => (random.next() < 0.7 ? killRecord() : killBoth()), halfDay)
    assert.ok((await segments()) > 0, 'nothing was compacted')
  })
})

/** After some requests were answered, so that each round has done something, and a while more. */
async function randomMoment(random: Random, sender: LedgerSender): Promise<void> {
  const enough = sender.answered + 1 + Math.floor(random.next() * 20)
  await until(() => (sender.answered >= enough ? true : undefined), 30)
  await sleep(random.between(0, 20))
}
