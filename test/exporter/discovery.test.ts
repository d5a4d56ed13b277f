import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { parseEndpoints } from '../../exporter/inventory/hsm.ts'
import { isInShard, shardSetting } from '../../exporter/inventory/shard.ts'
import { createLog } from '../../exporter/service/log.ts'
import { runCommand, until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
  type TestExporterOptions,
} from '../support/exporter.ts'
import { type Reply, serveTls, type TlsServer } from '../support/tls-server.ts'

describe('discovery', () => {
  const closing: { close(): Promise<void> }[] = []
  let directory: string
  let logged: Record<string, unknown>[]

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-discovery-'))
    logged = []
  })

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
    await rm(directory, { recursive: true })
  })

  /** An iPDU with one outlet of so many watts. */
  async function pdu(watts: number): Promise<TlsServer> {
    const outlet = { id: 'AA1', active_power: watts }
    const server = await serveTls(({ path }) => ({
      status: 200,
      body: path.endsWith('/outlets') ? [outlet] : [],
    }))
    closing.push(server)
    return server
  }

  async function exporting(
    settings: TestExporterOptions['settings'],
    devices: TestExporterOptions['devices'] = [],
  ): Promise<TestExporter> {
    const stream = { write: (line: string) => void logged.push(JSON.parse(line)) }
    const exporter = await startTestExporter({
      devices,
      settings: {
        credentials: [
          { username: 'root', password: { env: 'BMC_PASSWORD' }, insecureSkipVerify: true },
        ],
        ...settings,
      },
      env: { BMC_PASSWORD: 'initial0', TOKEN: 'token-1' },
      log: createLog('exporter', { level: 'info', format: 'json' }, stream),
    })
    closing.push(exporter)
    return exporter
  }

  const power = (samples: readonly Sample[], bmc: string) =>
    samplesOf(samples, 'cray_pdu_outlet_power_watts', { bmc })[0]?.value
  const devicesOf = (samples: readonly Sample[]) => [
    ...new Set(samples.flatMap(({ labels }) => labels['bmc'] ?? [])),
  ]
  const faultsLogged = () => logged.filter(({ message }) => /cannot be read/.test(String(message)))

  describe('a device file', () => {
    const file = () => join(directory, 'devices.yml')
    const settings = () => ({ discovery: { file: { path: file(), everySeconds: 0.05 } } })

    /** As whoever changes such a file should: whole at once. */
    async function write(text: string): Promise<void> {
      await writeFile(join(directory, 'new'), text)
      await rename(join(directory, 'new'), file())
    }

    it('adds devices, polled at once, and takes them away with all their series', async () => {
      const [one, two] = [await pdu(100), await pdu(200)]
      await write(`- { xname: x3000m0, url: "${one.url}", kind: jaws }\n`)
      const exporter = await exporting(settings())
      await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
      await write(JSON.stringify([{ xname: 'X3000M1', url: two.url, kind: 'jaws' }]))
      const samples = await exporter.scrapeUntil((all) => power(all, 'x3000m1') === 200)
      assert.deepEqual(devicesOf(samples), ['x3000m1'])
      const targets = (await (await fetch(`${exporter.url}/sd`)).json()) as unknown[]
      assert.equal(targets.length, 1)
      assert.equal((await fetch(`${exporter.url}/probe?target=x3000m0`)).status, 400)
      const asked = one.seen.length
      const before = two.seen.length
      await until(() => (two.seen.length > before + 20 ? true : undefined), 20)
      assert.equal(one.seen.length, asked)
    })

    it('starts a device anew where its address has changed', async () => {
      const [one, two] = [await pdu(100), await pdu(200)]
      await write(`[{ xname: x3000m0, url: "${one.url}" }, { xname: x3000m1, url: "${one.url}" }]`)
      const exporter = await exporting(settings())
      await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
      await write(`[{ xname: x3000m0, url: "${two.url}" }, { xname: x3000m1, url: "${one.url}" }]`)
      const samples = await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 200)
      assert.equal(power(samples, 'x3000m1'), 100)
    })

    for (const [what, text, fault] of [
      ['is no YAML', '[', /devices\.yml:1: /],
      ['is empty', '', /expected array/],
      [
        'names no place',
        '- { xname: nowhere, url: "https://10.0.0.1" }',
        /devices\.yml:1: 0\.xname: expected an xname/,
      ],
      [
        'names a device twice',
        '[{ xname: x1m0, url: "https://a" }, { xname: x1m0, url: "https://b" }]',
        /x1m0 stands twice/,
      ],
      ['is gone', undefined, /device file .*devices\.yml: cannot be read: ENOENT/],
    ] as const) {
      it(`that ${what} keeps the last devices and says why, once`, async () => {
        const server = await pdu(100)
        const good = `- { xname: x3000m0, url: "${server.url}" }\n`
        await write(good)
        const exporter = await exporting(settings())
        await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
        const up = (all: readonly Sample[]) =>
          sampleValue(all, 'joulebridge_discovery_up', { source: 'file' })
        if (text === undefined) await rm(file())
        else await write(text)
        const samples = await exporter.scrapeUntil(
          (all) => sampleValue(all, 'joulebridge_discovery_failures_total', { source: 'file' }) > 2,
        )
        assert.equal(up(samples), 0)
        assert.equal(power(samples, 'x3000m0'), 100)
        assert.equal(faultsLogged().length, 1)
        assert.match(String(faultsLogged()[0]?.['error']), fault)
        await write(good)
        await exporter.scrapeUntil((all) => up(all) === 1)
      })
    }

    it('that is bad at the start keeps nobody from starting', async () => {
      const server = await pdu(100)
      const exporter = await exporting(settings(), [{ xname: 'x3000m0', server }])
      await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
      assert.equal(faultsLogged().length, 1)
    })

    it('does not change a device of the settings', async () => {
      const [one, two] = [await pdu(100), await pdu(200)]
      await write(`[{ xname: x3000m0, url: "${two.url}" }, { xname: x3000m1, url: "${two.url}" }]`)
      const exporter = await exporting(settings(), [{ xname: 'x3000m0', server: one }])
      const samples = await exporter.scrapeUntil((all) => power(all, 'x3000m1') === 200)
      assert.equal(power(samples, 'x3000m0'), 100)
    })
  })

  describe('HSM', () => {
    /** An HSM that wants this token, with what `endpoints` are at the time. */
    async function serveHsm(state: { token: string; reply: () => ReturnType<Reply> }) {
      const server = await serveTls(({ path, headers }) => {
        if (path !== '/apis/smd/hsm/v2/Inventory/RedfishEndpoints') return { status: 404 }
        return headers.authorization === `Bearer ${state.token}` ? state.reply() : { status: 401 }
      })
      closing.push(server)
      return server
    }

    const endpoint = (ID: string, { url }: TlsServer, more: object = {}) => ({
      ID,
      Type: 'CabinetPDUController',
      FQDN: url.replace('https://', ''),
      Enabled: true,
      User: 'root',
      Password: '',
      ...more,
    })

    async function watching(server: TlsServer, token: { file: string } | { env: string }) {
      const caFile = join(directory, 'hsm.pem')
      await writeFile(caFile, server.certificate)
      const url = `${server.url}/apis/smd/`
      return await exporting({
        discovery: { hsm: { url, token, caFile, everySeconds: 0.05, timeoutSeconds: 2 } },
      })
    }

    it('gives the devices, until it has others', async () => {
      const [one, two] = [await pdu(100), await pdu(200)]
      let RedfishEndpoints: object[] = [endpoint('x3000m0', one)]
      const reply = () => ({ status: 200, body: { RedfishEndpoints } })
      const server = await serveHsm({ token: 'token-1', reply })
      const exporter = await watching(server, { env: 'TOKEN' })
      await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
      RedfishEndpoints = [endpoint('x3000m0', one, { Enabled: false }), endpoint('x3000m1', two)]
      const samples = await exporter.scrapeUntil((all) => power(all, 'x3000m1') === 200)
      assert.deepEqual(devicesOf(samples), ['x3000m1'])
      assert.equal(sampleValue(samples, 'joulebridge_discovery_devices', { source: 'hsm' }), 1)
    })

    it('is asked with the token as it is now', async () => {
      const RedfishEndpoints = [endpoint('x3000m0', await pdu(100))]
      const state = { token: 'token-2', reply: () => ({ status: 200, body: { RedfishEndpoints } }) }
      const server = await serveHsm(state)
      const file = join(directory, 'token')
      await writeFile(file, 'token-1\n')
      const exporter = await watching(server, { file })
      await until(() => faultsLogged()[0], 10)
      assert.match(String(faultsLogged()[0]?.['error']), /RedfishEndpoints: HTTP 401/)
      await writeFile(file, 'token-2\n')
      await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
      assert.doesNotMatch(JSON.stringify(logged), /token-[12]/)
    })

    for (const [what, bad] of [
      ['is out of order', { status: 503, body: { title: 'Service Unavailable' } }],
      ['answers something else', { status: 200, body: { Components: [] } }],
      ['sends on elsewhere', { status: 302, headers: { location: 'https://example.org/' } }],
    ] as const) {
      it(`that ${what} leaves the devices as they were`, async () => {
        const RedfishEndpoints = [endpoint('x3000m0', await pdu(100))]
        let reply: ReturnType<Reply> = { status: 200, body: { RedfishEndpoints } }
        const server = await serveHsm({ token: 'token-1', reply: () => reply })
        const exporter = await watching(server, { env: 'TOKEN' })
        await exporter.scrapeUntil((all) => power(all, 'x3000m0') === 100)
        reply = bad
        const samples = await exporter.scrapeUntil(
          (all) => sampleValue(all, 'joulebridge_discovery_failures_total', { source: 'hsm' }) > 2,
        )
        assert.equal(sampleValue(samples, 'joulebridge_discovery_up', { source: 'hsm' }), 0)
        assert.equal(power(samples, 'x3000m0'), 100)
      })
    }

    it('may list what is no device of ours, which costs only that', () => {
      const { devices, unusable } = parseEndpoints({
        RedfishEndpoints: [
          { ID: 'x1000c0s0b0', FQDN: 'x1000c0s0b0.hmn' },
          { ID: 'x1005c3', FQDN: 'x1005c3', Type: 'ChassisBMC' },
          { ID: 'x1000c0r0b0', FQDN: '' },
          { ID: 'x1000c0s0b0', FQDN: 'again' },
          { ID: 'x1000c0s1b0', Enabled: false },
          { ID: 'x1000c0s2b0n0', FQDN: 'a-node' },
          { ID: 'x1000c0s3b0', FQDN: 'no host' },
          { ID: 'nonsense' },
          { ID: 5 },
          null,
        ],
      })
      assert.deepEqual(devices, [
        { xname: 'x1000c0s0b0', url: 'https://x1000c0s0b0.hmn' },
        { xname: 'x1005c3b0', url: 'https://x1005c3' },
        { xname: 'x1000c0r0b0', url: 'https://x1000c0r0b0' },
      ])
      assert.deepEqual(unusable, ['x1000c0s2b0n0', 'x1000c0s3b0', 'nonsense', 'no ID', 'no ID'])
    })
  })

  describe('a shard', () => {
    const xname = fc
      .tuple(fc.nat(9999), fc.nat(7), fc.nat(63), fc.nat(1))
      .map(([x, c, s, b]) => `x${x}c${c}s${s}b${b}`)

    it('has a device that no other has', () => {
      fc.assert(
        fc.property(xname, fc.integer({ min: 1, max: 20 }), (name, count) => {
          const shards = Array.from({ length: count }, (_, at) => ({ index: at + 1, count }))
          assert.equal(shards.filter((shard) => isInShard(name, shard)).length, 1)
        }),
      )
    })

    it('keeps its devices when others are added, but for those that go to the new', () => {
      fc.assert(
        fc.property(xname, fc.integer({ min: 1, max: 20 }), (name, count) => {
          const home = (n: number) =>
            Array.from({ length: n }, (_, at) => at + 1).find((index) =>
              isInShard(name, { index, count: n }),
            )
          assert.ok(home(count + 1) === home(count) || home(count + 1) === count + 1)
        }),
      )
    })

    it('has about its share, by a hash that never changes', () => {
      const names = Array.from({ length: 4000 }, (_, at) => `x${1000 + (at >> 6)}c0s${at & 63}b0`)
      const sizes = [1, 2, 3, 4].map(
        (index) => names.filter((name) => isInShard(name, { index, count: 4 })).length,
      )
      assert.ok(
        sizes.every((size) => size > 900 && size < 1100),
        sizes.join(),
      )
      const first = names.slice(0, 12).filter((name) => isInShard(name, { index: 1, count: 4 }))
      assert.deepEqual(
        first.join(' '),
        'x1000c0s3b0 x1000c0s4b0 x1000c0s5b0 x1000c0s8b0 x1000c0s10b0 x1000c0s11b0',
      )
    })

    it('is written i/n, from 1 to n', () => {
      assert.deepEqual(shardSetting.parse('2/4'), { index: 2, count: 4 })
      for (const text of ['0/4', '5/4', '1/0', '1', 'a/b', '1/4/']) {
        assert.equal(shardSetting.safeParse(text).success, false, text)
      }
    })

    it('is chosen by a flag', async () => {
      const check = (shard: string) => runCommand('exporter', `--shard=${shard}`, '--check-config')
      const [good, bad] = [check('2/4'), check('5/4')]
      assert.equal(await good.ended, 0, good.stderr())
      assert.notEqual(await bad.ended, 0)
      assert.match(bad.stderr(), /--shard <i\/n>.*expected i\/n with i from 1 to n/)
    })

    it('polls its part of the devices, whatever source they have', async () => {
      const server = await pdu(100)
      const names = Array.from({ length: 12 }, (_, at) => `x3000m${at}`)
      const file = join(directory, 'devices.json')
      const listed = names.slice(6).map((name) => ({ xname: name, url: server.url }))
      await writeFile(file, JSON.stringify(listed))
      const devices = names.slice(0, 6).map((name) => ({ xname: name, server }))
      const polled: string[] = []
      for (const shard of ['1/2', '2/2']) {
        const exporter = await exporting({ discovery: { file: { path: file } }, shard }, devices)
        const targets = (await (await fetch(`${exporter.url}/sd`)).json()) as {
          labels: { instance: string }
        }[]
        assert.ok(targets.length > 0 && targets.length < 12)
        polled.push(...targets.map(({ labels }) => labels.instance))
      }
      assert.deepEqual(polled.sort(), [...names].sort())
    })
  })
})
