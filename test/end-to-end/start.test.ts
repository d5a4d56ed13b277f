import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { freePortBase, type RunningCommand, runCommand, until } from '../support/command.ts'

interface Job {
  job_id: number
  state: string
  started_at: string
  ended_at: string
  energy: { joules: number; joules_low: number; joules_high: number; coverage_ratio: number }
}

describe('joulebridge start', () => {
  let directory: string
  let base: number
  let run: RunningCommand
  const started = Date.now()

  before(async function startOnce() {
    this.timeout(120_000)
    directory = await openDirectory()
    base = await freePortBase()
    run = await startUp('--history-hours', '2')
  })

  after(async () => {
    await run?.interrupt()
    await rm(directory, { recursive: true, force: true })
  })

  async function startUp(...flags: string[]): Promise<RunningCommand> {
    const place = ['--data-dir', join(directory, 'data'), '--port-base', String(base)]
    const running = runCommand('start', ...place, ...flags)
    await running.shows(/jobs, each with/, 90)
    return running
  }

  const get = async <T>(offset: number, path: string): Promise<T> =>
    (await (await fetch(`http://127.0.0.1:${base + offset}${path}`)).json()) as T

  it('says what it brings up, step by step, and where to look', () => {
    for (const part of ['PostgreSQL', 'simulated system', 'remote-write', 'exporter', 'control']) {
      assert.match(run.stdout(), new RegExp(`^  ${part} .* s$`, 'm'))
    }
    assert.match(run.stdout(), new RegExp(`http://127.0.0.1:${base + 11}/api/v1/jobs`))
  })

  it('shows a past of jobs whose energies are within 2 % of the truth', async () => {
    const { jobs } = await get<{ jobs: Job[] }>(11, '/api/v1/jobs?state=ended&limit=500')
    const long = jobs.filter(
      (job) =>
        Date.parse(job.ended_at) - Date.parse(job.started_at) >= 600_000 &&
        Date.parse(job.ended_at) < started - 60_000 &&
        job.energy.coverage_ratio === 1,
    )
    assert.ok(long.length >= 5, `${long.length} of ${jobs.length} jobs of ten minutes`)
    for (const { job_id, energy } of long) {
      const truth = (await get<{ joules: number }>(99, `/truth/jobs/${job_id}`)).joules
      const error = Math.abs(energy.joules / truth - 1)
      assert.ok(error < 0.02, `job ${job_id}: ${energy.joules} J, truth ${truth} J`)
      assert.ok(energy.joules_low <= truth && truth <= energy.joules_high, `job ${job_id}: bounds`)
    }
  })

  it('shows the joules of a new job within two minutes', async function waitForJob() {
    this.timeout(150_000)
    const job = await until(async () => {
      const { jobs } = await get<{ jobs: Job[] }>(11, '/api/v1/jobs?state=ended&limit=20')
      const bounded = ({ energy }: Job) => energy.joules !== null && energy.joules_high !== null
      return jobs.find((found) => Date.parse(found.ended_at) > started && bounded(found))
    }, 120)
    const truth = (await get<{ joules: number }>(99, `/truth/jobs/${job.job_id}`)).joules
    assert.ok(job.energy.joules_low <= truth && truth <= job.energy.joules_high)
    await run.shows(new RegExp(`job ${job.job_id} .*(J|kJ|MJ) `), 20)
    const told = runCommand(
      'job-energy',
      String(job.job_id),
      '--url',
      `http://127.0.0.1:${base + 11}`,
    )
    assert.equal(await told.ended, 0, told.stderr())
    assert.match(told.stdout(), /^x1000c0s\d+b0n\d .* kJ .* counter /m)
  })

  it('switches a simulated node off, and the exporter and its power show it', async function off() {
    this.timeout(90_000)
    const token = await readFile(join(directory, 'data/control-token'), 'utf8')
    const answer = await fetch(`http://127.0.0.1:${base + 7}/transitions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ operation: 'Force-Off', location: [{ xname: 'x1000c0s3b0n0' }] }),
    })
    assert.ok(answer.ok, await answer.clone().text())
    const power = await until(async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${base + 10}/metrics`)).text()
      const off = /^cray_power_state\{xname="x1000c0s3b0n0"[^}]*state="Off"[^}]*\} 1$/m
      const watts = /^cray_node_power_watts\{xname="x1000c0s3b0n0"[^}]*\} (\S+)$/m.exec(metrics)
      return off.test(metrics) ? watts?.[1] : undefined
    }, 80)
    assert.ok(Number(power) < 100, `${power} W`)
  })

  it('ends cleanly on Ctrl-C and resumes on the same data', async function resume() {
    this.timeout(120_000)
    const before = await get<{ jobs: Job[] }>(11, '/api/v1/jobs?state=ended&limit=500')
    assert.equal(await run.interrupt(), 0, run.stderr())
    await assert.rejects(fetch(`http://127.0.0.1:${base + 11}/-/healthy`))
    run = await startUp()
    const after = await get<{ jobs: Job[] }>(11, '/api/v1/jobs?state=ended&limit=500')
    const ids = new Set(after.jobs.map(({ job_id }) => job_id))
    assert.deepEqual(
      before.jobs.filter(({ job_id }) => !ids.has(job_id)),
      [],
    )
  })

  it('refuses a second run on the same data with one line', async () => {
    const second = runCommand('start', '--data-dir', join(directory, 'data'))
    assert.equal(await second.ended, 1)
    assert.match(second.stderr(), /^joulebridge: data directory .*: in use by process \d+\n$/)
  })
})

describe('joulebridge start, when it cannot', () => {
  let directory: string

  beforeEach(async () => {
    directory = await openDirectory()
  })

  afterEach(() => rm(directory, { recursive: true, force: true }))

  it('names the port that is in use and ends with 1', async () => {
    const base = await freePortBase()
    const squatter = createServer().listen(base + 10, '127.0.0.1')
    try {
      const place = ['--data-dir', join(directory, 'data'), '--port-base', String(base)]
      const run = runCommand('start', ...place, '--history-hours', '0')
      assert.equal(await run.ended, 1)
      assert.match(run.stderr(), new RegExp(`^joulebridge: .*127.0.0.1:${base + 10}.*in use.*\n$`))
    } finally {
      squatter.close()
    }
  })

  it("refuses a directory that holds somebody else's files", async () => {
    await writeFile(join(directory, 'thesis.tex'), '')
    const run = runCommand('start', '--data-dir', directory)
    assert.equal(await run.ended, 1)
    assert.match(run.stderr(), /^joulebridge: data directory .* holds .*thesis.tex\n$/)
  })

  it('says that the disk is full', async function full() {
    if (process.getuid?.() !== 0) this.skip()
    const disk = join(directory, 'disk')
    execFileSync('mkdir', [disk])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=755', 'joulebridge-test', disk])
    try {
      const base = await freePortBase()
      const place = ['--data-dir', join(disk, 'data'), '--port-base', String(base)]
      const run = runCommand('start', ...place)
      assert.equal(await run.ended, 1)
      assert.match(run.stderr(), /^joulebridge: .*[Nn]o space left on device.*\n$/)
    } finally {
      execFileSync('umount', [disk])
    }
  })
})

/** Tests may run as root; the user that runs PostgreSQL for root must reach its directory. */
async function openDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-start-'))
  await chmod(directory, 0o711)
  return directory
}
