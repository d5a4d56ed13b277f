import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import { loadTopology } from '../../remote-write/jobs/topology.ts'
import { until } from '../support/command.ts'
import { iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecordWith } from '../support/slurm-record.ts'

describe('the topology', () => {
  let pool: Pool
  let databaseUrl: string

  beforeEach(async () => {
    const database = await cloneDatabase()
    ;({ pool, url: databaseUrl } = database)
  })

  const places = async () => {
    const { rows } = await pool.query<{ place: string }>(
      `select concat_ws(' ', n.name, n.xname, n.cores) as place from node n order by n.name`,
    )
    return rows.map(({ place }) => place)
  }

  describe('of a file', () => {
    let folder: string

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'joulebridge-topology-'))
    })

    after(() => rm(folder, { recursive: true }))

    const load = async (text: string) => {
      await writeFile(join(folder, 'topology.yml'), text)
      await loadTopology(pool, join(folder, 'topology.yml'))
    }

    it('may be a rule: two hostlists of equal length', async () => {
      await load(`- {node: 'nid[000001-000004]', xname: 'x1000c0s[0-1]b0n[0-1]', cores: 128}\n`)
      assert.deepEqual(await places(), [
        'nid000001 x1000c0s0b0n0 128',
        'nid000002 x1000c0s0b0n1 128',
        'nid000003 x1000c0s1b0n0 128',
        'nid000004 x1000c0s1b0n1 128',
      ])
    })

    it('is refused, by line, where the lists do not fit or are none', async () => {
      const faults: [text: string, fault: RegExp][] = [
        ['{node: "nid[1-3]", xname: "x1c0s0b0n[0-1]"}', /:1: 0\.xname: has 2 places for 3 nodes/],
        ['{node: "nid[3-1]", xname: "x1c0s0b0n0"}', /:1: 0\.node: .*3-1 falls/],
        ['{node: "nid[1-2]", xname: "x1c0s0b0n0,rack7"}', /:1: 0\.xname: .* got rack7/],
      ]
      for (const [text, fault] of faults) await assert.rejects(load(`- ${text}\n`), fault)
    })
  })

  it('follows HSM, and moves no job of the past, told late or not, with new numbers', async () => {
    let components: object[] = [
      { ID: 'x1000c0s0b0n0', Type: 'Node', NID: 1 },
      { ID: 'x1000c0s0b0n1', Type: 'Node', NID: 2 },
      { ID: 'x3000c0s1b0n0', Type: 'Node' },
      { ID: 'nonsense', NID: 3 },
    ]
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.headers.authorization} ${request.url}`)
      response.end(JSON.stringify({ Components: components }))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/apis/smd`
    const topologyHsm = { url, token: { env: 'TOKEN' }, everySeconds: 0.2 }
    const service = await startRecordWith(databaseUrl, { topologyHsm }, { TOKEN: 'sesame' })
    const become = (...wanted: string[]) =>
      until(async () => (await places()).join() === wanted.join() || undefined, 20)
    try {
      await become('nid000001 x1000c0s0b0n0', 'nid000002 x1000c0s0b0n1')
      assert.equal(asked[0], 'Bearer sesame /apis/smd/hsm/v2/State/Components?type=Node')
      const about = { cluster: 'c', job_id: 7, type: 'start', nodelist: 'nid000001' }
      await postEvents(service, [{ ...about, time: iso(1_772_323_200) }])
      components = [
        { ID: 'x1000c0s0b0n1', NID: 1 },
        { ID: 'x1000c0s0b0n0', NID: 2 },
      ]
      await become('nid000001 x1000c0s0b0n1', 'nid000002 x1000c0s0b0n0')
      const told = { ...about, time: iso(1_772_323_300) }
      await postEvents(service, [
        { ...told, job_id: 8 },
        { ...told, job_id: 9, time: iso(Date.now() / 1000 + 60) },
      ])
      const { rows } = await pool.query(
        `select j.job_id::int4 as job, a.xname from job j join allocation a on a.run = j.id
         order by j.job_id`,
      )
      assert.deepEqual(rows, [
        { job: 7, xname: 'x1000c0s0b0n0' },
        { job: 8, xname: 'x1000c0s0b0n0' },
        { job: 9, xname: 'x1000c0s0b0n1' },
      ])
    } finally {
      await service.close()
      server.close()
    }
  })
})
