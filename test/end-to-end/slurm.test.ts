import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import { expandNodelist } from '../../remote-write/jobs/nodelist.ts'
import { hookScript } from '../../remote-write/jobs/slurm/command.ts'
import { until } from '../support/command.ts'
import { type EnergyAnswer, getJson } from '../support/jobs.ts'
import { acceleratorWatts, drawnWatts, NodeCounters } from '../support/node-counters.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { RecordProcess } from '../support/record-process.ts'
import { storeSeries } from '../support/samples.ts'
import { mayOwnSys, requireSlurm, Slurm } from '../support/slurm.ts'

const nodes = [1, 2, 3, 4, 5].map((n) => `nid00000${n}`)
const hostile = `we|rd "n'ame, é; x`

describe('a real Slurm', function () {
  this.timeout(180_000)
  let folder: string
  let slurm: Slurm
  let record: RecordProcess
  let pool: Pool
  let counters: NodeCounters
  let ownSys: boolean
  const commands: ChildProcess[] = []
  const jobs: Record<string, number> = {}

  const start = (...names: string[]) => {
    const file = join(folder, 'joulebridge.yml')
    commands.push(...names.map((name) => slurm.joulebridge('slurm', name, '--config.file', file)))
  }
  const tell = async (word: string, ...args: string[]) => slurm.run('scontrol', [word, ...args])
  const spooled = async () => (await readdir(join(folder, 'spool'))).filter((n) => /^\d/.test(n))

  before(async function () {
    await requireSlurm(this)
    folder = await mkdtemp(join(tmpdir(), 'joulebridge-hook-'))
    await chmod(folder, 0o755)
    await mkdir(join(folder, 'spool'))
    const hook = join(folder, 'hook.sh')
    await writeFile(hook, await hookScript(join(folder, 'spool')), { mode: 0o755 })
    const database = await cloneDatabase()
    pool = database.pool
    await pool.query(
      `insert into node (name, xname)
       select name, format('x1c0s%sb0n0', right(name, 1)) from unnest($1::text[]) name`,
      [nodes],
    )
    counters = await NodeCounters.start(join(folder, 'counters'), nodes)
    ownSys = await mayOwnSys()
    record = await RecordProcess.load({ databaseUrl: database.url })
    slurm = await Slurm.start({
      nodes: nodes.length,
      accelerators: 4,
      ...(ownSys && { counters: join(folder, 'counters') }),
      lines: [
        ...['AcctGatherEnergyType=acct_gather_energy/pm_counters', 'AcctGatherNodeFreq=5'],
        ...[`PrologSlurmctld=${hook}`, `EpilogSlurmctld=${hook}`],
        'JobCompType=jobcomp/elasticsearch',
        `JobCompLoc=${record.url}/api/v1/jobs/jobcomp`,
      ],
    })
    await record.start()
    const settings = {
      log: { level: 'silent' },
      slurm: {
        url: record.url,
        spool_directory: join(folder, 'spool'),
        poll: { every_seconds: 1, cursor_file: join(folder, 'cursor') },
        write_back: {
          ...{ to: 'admin_comment', settle_seconds: 1, per_minute: 600 },
          originals_file: join(folder, 'originals'),
        },
      },
    }
    await writeFile(join(folder, 'joulebridge.yml'), JSON.stringify(settings))
    start('ship', 'poll')
    await runJobs()
  })

  after(async () => {
    for (const command of commands) command.kill()
    await slurm?.close()
    await record?.close()
    await counters?.close()
    if (folder) await rm(folder, { recursive: true })
  })

  /** On a busy machine Slurm gives up starting a job, holds it and drains its node. */
  async function whenDone(job: number): Promise<void> {
    let state = ''
    let helpedMs = Date.now()
    const done = async () => {
      const now = await slurm.stateOf(job)
      if (/COMPLETED|FAILED|TIMEOUT|CANCELLED|NODE_FAIL/.test(now)) return true
      // A scheduler that is helped all the time gets nothing done.
      if (Date.now() - helpedMs < 4000) return undefined
      helpedMs = Date.now()
      state = `${now}\n${await slurm.run('squeue', ['-h', '-o', '%i %T %r %N'])}`
      state += await slurm.run('sinfo', ['-h', '-N', '-p', 'workq', '-o', '%N %T %E'])
      if (now === 'PENDING') await help(job)
      return undefined
    }
    await until(done, 75, () => `job ${job} does not end: ${state}`)
  }

  async function help(job: number): Promise<void> {
    const resume = (node: string) => tell('update', `NodeName=${node}`, 'State=RESUME')
    const able = nodes.filter((node) => !node.endsWith('4'))
    await Promise.all(able.map((node) => resume(node).catch(() => {})))
    await tell('release', String(job)).catch(() => {})
    await tell('update', `JobId=${job}`, 'StartTime=now').catch(() => {})
  }

  /** Every odd thing that happens to jobs; what can goes on at once. */
  async function runJobs(): Promise<void> {
    const submit = async (name: string, script: string, args: string[] = [], user = 'root') => {
      const id = await slurm.submit(script, ['-J', name, ...args], user as 'root')
      jobs[name] = id
      return id
    }
    const late = await submit('timeout', 'sleep 100', ['-t', '5', '-w', 'nid000005', '-n1'])
    const failing = await submit('nodefail', 'sleep 100', [
      '--no-requeue',
      '--exclusive',
      '-w',
      'nid000004',
    ])
    const shrinking = await submit('resize', 'sleep 20', ['-N2', '-w', 'nid[000001-000002]'])
    const again = await submit('requeue', 'sleep 10', ['--requeue', '-n1'])
    // Slurm gives the cores of a suspended job to others, and may never find its way back: so it is
    // not where jobs are to share a node.
    const paused = await submit('suspend', 'sleep 20', ['-n1', '-w', 'nid000003'])
    const dropped = await submit('cancel', 'sleep 100', ['-n1'], 'games')
    const held = await submit('held', 'true', ['-H', '-n1'])
    await submit('steps', 'srun -n1 sleep 1; srun -n1 false; srun -n1 true', ['-n1'], 'nobody')
    await submit('array', 'sleep 1', ['-n1', '--array=0-3'], 'games')
    const gpus = 'scontrol show job -d $SLURM_JOB_ID >gpus.$SLURM_JOB_ID; sleep 3'
    const shared = ['-n1', '-p', 'shared', '-w', 'nid000005']
    await submit('shared 1', gpus, [...shared, '--gres=gpu:2'])
    await submit('shared 2', gpus, [...shared, '--gres=gpu:1'], 'nobody')
    await submit(hostile, 'exit 3', ['-n1', '--comment', 'a "b"\n|c'])
    await submit('two\nlines', 'true', ['-n1'])
    await writeFile(slurm.path('work/het.sh'), '#!/bin/sh\nsrun --het-group=0,1 sleep 1\n')
    const het = await slurm.run('sbatch', ['--parsable', '-n1', ':', '-n1', 'het.sh'])
    jobs['het'] = Number(het)
    const interactive = slurm.run('srun', ['-n1', 'sleep', '1'], 'nobody')
    await slurm.whenState(late, 'RUNNING')
    await tell('update', `JobId=${late}`, 'EndTime=now+3')
    await slurm.whenState(failing, 'RUNNING')
    await tell('update', 'NodeName=nid000004', 'State=DOWN', 'Reason=test')
    await slurm.whenRun(shrinking, 2)
    await tell('update', `JobId=${shrinking}`, 'NodeList=nid000001')
    await slurm.whenRun(again, 2)
    await tell('requeue', String(again))
    await slurm.whenState(dropped, 'RUNNING')
    await slurm.run('scancel', [String(dropped), String(held)])
    await known(`select from job where job_id = ${paused} and source = 'sacct'`)
    await tell('suspend', String(paused))
    await known('select from suspension')
    await tell('resume', String(paused))
    await slurm.whenState(again, 'PENDING')
    await tell('update', `JobId=${again}`, 'StartTime=now')
    await interactive
    for (const id of Object.values(jobs)) await whenDone(id)
    for (const source of ['slurm-hook', 'jobcomp', 'sacct']) {
      await known(`select from job_event where detail ->> 'source' = '${source}'`)
    }
    // Then the bridge is gone, slurmctld dies, and life goes on.
    await record.kill()
    const through = await submit('through', 'srun -n1 sleep 12', ['-n1'])
    await slurm.whenState(through, 'RUNNING')
    await slurm.whenSaved()
    await slurm.kill('slurmctld')
    await slurm.startController()
    await submit('unseen', 'true', ['-n1'])
    for (const name of ['through', 'unseen']) await whenDone(jobs[name] ?? 0)
    assert.ok((await spooled()).length > 0, 'nothing waits for the bridge')
    await record.start()
  }

  /** Resolves when the database has such a row. */
  const known = async (select: string) => {
    const some = async () => (await pool.query(select)).rowCount || undefined
    await until(some, 40, () => `nothing in the database for: ${select}`)
  }

  const runs = async () => {
    const { rows } = await pool.query<Record<string, unknown>>(
      `select j.job_id::int4 as id, extract(epoch from j.started_at)::float8 as start,
         extract(epoch from j.ended_at)::float8 as end, j.state, j.user_name as user, j.nodelist,
         array(select format('%s %s %s %s', s.step, s.state,
             extract(epoch from s.started_at)::int8, extract(epoch from s.ended_at)::int8)
           from job_step s where s.run = j.id order by 1) as steps
       from job j order by j.job_id, j.started_at`,
    )
    return rows
  }

  /** The cells of its rows; names of jobs may have line ends and are not to be asked for. */
  const sacct = async (...more: string[]) => {
    slurm.env['SLURM_TIME_FORMAT'] = '%s'
    const args = ['-a', '-D', '-n', '-P', '--delimiter=\x1f', '-S', 'now-1hour', ...more]
    const rows = (await slurm.run('sacct', args)).split('\n').filter(Boolean)
    return rows.map((row) => row.split('\x1f'))
  }

  const accounted = async () => {
    const rows = await sacct('-o', 'JobIDRaw,Start,End,State,User,NodeList')
    const runs: { id: number; steps: string[]; [key: string]: unknown }[] = []
    for (const [id = '', from, to, fullState = '', user, nodelist] of rows) {
      const [start, end] = [Number(from), Number(to)]
      const [state, step] = [fullState.split(' ')[0], id.split('.')[1]]
      if (step !== undefined) runs.at(-1)?.steps.push(`${step} ${state} ${start} ${end}`)
      else runs.push({ id: Number(id), start, end, state, user, nodelist, steps: [] })
    }
    for (const { steps } of runs) steps.sort()
    const ran = runs.filter(({ start, nodelist }) => start && nodelist !== 'None assigned')
    return ran.sort((a, b) => a.id - b.id || Number(a['start']) - Number(b['start']))
  }

  it('has all its runs told, whatever happens to jobs, slurmctld and the bridge', async () => {
    const same = async () => assert.deepEqual(await runs(), await accounted())
    const settled = async () => {
      return await same().then(
        () => true,
        () => undefined,
      )
    }
    // The failure shows what differs.
    await until(settled, 40).catch(same)
    const all = await runs()
    const states = (name: string) =>
      all.filter(({ id }) => id === jobs[name]).map(({ state }) => state)
    assert.deepEqual(states('timeout'), ['TIMEOUT'])
    assert.deepEqual(states('nodefail'), ['NODE_FAIL'])
    assert.deepEqual(states('resize'), ['RESIZING', 'COMPLETED'])
    assert.deepEqual([states('requeue').length, states('requeue')[0]], [2, 'REQUEUED'])
    assert.deepEqual(states('cancel'), ['CANCELLED'])
    assert.deepEqual(states('held'), [])
    const empty = async () => (await spooled()).length === 0 || undefined
    await until(empty, 40, () => 'events still wait in the spool directory')
    const { rows } = await pool.query('select a.fault, a.record from job_record_aside a')
    assert.deepEqual(rows, [])
  })

  it('has told which accelerators jobs had, and when one was suspended', async () => {
    const { rows } = await pool.query(
      `select j.job_id::int4 as id, j.db_index::text as row, a.accelerators,
         j.suspended_seconds::int4 as seconds,
         array(select array[extract(epoch from s.started_at)::int4,
             extract(epoch from s.ended_at)::int4]
           from suspension s where s.run = j.id order by s.started_at) as halts
       from job j join allocation a on a.run = j.id`,
    )
    const of = (name: string) => rows.filter(({ id }) => id === jobs[name])
    const [first, second] = [of('shared 1')[0], of('shared 2')[0]]
    assert.deepEqual([first?.accelerators.length, second?.accelerators.length], [2, 1])
    for (const { id, accelerators: told } of [first, second]) {
      assert.deepEqual(told, await accelerators(id))
    }
    const [paused] = of('suspend')
    assert.ok(paused?.seconds > 0)
    assert.deepEqual(paused?.halts, await halts(paused?.row))
  })

  it('is found to be well configured', async () => {
    const file = join(folder, 'joulebridge.yml')
    const { status, said } = await slurm.check('--config.file', file)
    assert.equal(status, 0, said)
    assert.match(said, /^ok {7}PrologSlurmctld .*hook\.sh: writes to .*spool$/m)
    assert.match(said, /^ok {7}remote-write at .*: takes our events$/m)
    assert.doesNotMatch(said, /^fault/m)
    await chmod(join(folder, 'spool'), 0o777)
    await slurm.kill('slurmdbd')
    const sick = await slurm.check('--config.file', file)
    assert.equal(sick.status, 1)
    assert.match(sick.said, /^fault {4}spool .*: others may write to it/m)
    assert.match(sick.said, /^fault {4}accounting: .*sacct/m)
    await slurm.startDaemon('slurmdbd')
  })

  /** Which accelerators slurmctld said a job had, by the job itself. */
  async function accelerators(id: number): Promise<number[]> {
    const said = await readFile(slurm.path(`work/gpus.${id}`), 'utf8').catch(() => '')
    const [, list = ''] = /GRES=gpu:\d\(IDX:([\d,-]+)\)/.exec(said) ?? []
    return list === '' ? [] : expandNodelist(`[${list}]`).map(Number)
  }

  /** When slurmdbd knows a row of accounting to have been suspended; nobody else tells. */
  async function halts(row: string): Promise<[from: number, to: number][]> {
    const select = `select time_start, time_end from nidtest_suspend_table where job_db_inx=${row}`
    const socket = `--socket=${slurm.path('mysql/socket')}`
    const args = ['--no-defaults', socket, '-N', '-e', select, 'slurm_acct_db']
    const lines = (await slurm.run('mariadb', args)).split('\n').filter(Boolean)
    return lines.map((line) => line.split('\t').map(Number) as [number, number])
  }

  /** What meters counted, second by second, by the runs as sacct has them. */
  async function truth(): Promise<Map<number, { joules: number; slurm: number }>> {
    const fields = 'DBIndex,JobIDRaw,Start,End,NodeList,NCPUS,NNodes,ConsumedEnergyRaw'
    const rows = await sacct('-X', '-o', fields)
    const runs = await Promise.all(
      rows.map(async ([row = '', id, from, to, list = '', ...counts]) => {
        const [cpus = 0, count = 1, slurm = 0] = counts.map(Number)
        const held = nodes.filter((name) => expandNodelist(list).includes(name))
        return {
          ...{ id: Number(id), from: Number(from), to: Number(to), held, slurm },
          ...{ cores: cpus / count, halts: await halts(row), own: await accelerators(Number(id)) },
        }
      }),
    )
    const all = new Map<number, { joules: number; slurm: number }>()
    for (const run of runs.filter(({ from }) => from)) {
      const sum = all.get(run.id) ?? { joules: 0, slurm: 0 }
      all.set(run.id, sum)
      sum.slurm += run.slurm
      for (let second = run.from; second < run.to; second++) {
        const there = runs.filter(({ from, to }) => from <= second && second < to)
        for (const node of run.held) {
          const sharers = there.filter(({ held }) => held.includes(node))
          const awake = sharers.filter(
            ({ halts }) => !halts.some(([from, to]) => from <= second && second < to),
          )
          const running = awake.length > 0 ? awake : sharers
          const cores = running.reduce((sum, { cores }) => sum + cores, 0)
          const watts = (indices: readonly number[]) =>
            indices.reduce((sum, index) => sum + acceleratorWatts(index, second), 0)
          const owned = sharers.length > 1 ? watts(sharers.flatMap(({ own }) => own)) : 0
          const rest = drawnWatts(nodes.indexOf(node) + 1, second) - owned
          sum.joules += sharers.length > 1 ? watts(run.own) : 0
          if (running.includes(run)) sum.joules += (rest * run.cores) / cores
        }
      }
    }
    return all
  }

  it('has the energy of every job right, where its own is not', async () => {
    const now = Math.floor(Date.now() / 1000)
    const seconds = Array.from({ length: now - counters.begun }, (_, i) => counters.begun + i)
    const series = nodes.map((_, i) => ({
      metric: 'cray_pm_energy_joules_total',
      labels: { xname: `x1c0s${i + 1}b0n0`, domain: 'node' },
      samples: seconds.map((second) => [second, counters.joulesAt(i + 1, second)] as const),
    }))
    const own = nodes.flatMap((_, i) =>
      [0, 1, 2, 3].map((index) => {
        let joules = 1000
        const count = (second: number) => {
          joules += acceleratorWatts(index, second)
          return [second + 1, joules] as const
        }
        return {
          metric: 'cray_pm_energy_joules_total',
          labels: { xname: `x1c0s${i + 1}b0n0`, domain: `accel${index}` },
          samples: [[counters.begun, joules] as const, ...seconds.map(count)],
        }
      }),
    )
    await storeSeries(pool, [...series, ...own])
    const expected = await truth()
    const wrong: unknown[] = []
    for (const [id, { joules }] of expected) {
      const path = `/api/v1/jobs/${id}/energy`
      const ours = await getJson<EnergyAnswer>(record, path)
      const name = Object.keys(jobs).find((each) => jobs[each] === id)
      // A job of less than a second has no seconds to measure.
      if (Math.abs((ours.joules ?? 0) - joules) > 0.5) wrong.push({ name, joules, ours })
    }
    assert.deepEqual(wrong, [])
    if (!ownSys) return
    const of = (name: string) => expected.get(jobs[name] ?? 0) ?? { joules: 0, slurm: 0 }
    const shared = [of('shared 1'), of('shared 2')]
    const sum = (what: 'joules' | 'slurm') => shared.reduce((all, each) => all + each[what], 0)
    assert.ok(sum('slurm') > 1.5 * sum('joules'), JSON.stringify(shared))
  })

  it('gets the energy of its jobs back', async () => {
    start('write-back')
    const comment = async () => {
      const args = ['-X', '-n', '-P', '-j', String(jobs['steps']), '-o', 'AdminComment']
      return /^pm_energy_j=[1-9]\d*;pm_src=in-band;pm_q=complete$/m.exec(
        await slurm.run('sacct', args),
      )
    }
    await until(comment, 40, () => 'no energy in AdminComment')
  })
})
