import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { parse, stringify } from 'yaml'
import { type RunningCommand, runCommand, until } from '../support/command.ts'
import { freePort } from '../support/port.ts'
import { cloneDatabase } from '../support/postgres.ts'

/** Each service as a site runs it: a process of its own on one settings file. */
describe('a service on its own', function alone() {
  this.timeout(60_000)
  let directory: string
  let file: string
  let password: string
  const addresses: Record<string, string> = {}

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-services-'))
    const url = new URL((await cloneDatabase()).url)
    password = decodeURIComponent(url.password)
    url.password = ''
    await writeFile(join(directory, 'password'), password)
    for (const name of ['exporter', 'remote-write', 'control']) {
      addresses[name] = `127.0.0.1:${await freePort()}`
    }
    const web = (name: string) => ({ web: { listen_address: addresses[name] } })
    file = join(directory, 'joulebridge.yml')
    const settings = {
      postgres: { url: url.href, password: { file: join(directory, 'password') } },
      exporter: web('exporter'),
      remote_write: web('remote-write'),
      control: web('control'),
    }
    await writeFile(file, stringify(settings))
  })

  after(() => rm(directory, { recursive: true, force: true }))

  let running: RunningCommand | undefined
  const service = (...args: string[]): RunningCommand => {
    running = runCommand(...args)
    return running
  }
  afterEach(() => running?.process.kill('SIGKILL'))

  for (const name of ['remote-write', 'exporter', 'control']) {
    it(`runs as ${name}: ready, with metrics, in logfmt, and ends on SIGTERM`, async () => {
      const run = service(name, '--config.file', file, '--log.format', 'logfmt')
      await ready(run, addresses[name] ?? '')
      const get = async (path: string) => await fetch(`http://${addresses[name]}${path}`)
      assert.equal((await get('/-/healthy')).status, 200)
      assert.match(await (await get('/metrics')).text(), /^joulebridge_build_info\{.*\} 1$/m)
      const unknown = await get('/nowhere')
      assert.equal(unknown.status, name === 'control' ? 401 : 404)
      assert.match(unknown.headers.get('content-type') ?? '', /^application\/problem\+json/)
      run.process.kill('SIGTERM')
      assert.equal(await run.ended, 0, run.stderr())
      assert.match(
        run.stderr(),
        new RegExp(`^level=info .*service=${name} .*message=listening$`, 'm'),
      )
      assert.ok(!run.stderr().includes(password))
    })
  }

  it('runs beside the others under start, on all addresses of the machine', async () => {
    const web = (port: number) => ({ web: { listen_address: `:${port}` } })
    const ports = [await freePort(), await freePort(), await freePort()]
    const [exporter, remoteWrite, control] = ports.map(web)
    const { postgres } = parse(await readFile(file, 'utf8'))
    const site = join(directory, 'site.yml')
    await writeFile(site, stringify({ postgres, exporter, remote_write: remoteWrite, control }))
    const run = service('start', '--config.file', site, '--data-dir', join(directory, 'data'))
    for (const name of ['remote-write', 'exporter', 'control']) {
      await run.shows(new RegExp(`^ *${name} ready on :\\d+$`, 'm'), 30)
    }
    for (const port of ports) {
      assert.equal((await fetch(`http://127.0.0.1:${port}/-/ready`)).status, 200)
    }
    assert.equal(await run.interrupt(), 0, run.stderr())
  })

  it('does not start on settings with faults, and names each with its line', async () => {
    const faulty = join(directory, 'faulty.yml')
    await writeFile(
      faulty,
      'exporter:\n  pol: 1\ncontrol:\n  token: hunter2\ndevices:\n  - xname: y1\n',
    )
    const run = service('control', '--config.file', faulty)
    assert.equal(await run.ended, 1)
    const lines = run.stderr().trimEnd().split('\n')
    assert.equal(lines.length, 4, run.stderr())
    assert.match(run.stderr(), /faulty\.yml:2: exporter\.pol: unknown setting$/m)
    assert.match(run.stderr(), /faulty\.yml:4: control\.token: .*a secret does not stand/)
    assert.match(run.stderr(), /faulty\.yml:6: devices\.0\.xname: expected an xname/)
    assert.match(run.stderr(), /faulty\.yml:6: devices\.0\.url: /)
    assert.ok(!run.stderr().includes('hunter2'))
  })
})

async function ready(run: RunningCommand, address: string): Promise<void> {
  const answer = async () => {
    const response = await fetch(`http://${address}/-/ready`).catch(() => undefined)
    return response?.ok ? response : undefined
  }
  const ended = () => run.process.exitCode !== null
  await until(answer, 30, () => `${address} is not ready:\n${run.stderr()}`, ended)
}
