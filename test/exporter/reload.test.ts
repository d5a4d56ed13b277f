import assert from 'node:assert/strict'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningCommand, runCommand, until } from '../support/command.ts'
import {
  parseSamples,
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
} from '../support/exporter.ts'
import { basicLogin, serveTls, type TlsServer } from '../support/tls-server.ts'

const successful = 'joulebridge_config_last_reload_successful'
const succeededAt = 'joulebridge_config_last_reload_success_timestamp_seconds'

describe('the settings of a running exporter', () => {
  let directory: string
  let file: string
  let url: string
  let exporter: RunningCommand
  let pdu: TlsServer

  before(async function () {
    this.timeout(60_000)
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-reload-'))
    file = join(directory, 'joulebridge.yml')
    await writeFile(join(directory, 'password'), 'initial0\n')
    pdu = await serveTls(({ path }) => ({
      status: 200,
      body: path.endsWith('/outlets') ? [{ id: 'AA1', active_power: 5 }] : [],
    }))
    await write(settings({ xname: 'x3000m0' }))
    exporter = runCommand('exporter', '--config.file', file, '--web.listen-address', '127.0.0.1:0')
    url = await until(
      () => records().find(({ message }) => message === 'listening')?.['url'] as string | undefined,
      50,
      () => exporter.stderr(),
    )
    await scrapedUntil((all) => bmcs(all).includes('x3000m0'))
  })

  after(async () => {
    await exporter?.interrupt()
    await pdu?.close()
    await rm(directory, { recursive: true, force: true })
  })

  function settings({ xname = 'x3000m0', username = 'root', more = '' }): string {
    return `
devices:
  - { xname: ${xname}, url: "${pdu.url}", kind: jaws }
exporter:
  reload_seconds: 0.2
  poll: { fast_seconds: 0.2, kinds: { jaws: {} } }
  credentials:
    - username: ${username}
      password: { file: ${join(directory, 'password')} }
      insecure_skip_verify: true
${more}`
  }

  /** Whole at once, as whoever changes such a file should. */
  async function write(text: string): Promise<void> {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }

  async function scraped(): Promise<Sample[]> {
    const response = await fetch(`${url}/metrics`)
    return parseSamples(await response.text())
  }

  async function scrapedUntil(wanted: (all: Sample[]) => boolean): Promise<Sample[]> {
    return await until(
      async () => {
        const all = await scraped()
        return wanted(all) ? all : undefined
      },
      30,
      () => `not so:\n${exporter.stderr()}`,
    )
  }

  const bmcs = (all: readonly Sample[]) =>
    samplesOf(all, 'cray_pdu_outlet_power_watts').map(({ labels }) => labels['bmc'])
  const records = () =>
    exporter
      .stderr()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  it('are read again when the file changes: devices, and logins', async () => {
    await write(settings({ xname: 'x3000m1' }))
    const all = await scrapedUntil((samples) => bmcs(samples).includes('x3000m1'))
    assert.deepEqual(bmcs(all), ['x3000m1'])
    assert.equal(sampleValue(all, successful, {}), 1)
    const lastUser = () => pdu.seen.slice(-1).map((each) => basicLogin(each)?.split(':')[0])[0]
    assert.equal(lastUser(), 'root')
    await write(settings({ xname: 'x3000m1', username: 'admn' }))
    await until(() => (lastUser() === 'admn' ? true : undefined), 20)
  }).timeout(40_000)

  it('stay as they were when the file is wrong, which the log and a metric say', async () => {
    const before = sampleValue(await scraped(), succeededAt, {})
    await write('devices: [{ xname: nonsense }]\n')
    const all = await scrapedUntil((samples) => sampleValue(samples, successful, {}) === 0)
    assert.deepEqual(bmcs(all), ['x3000m1'])
    assert.equal(sampleValue(all, succeededAt, {}), before)
    const said = records().find(({ message }) => /settings cannot be read/.test(String(message)))
    assert.match(String(said?.['error']), /devices\.0\.xname: expected an xname/)
    await write(settings({ xname: 'x3000m2' }))
    const good = await scrapedUntil((samples) => bmcs(samples).includes('x3000m2'))
    assert.equal(sampleValue(good, successful, {}), 1)
    assert.ok(sampleValue(good, succeededAt, {}) > before)
  }).timeout(60_000)

  it('are read at a SIGHUP, and what needs a restart is named', async () => {
    const times = () => records().filter(({ message }) => message === 'settings read again').length
    const before = times()
    exporter.process.kill('SIGHUP')
    await until(() => (times() === before + 1 ? true : undefined), 20)
    await write(settings({ xname: 'x3000m3', more: '  shard: 1/1\n' }))
    await scrapedUntil((samples) => bmcs(samples).includes('x3000m3'))
    const said = records().find(({ message }) => /need a restart/.test(String(message)))
    assert.deepEqual(said?.['settings'], ['exporter.shard'])
    assert.match(await readFile(file, 'utf8'), /x3000m3/)
  }).timeout(40_000)
})

describe('settings that are read again', () => {
  it('do not disturb a device that they do not change', async () => {
    const server = await serveTls(({ path }) => ({
      status: 200,
      body: path.endsWith('/outlets') ? [{ id: 'AA1', active_power: 5 }] : [],
    }))
    const exporter = await startTestExporter({
      devices: [{ xname: 'x3000m0', server }],
      poll: { slowSeconds: 60 },
      reread: async (now) => ({ ...now, poll: { ...now.poll, fastSeconds: 600 } }),
    })
    try {
      await exporter.scrapeUntil((all) => samplesOf(all, 'cray_pdu_outlet_power_watts').length > 0)
      const units = () => server.seen.filter(({ path }) => path.endsWith('/monitor/units')).length
      const outlets = () => server.seen.filter(({ path }) => path.endsWith('/outlets')).length
      const before = units()
      await until(() => (outlets() > 3 ? true : undefined), 10)
      await exporter.reload()
      const all = await exporter.scrape()
      assert.equal(samplesOf(all, 'cray_pdu_outlet_power_watts').length, 1)
      const polls = await until(async () => {
        const first = outlets()
        await exporter.scrape()
        await new Promise((resolve) => setTimeout(resolve, 500))
        return outlets() === first ? first : undefined
      }, 10)
      assert.ok(polls > 3)
      assert.equal(units(), before)
    } finally {
      await exporter.close()
      await server.close()
    }
  })
})
