import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { watchDisk } from '../../control/disk.ts'
import { freePortBase, type RunningCommand, runCommand, until } from '../support/command.ts'
import { freePort } from '../support/port.ts'

describe('joulebridge start, when a part is killed', function killed() {
  this.timeout(90_000)
  let directory: string
  let base: number
  let run: RunningCommand

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-faults-'))
    await chmod(directory, 0o711)
    base = await freePortBase()
    const place = ['--data-dir', join(directory, 'data'), '--port-base', String(base)]
    run = runCommand('start', ...place, '--history-hours', '0', '--no-prometheus')
    await run.shows(/jobs, each with/, 60)
  })

  after(async () => {
    await run?.interrupt()
    await rm(directory, { recursive: true, force: true })
  })

  const pidIn = async (...path: string[]): Promise<number> =>
    Number.parseInt(await readFile(join(directory, 'data', ...path), 'utf8'), 10)
  const status = async (offset: number, path: string): Promise<number | undefined> =>
    await fetch(`http://127.0.0.1:${base + offset}${path}`).then(
      (answer) => answer.status,
      () => undefined,
    )

  it('says how a service ended and starts it again', async () => {
    process.kill(await pidIn('logs/exporter.log.pid'), 'SIGKILL')
    await run.shows(/^exporter ended \(killed by SIGKILL\); starting it again$/m, 10)
    await run.shows(/^exporter is ready again$/m, 20)
    assert.equal(await status(10, '/-/ready'), 200)
  })

  it('starts PostgreSQL again, and the services find it', async () => {
    process.kill(await pidIn('postgres/postmaster.pid'), 'SIGKILL')
    await run.shows(/^PostgreSQL is ready again$/m, 20)
    await until(async () => ((await status(11, '/-/ready')) === 200 ? true : undefined), 20)
    await until(async () => ((await status(7, '/-/ready')) === 200 ? true : undefined), 20)
  })

  it('leaves nothing running when it is killed itself', async () => {
    const pids = await Promise.all([
      pidIn('postgres/postmaster.pid'),
      ...['exporter', 'remote-write', 'control', 'simulate'].map((name) =>
        pidIn(`logs/${name}.log.pid`),
      ),
    ])
    run.process.kill('SIGKILL')
    await until(() => (pids.some(isRunning) ? undefined : true), 20)
  })
})

describe('joulebridge, when it cannot go on', () => {
  it('ends quietly when nobody reads what it says any more', async function closedPipe() {
    this.timeout(30_000)
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-faults-'))
    await chmod(directory, 0o711)
    try {
      const place = ['--data-dir', join(directory, 'data')]
      const run = runCommand('start', ...place, '--port-base', String(await freePortBase()))
      await run.shows(/PostgreSQL .* ready/, 20)
      run.process.stdout?.destroy()
      assert.equal(await run.ended, 0)
      assert.equal(run.stderr(), '')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })

  it('takes down what was just being started when it is interrupted', async function early() {
    this.timeout(30_000)
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-faults-'))
    await chmod(directory, 0o711)
    try {
      const place = ['--data-dir', join(directory, 'data')]
      const run = runCommand('start', ...place, '--port-base', String(await freePortBase()))
      await run.shows(/data in/, 20)
      assert.equal(await run.interrupt(), 0, run.stderr())
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })

  it('says when the disk is full, and when it has room again', async function fullDisk() {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) this.skip()
    const disk = await mkdtemp(join(tmpdir(), 'joulebridge-disk-'))
    const stopping = new AbortController()
    const said: string[] = []
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'joulebridge-test', disk])
    try {
      const say = (line: string) => void said.push(line)
      const watching = watchDisk(disk, { say, signal: stopping.signal })
      await until(() => said[0], 10)
      execFileSync('mount', ['-o', 'remount,size=64m', disk])
      await until(() => said[1], 10)
      stopping.abort()
      await assert.rejects(watching, { name: 'AbortError' })
    } finally {
      execFileSync('umount', [disk])
      await rm(disk, { recursive: true })
    }
    assert.match(said[0] ?? '', /is full/)
    assert.match(said[1] ?? '', /has room again/)
  })

  it('refuses options out of range before it starts anything', async () => {
    const faults: [string, string, RegExp][] = [
      ['start', '--port-base=99999', /port-base.*99999.*65336/],
      ['start', '--seed=1.5', /seed.*1\.5.*int/],
      ['start', '--history-hours=soon', /history-hours.*soon.*number/],
      ['exporter', '--web.listen-address=here', /listen-address.*here.*host:port/],
    ]
    for (const [command, flag, message] of faults) {
      const run = runCommand(command, flag)
      assert.equal(await run.ended, 1)
      assert.match(run.stderr(), message)
      assert.equal(run.stdout(), '')
    }
  })
})

describe('a service in a process of its own', () => {
  it('listens where --web.listen-address says, and ends with 0 on SIGTERM', async () => {
    const port = await freePort()
    const run = runCommand('exporter', `--web.listen-address=127.0.0.1:${port}`)
    const healthy = () =>
      fetch(`http://127.0.0.1:${port}/-/healthy`).then(
        ({ ok }) => ok || undefined,
        () => undefined,
      )
    await until(healthy, 20, run.stderr)
    run.process.kill('SIGTERM')
    assert.equal(await run.ended, 0, run.stderr())
  })

  it('waits for its database and says so, without the password', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-faults-'))
    const [file, password] = [join(directory, 'joulebridge.yml'), join(directory, 'password')]
    const port = await freePort()
    await writeFile(password, 'only-for-tests')
    await writeFile(
      file,
      JSON.stringify({
        postgres: {
          url: `postgres://joulebridge@127.0.0.1:${port}/joulebridge`,
          password: { file: password },
        },
      }),
    )
    const run = runCommand('remote-write', `--config.file=${file}`, '--log.format=logfmt')
    await until(() => /attempts=2 /.exec(run.stderr()), 20, run.stderr)
    run.process.kill('SIGTERM')
    await run.ended
    await rm(directory, { recursive: true, force: true })
    assert.match(run.stderr(), new RegExp(`database=127.0.0.1:${port}/joulebridge`))
    assert.doesNotMatch(run.stderr(), /only-for-tests/)
  })

  it('goes on when its log cannot be written', async function fullDisk() {
    if (process.platform !== 'linux') this.skip()
    const place = `127.0.0.1:${await freePort()}`
    const log = await open('/dev/full', 'w')
    const command = ['--import', 'tsx', 'joulebridge.ts', 'exporter']
    const flags = [`--web.listen-address=${place}`, '--log.level=debug']
    const child = spawn(process.execPath, [...command, ...flags], {
      stdio: ['ignore', 'ignore', log.fd],
    })
    const ended = once(child, 'exit')
    await log.close()
    const ready = () =>
      fetch(`http://${place}/-/ready`).then(
        ({ ok }) => ok || undefined,
        () => undefined,
      )
    await until(ready, 20)
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
  })

  it('names a port in use in one line', async () => {
    const squatter = createServer().listen(0, '127.0.0.1')
    await until(() => squatter.address(), 5)
    const address = squatter.address()
    assert.ok(address !== null && typeof address !== 'string')
    try {
      const place = `127.0.0.1:${address.port}`
      const run = runCommand('exporter', `--web.listen-address=${place}`)
      assert.equal(await run.ended, 1)
      assert.equal(run.stderr(), `joulebridge: cannot listen on ${place}: the port is in use\n`)
    } finally {
      squatter.close()
    }
  })
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
