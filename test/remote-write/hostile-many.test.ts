import assert from 'node:assert/strict'
import fc from 'fast-check'
import fetch from 'node-fetch'
import { type HostileBody, hostileBodies } from '../support/hostile-bodies.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { RecordProcess } from '../support/record-process.ts'
import { post, write } from '../support/remote-write.ts'

const now = Date.now()
const contentTypes = {
  '1.0': 'application/x-protobuf',
  '2.0': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
}

describe('5000 hostile bodies', function hostile() {
  this.timeout(180_000)
  const seriesLimit = 1000
  let database: TestDatabase
  let record: RecordProcess

  before(async () => {
    database = await cloneDatabase()
    record = await RecordProcess.load({
      databaseUrl: database.url,
      limits: { series: seriesLimit },
    })
    await record.start()
  })

  after(() => record?.close())

  const service = () => ({ url: record.url, close: async () => {} })

  async function isRefusedOrTaken({ version, body }: HostileBody): Promise<void> {
    const answer = await post(service(), body, { 'content-type': contentTypes[version] })
    const text = await answer.text()
    assert.ok([204, 400, 413].includes(answer.status), `status ${answer.status}: ${text}`)
    if (answer.status !== 204) assert.match(text, /"detail":"[^"]/)
  }

  it('are answered 204, 400 or 413, leave no series behind, and the record goes on', async () => {
    const bodies = fc.array(hostileBodies(now), { minLength: 10, maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(bodies, async (list) => {
        await Promise.all(list.map(isRefusedOrTaken))
      }),
      { numRuns: 500 },
    )
    const metrics = await (await fetch(`${record.url}/metrics`)).text()
    const known = Number(/^joulebridge_series (\d+)$/m.exec(metrics)?.[1])
    const { rows } = await database.pool.query('select count(*)::int4 as n from series')
    assert.deepEqual(rows, [{ n: known }])
    assert.ok(known > 10 && known <= seriesLimit, `${known} series`)
    const good = [
      {
        labels: { __name__: 'a', instance: 'host:1', job: 'hostile' },
        samples: [[now, 1]] as const,
      },
    ]
    assert.equal((await write(service(), good)).status, 204)
  })
})
