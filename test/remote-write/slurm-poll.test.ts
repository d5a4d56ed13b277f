import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { Poller } from '../../remote-write/jobs/slurm/poll.ts'
import { slurmSection } from '../../remote-write/jobs/slurm/settings.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecordWith } from '../support/slurm-record.ts'

const t0 = Date.UTC(2026, 2, 1) / 1000
const facts = {
  ...{ Cluster: 'alps', User: 'alice', UID: '2001', Account: 'a', Partition: 'workq' },
  ...{ QOS: 'normal', JobName: 'relax', State: 'COMPLETED', ExitCode: '0:0', Submit: `${t0}` },
  ...{ Suspended: '00:00:00', NCPUS: '4', NodeList: 'nid[1-2]', ConsumedEnergyRaw: '' },
}

/** A row as sacct prints it for `-p`, with `@` for the delimiter. */
function row(id: string, from: number, to: number | string, more: Record<string, string> = {}) {
  const end = typeof to === 'number' ? String(t0 + to) : to
  const own = {
    JobIDRaw: id,
    JobID: id,
    DBIndex: id.split('.')[0],
    Start: `${t0 + from}`,
    End: end,
  }
  const all: Record<string, string | undefined> = { ...facts, ...own, ...more }
  const columns = [
    ...['Cluster', 'JobIDRaw', 'JobID', 'DBIndex', 'User', 'UID', 'Account', 'Partition', 'QOS'],
    ...['JobName', 'State', 'ExitCode', 'Submit', 'Start', 'End', 'Suspended', 'NCPUS'],
    ...['NodeList', 'ConsumedEnergyRaw', 'TotalCPU', 'ElapsedRaw'],
  ]
  return `${columns.map((name) => `${all[name] ?? ''}@`).join('')}\n`
}

