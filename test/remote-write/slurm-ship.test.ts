import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fetch from 'node-fetch'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { hookScript } from '../../remote-write/jobs/slurm/command.ts'
import { GresReader, parseGres } from '../../remote-write/jobs/slurm/gres.ts'
import { ship } from '../../remote-write/jobs/slurm/ship.ts'
import { runCommand, until } from '../support/command.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecordWith } from '../support/slurm-record.ts'
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts'
import { serveTls } from '../support/tls-server.ts'

const run = promisify(execFile)

/** What slurmctld gives its scripts. */
const prolog = {
  SLURM_SCRIPT_CONTEXT: 'prolog_slurmctld',
  SLURM_CLUSTER_NAME: 'alps',
  SLURM_JOB_ID: '18',
  SLURM_JOB_NAME: 'we|rd "n\'ame\nof; two $lines é',
  SLURM_JOB_USER: 'alice',
  SLURM_JOB_UID: '2001',
  SLURM_JOB_ACCOUNT: 'proj_a',
  SLURM_JOB_PARTITION: 'workq',
  SLURM_JOB_NODELIST: 'x1000c0s0b0n[0-1]',
  SLURM_JOB_CPUS_PER_NODE: '3,1',
  SLURM_JOB_RESTART_COUNT: '0',
  SLURM_ARRAY_JOB_ID: '17',
  SLURM_ARRAY_TASK_ID: '9',
}
const epilog = {
  ...prolog,
  SLURM_SCRIPT_CONTEXT: 'epilog_slurmctld',
  SLURM_JOB_RESTART_COUNT: '1',
  SLURM_JOB_EXIT_CODE2: '7:0',
}

