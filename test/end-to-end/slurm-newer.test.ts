import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { createLog } from '../../exporter/service/log.ts'
import { hookScript } from '../../remote-write/jobs/slurm/command.ts'
import { GresReader } from '../../remote-write/jobs/slurm/gres.ts'
import { Poller } from '../../remote-write/jobs/slurm/poll.ts'
import { slurmSection } from '../../remote-write/jobs/slurm/settings.ts'
import { ship } from '../../remote-write/jobs/slurm/ship.ts'
import { requireTres, writePass } from '../../remote-write/jobs/slurm/write-back.ts'
import { until } from '../support/command.ts'
import { type EnergyAnswer, getJson } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'
import { requireSlurm, Slurm } from '../support/slurm.ts'
import { requireNewerSlurm } from '../support/slurm-newer.ts'

/** From 25.11 on the energy of a job can be written. */
describe('a newer Slurm', function () {
  this.timeout(240_000)
  let folder: string
  let slurm: Slurm
  let service: Service
  let pool: Pool
  const stopping = new AbortController()
  let shipping: Promise<void> | undefined

  before(async function () {
    await requireSlurm(this)
    const programs = await requireNewerSlurm(this)
    folder = await mkdtemp(join(tmpdir(), 'joulebridge-newer-'))
    await mkdir(join(folder, 'spool'))
    const hook = join(folder, 'hook.sh')
    await writeFile(hook, await hookScript(join(folder, 'spool')), { mode: 0o755 })
    const database = await cloneDatabase()
    pool = database.pool
    await pool.query("insert into node (name, xname) values ('nid000001', 'x1c0s0b0n0')")
    service = await startRecord(database.url)
    const lines = [`PrologSlurmctld=${hook}`, `EpilogSlurmctld=${hook}`]
    slurm = await Slurm.start({ nodes: 1, accelerators: 2, programs, lines })
  })

  after(async () => {
    stopping.abort()
    await shipping
    await slurm?.close()
    await service?.close()
    if (folder) await rm(folder, { recursive: true })
  })

  it('has its jobs told, and takes their energy as its own', async () => {
    const settings = slurmSection.parse({
      poll: { cursorFile: join(folder, 'cursor') },
      writeBack: {
        ...{ to: 'tres', settleSeconds: 0.1, perMinute: 600 },
        originalsFile: join(folder, 'originals'),
      },
    })
    const { signal } = stopping
    const log = createLog('slurm', { level: 'error', format: 'json' })
    const parts = {
      programs: { folder: undefined, env: slurm.env, timeoutSeconds: 30, signal },
      bridge: { url: service.url, token: undefined, env: {}, signal },
      ...{ log, now: () => new Date() },
    }
    const gres = new GresReader({ ...parts, settings: settings.accelerators })
    shipping = ship({ ...parts, directory: join(folder, 'spool'), gres })
    const begun = Math.floor(Date.now() / 1000)
    const job = await slurm.submit('sleep 2', ['-n1', '--gres=gpu:1'])
    await slurm.whenState(job, 'COMPLETED')
    const poller = await Poller.open({ ...parts, settings: settings.poll })
    const told = async () => {
      await poller.poll()
      const { rows } = await pool.query(
        `select j.state, a.accelerators, j.source from job j join allocation a on a.run = j.id
         where j.ended_at is not null and a.accelerators is not null`,
      )
      return rows.find(({ source }) => source === 'sacct')
    }
    const run = await until(told, 40, () => 'the job is not told')
    assert.deepEqual(run, { state: 'COMPLETED', accelerators: [0], source: 'sacct' })
    const seconds = Array.from({ length: 60 }, (_, i) => begun - 10 + i)
    const samples = seconds.map((second) => [second, second * 250] as const)
    const labels = { xname: 'x1c0s0b0n0' }
    await storeSeries(pool, [{ metric: 'cray_node_energy_joules_total', labels, samples }])

    const { joules } = await getJson<EnergyAnswer>(service, `/api/v1/jobs/${job}/energy`)
    const args = ['-X', '-n', '-P', '-j', String(job), '-o', 'ConsumedEnergyRaw']
    await requireTres(parts.programs)
    const pass = () => writePass({ ...parts, settings: settings.writeBack }, new Set())
    // It ends in a whole second, and settles.
    const written = await until(
      async () => (await pass()) || undefined,
      20,
      () => 'nothing is written',
    )
    assert.equal(written, 1)
    assert.ok(joules !== null && joules > 0)
    assert.equal(Number(await slurm.run('sacct', args)), joules)
    assert.equal(await pass(), 0)
    const originals = (await readFile(join(folder, 'originals'), 'utf8')).trim().split('\n')
    assert.deepEqual(
      originals.map((line) => [JSON.parse(line).jobId, JSON.parse(line).joules]),
      [[job, '0']],
    )
  })
})