describe('the poller of accounting', () => {
  let folder: string
  let pool: Pool
  let service: Service | undefined
  let databaseUrl: string
  let address: string
  let now: Date
  let said: string[]

  before(async () => {
    const database = await cloneDatabase()
    ;({ pool, url: databaseUrl } = database)
    address = `127.0.0.1:${await freePort()}`
    service = await startRecordWith(databaseUrl, { web: { listenAddress: address } })
  })

  after(() => service?.close())

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'joulebridge-poll-'))
    now = new Date((t0 + 3600) * 1000)
    said = []
    await pool.query('truncate job_event, job cascade')
    await prints('')
  })

  afterEach(() => rm(folder, { recursive: true }))

  /** What stands for sacct prints this from now on, and writes down what it is asked. */
  async function prints(rows: string, code = 0): Promise<void> {
    await writeFile(join(folder, 'rows'), rows)
    const script = `#!/bin/sh
echo "$TZ $SLURM_TIME_FORMAT $*" >> ${folder}/asked
for word; do case $word in --delimiter=*) delimiter=\${word#--delimiter=};; esac; done
[ ${code} = 0 ] || { echo 'sacct: error: no database' >&2; exit ${code}; }
awk -v d="$delimiter" 'BEGIN { RS = "@"; ORS = d } NR > 1 { print last } { last = $0 }
  END { printf "%s", last }' ${folder}/rows
`
    await writeFile(join(folder, 'sacct'), script)
    await chmod(join(folder, 'sacct'), 0o755)
  }

  const open = async (clock = () => now, more: object = {}) => {
    const cursorFile = join(folder, 'cursor')
    const settings = slurmSection.parse({ poll: { cursorFile, ...more } }).poll
    const { signal } = new AbortController()
    const stream = { write: (line: string) => void said.push(line) }
    return await Poller.open({
      settings,
      programs: { folder, env: process.env, timeoutSeconds: 20, signal },
      bridge: { url: `http://${address}`, token: undefined, env: {}, signal },
      log: createLog('poll', { level: 'info', format: 'json' }, stream),
      now: clock,
    })
  }
  const asked = async () => {
    const lines = (await readFile(join(folder, 'asked'), 'utf8')).trim().split('\n')
    const windows = lines.map((line) => /-S (\S+) -E (\S+)/.exec(line)?.slice(1) ?? [])
    return windows.map(([from = '', to = '']) => {
      return [from, to].map((time) => Date.parse(`${time}Z`) / 1000 - t0)
    })
  }
  const runs = async () => {
    const { rows } = await pool.query<{ run: string }>(
      `select concat_ws(' ', j.job_id, extract(epoch from j.started_at)::int4 - $1,
         extract(epoch from j.ended_at)::int4 - $1, j.state, j.name) as run
       from job j order by j.job_id, j.started_at`,
      [t0],
    )
    return rows.map(({ run }) => run)
  }

  it('tells CPU time where runs share nodes by it, but not that of no accounted step', async () => {
    const times = ['01:40.500', '00:10:00', '1-00:00:00', '00:00:00']
    await prints(times.map((TotalCPU, i) => row(`${i + 1}`, 100, 200, { TotalCPU })).join(''))
    const told = async () => {
      const { rows } = await pool.query('select j.cpu_seconds from job j order by j.job_id')
      return rows.map(({ cpu_seconds }) => cpu_seconds)
    }
    await (await open()).poll()
    assert.deepEqual(await told(), [null, null, null, null])
    await (await open(undefined, { shareBy: 'cpu_time' })).poll()
    assert.deepEqual(await told(), [100.5, 600, 86_400, null])
  })

  it('tells every run and step that got nodes, names as they are', async () => {
    const nasty = "we|rd `n'ame\nof 1.batch; \x1f two é"
    const none = { NodeList: 'None assigned', State: 'CANCELLED by 0' }
    await prints(
      [
        row('12', 100, 200, {
          JobName: nasty,
          State: 'CANCELLED by 52002',
          Suspended: '1-00:00:04',
        }),
        row('12.batch', 100, 200, { NodeList: 'nid1', ConsumedEnergyRaw: '86059' }),
        row('12.0', 150, 160, { JobName: 'a\nb', State: 'FAILED', ExitCode: '1:0' }),
        row('15', 120, 130, { JobID: '14_3' }),
        row('16', 120, 'Unknown', { JobID: '16+0', State: 'RUNNING' }),
        row('17', 120, 'Unknown', { JobID: '16+1', State: 'PENDING' }),
        row('18', 0, 120, none),
        row('19', 0, 'Unknown', { ...none, Start: 'None' }),
        row('19.0', 0, 120),
      ].join(''),
    )
    const poller = await open()
    assert.equal(await poller.poll(), true, said.join())
    assert.deepEqual(await runs(), [
      `12 100 200 CANCELLED ${nasty}`,
      '15 120 130 COMPLETED relax',
      '16 120 relax',
      '17 120 relax',
    ])
    const { rows } = await pool.query(
      `select j.suspended_seconds::int4 as suspended, j.db_index::int4, s.step, s.name, s.state,
         s.nodelist, s.scheduler_joules as joules
       from job j join job_step s on s.run = j.id order by s.step`,
    )
    const job = { suspended: 86_404, db_index: 12 }
    assert.deepEqual(rows, [
      { ...job, step: '0', name: 'a\nb', state: 'FAILED', nodelist: 'nid[1-2]', joules: null },
      { ...job, step: 'batch', name: 'relax', state: 'COMPLETED', nodelist: 'nid1', joules: 86059 },
    ])
    const parts = await pool.query(
      `select array_job_id::int4 as a, array_task_id::int4 as t, het_job_id::int4 as h,
         het_job_offset as o from job where job_id > 12 order by job_id`,
    )
    assert.deepEqual(parts.rows, [
      { a: 14, t: 3, h: null, o: null },
      { a: null, t: null, h: 16, o: 0 },
      { a: null, t: null, h: 16, o: 1 },
    ])
  })

  it('finds when a run was suspended by how long it was', async () => {
    const poller = await open()
    // What sacct 22.05 printed of a job that was suspended twice.
    const looks = [
      ['RUNNING', '1', '00:00:00'],
      ['SUSPENDED', '2', '00:00:02'],
      ['SUSPENDED', '2', '00:00:04'],
      ['RUNNING', '4', '00:00:05'],
      ['SUSPENDED', '4', '00:00:08'],
      ['COMPLETED', '4', '00:00:08'],
    ]
    for (const [State = '', ElapsedRaw = '', Suspended = ''] of looks) {
      const end = State === 'COMPLETED' ? 112 : 'Unknown'
      await prints(row('12', 100, end, { State, ElapsedRaw, Suspended }))
      assert.equal(await poller.poll(), true, said.join())
    }
    const halts = async () => {
      const { rows } = await pool.query(
        `select extract(epoch from s.started_at)::int4 - $1 as from,
           extract(epoch from s.ended_at)::int4 - $1 as to
         from suspension s order by s.started_at`,
        [t0],
      )
      return rows.map(({ from, to }) => [from, to])
    }
    assert.deepEqual(await halts(), [
      [102, 107],
      [109, 112],
    ])
    // Who begins to look in the middle knows nothing of before.
    await pool.query('truncate job_event, job cascade')
    const late = await open()
    for (const [State = '', ElapsedRaw = '', Suspended = ''] of looks.slice(4)) {
      await prints(row('12', 100, 'Unknown', { State, ElapsedRaw, Suspended }))
      await late.poll()
    }
    assert.deepEqual(await halts(), [])
    await prints(row('13', 100, 'Unknown', { State: 'SUSPENDED', Suspended: '00:00:08' }))
    await late.poll()
    await prints(row('13', 100, 'Unknown', { ElapsedRaw: '3', Suspended: '00:00:10' }))
    await late.poll()
    assert.deepEqual(await halts(), [[108, 110]])
  })

  it('asks in days at first, then with an overlap, and at length once an hour', async () => {
    const poller = await open()
    await poller.poll()
    const first = await asked()
    assert.equal(first.length, 7)
    assert.deepEqual([first[0]?.[0], first[6]?.[1]], [3600 - 7 * 86_400, 3601])
    await rm(join(folder, 'asked'))
    now = new Date((t0 + 3660) * 1000)
    await poller.poll()
    assert.deepEqual(await asked(), [[3600 - 900, 3661]])
    await rm(join(folder, 'asked'))
    now = new Date((t0 + 7300) * 1000)
    await poller.poll()
    assert.equal((await asked())[0]?.[0], 7300 - 2 * 86_400)
  })

  it('goes on where it stopped, though it was stopped for long', async () => {
    await (await open()).poll()
    await rm(join(folder, 'asked'))
    now = new Date((t0 + 10 * 86_400) * 1000)
    await (await open()).poll()
    assert.equal((await asked())[0]?.[0], 3600 - 900)
  })

  it('reads again from before an outage, for what slurmctld tells late', async () => {
    const poller = await open()
    await poller.poll()
    await prints('', 1)
    now = new Date((t0 + 3660) * 1000)
    assert.equal(await poller.poll(), false)
    assert.match(said.join(), /accounting not told.*|no database/)
    await rm(join(folder, 'asked'))
    await prints('')
    for (const at of [3720, 3780, 6000, 6060]) {
      now = new Date((t0 + at) * 1000)
      assert.equal(await poller.poll(), true)
    }
    assert.deepEqual(
      (await asked()).map(([from = 0]) => from + 900),
      [3600, 3600, 3780, 6000],
    )
  })

  it('tells again what remote-write could not take, and nothing twice', async () => {
    await prints(row('12', 100, 200))
    await service?.close()
    const poller = await open()
    assert.equal(await poller.poll(), false)
    service = await startRecordWith(databaseUrl, { web: { listenAddress: address } })
    assert.equal(await poller.poll(), true)
    assert.deepEqual(await runs(), ['12 100 200 COMPLETED relax'])
    await pool.query('truncate job_event, job cascade')
    assert.equal(await poller.poll(), true)
    assert.deepEqual(await runs(), [])
    await prints(row('12', 100, 201))
    assert.equal(await poller.poll(), true)
    assert.deepEqual(await runs(), ['12 100 201 COMPLETED relax'])
  })

  it('keeps the latest report though the clock was set back', async () => {
    const poller = await open()
    await prints(row('12', 100, 200))
    await poller.poll()
    await prints(row('12', 100, 250))
    now = new Date((t0 + 600) * 1000)
    assert.equal(await poller.poll(), true)
    assert.deepEqual(await runs(), ['12 100 250 COMPLETED relax'])
  })

  it('says which run is refused, and tells the others', async () => {
    await prints(row('12', 100, 200, { NodeList: 'nid[5-3]' }) + row('13', 100, 200))
    const poller = await open()
    assert.equal(await poller.poll(), true)
    assert.equal(await poller.poll(), true)
    assert.deepEqual(await runs(), ['13 100 200 COMPLETED relax'])
    const refused = said
      .map((line) => JSON.parse(line))
      .filter(({ message }) => /refused/.test(message))
    assert.deepEqual(
      refused.map(({ job_id }) => job_id),
      [12],
    )
  })
})