describe('the hook and the shipper', () => {
  let folder: string
  let spool: string
  let hook: string
  let pool: Pool
  let databaseUrl: string
  let stopping: AbortController
  let shipping: Promise<void> | undefined
  let service: Service | undefined
  let said: string[]

  before(async () => {
    const database = await cloneDatabase()
    ;({ pool, url: databaseUrl } = database)
  })

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "joulebridge-it's "))
    spool = join(folder, 'spool')
    hook = join(folder, 'hook.sh')
    await mkdir(spool)
    await writeFile(hook, await hookScript(spool))
    await chmod(hook, 0o755)
    stopping = new AbortController()
    said = []
    await scontrol('', '(null)')
    await pool.query('truncate job_event, job cascade')
  })

  afterEach(async () => {
    stopping.abort()
    await shipping
    await service?.close()
    shipping = undefined
    service = undefined
    await rm(folder, { recursive: true })
  })

  const call = async (variables: object) => {
    const env = { PATH: process.env['PATH'], ...variables }
    await run(hook, [], { env, cwd: '/' })
  }
  const waiting = async () => (await readdir(spool)).filter((name) => name !== 'aside')
  const serve = async (listenAddress = '127.0.0.1:0') => {
    service = await startRecordWith(databaseUrl, { web: { listenAddress } })
    return service.url
  }
  const startShipping = (url: string) => {
    const stream = { write: (line: string) => void said.push(line) }
    const log = createLog('ship', { level: 'info', format: 'json' }, stream)
    const bridge = { url, token: undefined, env: {}, signal: stopping.signal }
    const programs = { folder, env: process.env, timeoutSeconds: 20, signal: stopping.signal }
    const settings = { gres: 'gpu', perAccelerator: 2 }
    const gres = new GresReader({ settings, programs, log })
    shipping = ship({ directory: spool, bridge, log, gres })
  }
  /** What stands for scontrol says this of jobs, and writes down what it is asked. */
  const scontrol = async (text: string, types = 'gpu,nic') => {
    await writeFile(join(folder, 'job'), text)
    const script = `#!/bin/sh
cd "\${0%/*}" && echo "$*" >> asked
[ "$2" = job ] && exec cat job
echo 'GresTypes               = ${types}'
`
    await writeFile(join(folder, 'scontrol'), script, { mode: 0o755 })
  }
  const empty = () =>
    until(
      async () => (await waiting()).length === 0 || undefined,
      40,
      () => `files wait: ${said}`,
    )

  it('tell of a start and an end with all that slurmctld says, whatever the names', async () => {
    await call({ ...prolog, SLURM_JOB_COMMENT: 'a "b"\n' })
    await call(epilog)
    startShipping(await serve())
    await empty()
    const { rows } = await pool.query(
      `select j.cluster, j.job_id::int4, j.name, j.user_name, j.user_id::int4, j.account,
         j.partition, j.nodelist, j.exit_code, j.array_job_id::int4, j.array_task_id::int4,
         j.source, j.ended_at > j.started_at as ran,
         (select array_agg(a.cores order by a.node) from allocation a where a.run = j.id) as cores
       from job j`,
    )
    assert.deepEqual(rows, [
      {
        ...{ cluster: 'alps', job_id: 18, name: prolog.SLURM_JOB_NAME, user_name: 'alice' },
        ...{ user_id: 2001, account: 'proj_a', partition: 'workq', nodelist: 'x1000c0s0b0n[0-1]' },
        ...{ exit_code: '7:0', array_job_id: 17, array_task_id: 9, source: 'slurm-hook' },
        ...{ ran: true, cores: [3, 1] },
      },
    ])
  })

  it('take the times that Slurm 23.02 and later tell', async () => {
    await call({ ...prolog, SLURM_JOB_START_TIME: '1772323200' })
    await call({ ...epilog, SLURM_JOB_END_TIME: '1772323260' })
    startShipping(await serve())
    await empty()
    const { rows } = await pool.query(
      `select extract(epoch from started_at)::int4 as s, extract(epoch from ended_at)::int4 as e
       from job`,
    )
    assert.deepEqual(rows, [{ s: 1772323200, e: 1772323260 }])
  })

  it('tell which accelerators a job got, asked while it runs though nobody listens', async () => {
    await call({ ...prolog, SLURM_JOB_START_TIME: '1772335800' })
    const detail = `JobId=18 JobName=we
   StartTime=1772335800 EndTime=Unknown Deadline=N/A
   JOB_GRES=gpu:a100:3
     Nodes=x1000c0s0b0n0 CPU_IDs=0-2 Mem=0 GRES=gpu:a100:2(IDX:0,3),nic:1(IDX:2)
     Nodes=x1000c0s0b0n1 CPU_IDs=3 Mem=0 GRES=gpu:a100:1(IDX:4)
`
    await scontrol(detail)
    const asked = async () => {
      const text = await readFile(join(folder, 'asked'), 'utf8').catch(() => '')
      return text.trim().split('\n')
    }
    startShipping(`http://127.0.0.1:${await freePort()}`)
    await until(
      async () => ((await asked()).length > 1 ? true : undefined),
      20,
      () => 'slurmctld is not asked',
    )
    // The job is over.
    await scontrol(detail.replace(/GRES=gpu:a100:\d\(.*$/gm, 'GRES='))
    await call(epilog)
    stopping.abort()
    await shipping
    stopping = new AbortController()
    startShipping(await serve())
    await empty()
    const { rows } = await pool.query('select a.accelerators from allocation a order by a.node')
    assert.deepEqual(
      rows.map(({ accelerators }) => accelerators),
      [[0, 1], [2]],
    )
    assert.deepEqual(await asked(), ['show config', 'show job -d 18'])
  })

  it('are not misled by names that look like what slurmctld says', () => {
    const start = { type: 'start', cluster: 'c', job_id: 1, time: '2026-03-01T03:30:00Z' }
    const told = { ...start, nodelist: 'nid[1-2]' }
    const line = (nodes: string, gres: string) =>
      `     Nodes=${nodes} CPU_IDs=0 Mem=0 GRES=${gres}\n`
    const text = (lines: string, at = 1_772_335_800) =>
      `   StartTime=${at} EndTime=Unknown\n   JOB_GRES=gpu:4\n${lines}`
    const found = (said: string) => parseGres(said, told, { gres: 'gpu', perAccelerator: 1 })
    const whole = line('nid[1-2]', 'gpu:2(IDX:1-2)')
    assert.deepEqual(found(text(whole)), [{ nodelist: 'nid[1-2]', indices: [1, 2] }])
    const none = line('nid[1-2]', 'nic:1(IDX:0)')
    assert.deepEqual(found(text(none).replace('gpu:4', 'nic:2')), [])
    for (const said of [
      text(whole + line('nid1', 'gpu:4(IDX:0-3)')),
      text(line('nid1', 'gpu:2(IDX:0-1)')),
      text(whole, 1_772_335_900),
      text(`   StartTime=1772335800 \n${whole}`),
      text(line('nid[1-2]', '')),
      '',
    ]) {
      assert.equal(found(said), null, said)
    }
  })

  it('lose nothing while remote-write is away', async () => {
    const address = `127.0.0.1:${await freePort()}`
    startShipping(`http://${address}`)
    await call(prolog)
    await until(() => said.find((line) => line.includes('events wait')), 20)
    await call(epilog)
    assert.equal((await waiting()).length, 2)
    await serve(address)
    await empty()
    const { rows } = await pool.query('select ended_at is not null as ended from job')
    assert.deepEqual(rows, [{ ended: true }])
  })

  it('set aside what can never be delivered, say so, and deliver the rest', async () => {
    await call(prolog)
    await call({ ...prolog, SLURM_JOB_ID: '19', SLURM_JOB_NODELIST: 'nid[5-3]' })
    await call({ ...prolog, SLURM_JOB_ID: '' })
    await writeFile(join(spool, '1-prolog_slurmctld-20-1'), 'JOULEBRIDGE_TIME=1\0SLURM_JOB')
    await writeFile(join(spool, '.2-half-written'), 'JOULEBRIDGE_TIME=1\0')
    startShipping(await serve())
    const left = async () => (await waiting()).join() === '.2-half-written' || undefined
    await until(left, 20, () => `files wait: ${said}`)
    assert.equal((await readdir(join(spool, 'aside'))).length, 3)
    const faults = said.flatMap((line) => JSON.parse(line)['fault'] ?? [])
    assert.match(faults.sort().join('\n'), /nodelist.*5-3 falls.*\nhas no SLURM_JOB_ID\nis cut off/)
    const { rows } = await pool.query('select j.job_id::int4 from job j')
    assert.deepEqual(rows, [{ job_id: 18 }])
  })

  it('never make a job fail: without a folder, or room, or what slurmctld should say', async () => {
    await call({})
    assert.equal((await waiting()).length, 1)
    await rm(spool, { recursive: true })
    await call(prolog)
    await writeFile(spool, 'a file where the folder should be')
    await call(prolog)
    await rm(spool)
    await mkdir(spool)
  })

  it('cost slurmctld less than 50 ms of processor time for each event', async () => {
    const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do "$0" || exit 1; done; times'
    const env = { PATH: process.env['PATH'], ...prolog }
    const { stdout } = await run('sh', ['-c', script, hook], { env })
    const [user = '', system = ''] = stdout.trim().split('\n').at(-1)?.split(' ') ?? []
    const secondsOf = (text: string) => {
      const [minutes, seconds] = text.replace('s', '').split('m').map(Number)
      return (minutes ?? Number.NaN) * 60 + (seconds ?? Number.NaN)
    }
    assert.ok((secondsOf(user) + secondsOf(system)) / 10 < 0.05, stdout)
    assert.equal((await waiting()).length, 10)
  })

  it('reach a remote-write with its own authority, and show what became of events', async () => {
    await call(prolog)
    const server = await serveTls(({ path }) => ({ status: path.endsWith('events') ? 200 : 404 }))
    const [caFile, file] = [join(folder, 'ca.pem'), join(folder, 'joulebridge.yml')]
    const address = `127.0.0.1:${await freePort()}`
    const slurm = { url: server.url, ca_file: caFile, spool_directory: spool }
    await writeFile(file, JSON.stringify({ log: { level: 'silent' }, slurm }))
    const flags = ['--config.file', file, '--web.listen-address', address]
    const command = runCommand('slurm', 'ship', ...flags)
    const shown = (pattern: RegExp) =>
      until(
        async () => {
          const answer = await fetch(`http://${address}/metrics`).catch(() => undefined)
          return pattern.test((await answer?.text()) ?? '') || undefined
        },
        40,
        () => `${pattern} not shown: ${command.stderr()}`,
      )
    try {
      await shown(/^joulebridge_slurm_passes_total\{outcome="failed"\} [1-9]/m)
      await shown(/^joulebridge_slurm_spool_files 1$/m)
      assert.deepEqual(server.seen, [])
      await writeFile(caFile, server.certificate)
      await shown(/^joulebridge_slurm_events_delivered_total 1$/m)
      await shown(/^joulebridge_slurm_spool_files 0$/m)
      assert.equal(await command.interrupt(), 0)
    } finally {
      command.process.kill()
      await server.close()
    }
  })

  it('give up silently on a full disk, and free it when they can', async function () {
    const disk = smallDiskAt(this, spool)
    try {
      await call(prolog)
      await disk.fill()
      await call(epilog)
      assert.deepEqual((await readdir(spool)).filter((name) => name !== 'ballast').length, 1)
      startShipping(await serve())
      await until(async () => (await waiting()).join() === 'ballast' || undefined, 20)
      const { rows } = await pool.query('select ended_at from job')
      assert.deepEqual(rows, [{ ended_at: null }])
    } finally {
      stopping.abort()
      await shipping
      disk.unmount()
    }
  })
})

/** Skips the test aloud where nothing may be mounted. */
function smallDiskAt(context: Mocha.Context, directory: string): SmallDisk {
  try {
    return mountSmallDisk(directory, 1)
  } catch (error) {
    if (process.env['CI']) throw error
    process.stderr.write(`SKIPPED: no small disk: ${context.test?.fullTitle()}: ${error}\n`)
    return context.skip()
  }
}
