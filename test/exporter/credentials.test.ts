import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { z } from 'zod'
import { credentialFor, credentialSettings, type Device } from '../../exporter/inventory/static.ts'
import { createClient, type RedfishClient } from '../../exporter/redfish/client.ts'
import { errorText } from '../../exporter/service/log.ts'
import { samplesOf, sampleValue, startTestExporter } from '../support/exporter.ts'
import { basicLogin, type Reply, serveTls, type TlsServer } from '../support/tls-server.ts'

const day = 86_400_000

describe('the login to a device', () => {
  const closing: { close(): Promise<void> }[] = []
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-credentials-'))
  })

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
    await rm(directory, { recursive: true })
  })

  async function serve(reply: Reply, expiresAt?: Date): Promise<TlsServer> {
    const server = await serveTls(reply, expiresAt && { expiresAt })
    closing.push(server)
    return server
  }

  interface Connected {
    client: RedfishClient
    clock: { now: number }
    env: { PASSWORD: string }
  }

  /** A client with a clock that stands still, and the password `initial0`. */
  async function connect(
    server: TlsServer,
    credential: Partial<z.input<typeof credentialSettings>> = {},
  ): Promise<Connected> {
    const caFile = join(directory, 'ca.pem')
    await writeFile(caFile, server.certificate)
    const [clock, env] = [{ now: 0 }, { PASSWORD: 'initial0' }]
    const client = createClient({
      device: { xname: 'x1000c0s0b0', url: server.url },
      credential: credentialSettings.parse({
        username: 'root',
        password: { env: 'PASSWORD' },
        caFile,
        ...credential,
      }),
      env,
      timeoutSeconds: 5,
      now: () => clock.now,
    })
    closing.push(client)
    return { client, clock, env }
  }

  const outcome = (client: RedfishClient, path = '/redfish/v1') =>
    client.get(path).then(
      () => 'answered',
      (error: unknown) => errorText(error),
    )

  it('is the first that fits its place, group, kind and type', () => {
    const credential = (username: string, fit: object) =>
      credentialSettings.parse({ username, password: { env: 'X' }, ...fit })
    const credentials = [
      credential('one', { within: 'x1000c0s0b0' }),
      credential('lab', { group: 'lab', within: 'x3000' }),
      credential('ilo', { kind: 'ilo' }),
      credential('pdu', { type: 'CabinetPDUController' }),
      credential('rest', {}),
    ]
    const user = (device: Omit<Device, 'url'>) => credentialFor(device, credentials)?.username
    assert.equal(user({ xname: 'x1000c0s0b0', kind: 'ilo' }), 'one')
    assert.equal(user({ xname: 'x3000c0s1b0', group: 'lab' }), 'lab')
    assert.equal(user({ xname: 'x3001c0s1b0', group: 'lab' }), 'rest')
    assert.equal(user({ xname: 'x3000c0s1b0', kind: 'ilo' }), 'ilo')
    assert.equal(user({ xname: 'x3000m0' }), 'pdu')
    assert.equal(user({ xname: 'x1000c0b0' }), 'rest')
  })

  it('goes to each device of a group with what the group has', async () => {
    const replyFor =
      (login: string): Reply =>
      (request) =>
        basicLogin(request) === login ? { status: 200, body: {} } : { status: 401 }
    const [lab, rest] = [await serve(replyFor('lab:one')), await serve(replyFor('root:two'))]
    const caFile = join(directory, 'lab.pem')
    await writeFile(caFile, lab.certificate)
    const devices = join(directory, 'devices.json')
    await writeFile(
      devices,
      JSON.stringify([
        { xname: 'x3000m0', url: lab.url, group: 'lab', kind: 'jaws' },
        { xname: 'x3000m1', url: rest.url, kind: 'jaws' },
      ]),
    )
    const exporter = await startTestExporter({
      devices: [],
      env: { LAB: 'one', REST: 'two' },
      settings: {
        discovery: { file: { path: devices } },
        credentials: [
          { group: 'lab', username: 'lab', password: { env: 'LAB' }, caFile },
          { username: 'root', password: { env: 'REST' }, insecureSkipVerify: true },
        ],
      },
    })
    closing.push(exporter)
    await exporter.scrapeUntil(
      (all) =>
        samplesOf(all, 'cray_device_up').length === 2 &&
        samplesOf(all, 'cray_device_up').every(({ value }) => value === 1),
    )
    assert.deepEqual([...new Set(lab.seen.map(basicLogin))], ['lab:one'])
    assert.deepEqual([...new Set(rest.seen.map(basicLogin))], ['root:two'])
  })

  it('follows a changed file without a refusal', async () => {
    const server = await serve(() => ({ status: 200, body: {} }))
    const file = join(directory, 'password')
    await writeFile(file, 'yesterday\n')
    const { client, clock } = await connect(server, { password: { file } })
    await client.get('/redfish/v1')
    await writeFile(file, 'today\n')
    clock.now += 6000
    await client.get('/redfish/v1')
    await rm(file)
    clock.now += 6000
    await client.get('/redfish/v1')
    const logins = server.seen.map(basicLogin)
    assert.deepEqual([...new Set(logins)], ['root:yesterday', 'root:today'])
    assert.deepEqual([logins[0], logins[1]], ['root:yesterday', 'root:today'])
  })

  it('is tried once more with what the secret is now when it is refused', async () => {
    const server = await serve((request) => ({
      status: basicLogin(request) === 'root:today' ? 200 : 401,
      body: {},
    }))
    const { client, env } = await connect(server)
    assert.match(await outcome(client), /HTTP 401/)
    env.PASSWORD = 'today'
    assert.equal(await outcome(client), 'answered')
    assert.deepEqual(server.seen.map(basicLogin), ['root:initial0', 'root:initial0', 'root:today'])
    assert.equal(client.state().loginRefused, false)
  })

  it('is not sent empty', async () => {
    const server = await serve(() => ({ status: 200, body: {} }))
    const file = join(directory, 'password')
    await writeFile(file, '\n')
    const { client } = await connect(server, { password: { file } })
    assert.match(await outcome(client), /no password: the secret in file .*password is empty/)
    assert.deepEqual(server.seen, [])
  })

  for (const login of ['basic', 'session'] as const) {
    it(`is tried ever more seldom while it is refused, ${login}`, async () => {
      const server = await serve(() => ({ status: 401, headers: { 'OData-Version': '4.0' } }))
      const { client, clock } = await connect(server, { login })
      const tries: number[] = []
      for (; clock.now < 3600_000; clock.now += 10_000) {
        const before = server.seen.length
        await outcome(client)
        if (server.seen.length > before) tries.push(clock.now / 1000)
      }
      assert.deepEqual(tries, [0, 10, 1810])
      assert.equal(server.seen.length, tries.length)
      assert.match(
        await outcome(client),
        /login refused by x1000c0s0b0: the password \(environment variable PASSWORD\) is not sent/,
      )
      assert.equal(client.state().loginRefused, true)
      const pauseMs = Number(client.state().loginPausedUntil) - Date.now()
      assert.ok(Math.abs(pauseMs - 1800_000) < 60_000, `${pauseMs} ms after the last try`)
      clock.now = (1810 + 1800) * 1000
      assert.equal(client.state().loginPausedUntil, undefined)
    })
  }

  it('that is refused is not tried again and again while its file is gone', async () => {
    const server = await serve(() => ({ status: 401 }))
    const file = join(directory, 'password')
    await writeFile(file, 'yesterday\n')
    const { client } = await connect(server, { password: { file } })
    await outcome(client)
    await rm(file)
    for (let count = 0; count < 5; count++) await outcome(client)
    assert.equal(server.seen.length, 2)
  })

  it('is tried at once when the secret changes after refusals', async () => {
    const server = await serve((request) => ({
      status: basicLogin(request) === 'root:today' ? 200 : 401,
      body: {},
    }))
    const { client, clock, env } = await connect(server)
    for (let count = 0; count < 5; count++) await outcome(client)
    assert.equal(server.seen.length, 2)
    env.PASSWORD = 'today'
    clock.now += 6000
    assert.equal(await outcome(client), 'answered')
  })

  it('goes on when one resource alone is refused', async () => {
    const server = await serve(({ path }) => ({ status: path === '/secret' ? 401 : 200, body: {} }))
    const { client } = await connect(server)
    const outcomes: string[] = []
    for (let count = 0; count < 4; count++) {
      await outcome(client, '/secret')
      outcomes.push(await outcome(client))
    }
    assert.deepEqual([...new Set(outcomes)], ['answered'])
  })
})

describe('the certificate of a device', () => {
  const closing: { close(): Promise<void> }[] = []
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-certificates-'))
  })

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
    await rm(directory, { recursive: true })
  })

  async function polled(expiresAt: Date, trust: { caFile?: string; insecureSkipVerify?: boolean }) {
    const server = await serveTls(() => ({ status: 200, body: [] }), { expiresAt })
    closing.push(server)
    const exporter = await startTestExporter({
      devices: [{ xname: 'x3000m0', server }],
      settings: { credentials: [{ username: 'a', password: { env: 'BMC_PASSWORD' }, ...trust }] },
    })
    closing.push(exporter)
    return { server, exporter }
  }

  const expiry = 'cray_device_certificate_expiry_timestamp_seconds'
  const past = new Date('2026-01-02T03:04:05Z')

  for (const [what, expiresAt, trust, up] of [
    ['is not trusted unless the settings say so', new Date('2040-01-01T00:00:00Z'), {}, 0],
    ['has ended and is refused', past, {}, 0],
    ['has ended and is let pass', past, { insecureSkipVerify: true }, 1],
  ] as const) {
    it(`shows when it ends where it ${what}`, async () => {
      const { exporter } = await polled(expiresAt, trust)
      const samples = await exporter.scrapeUntil(
        (all) => samplesOf(all, expiry).length + samplesOf(all, 'cray_device_up').length === 2,
      )
      assert.equal(sampleValue(samples, expiry, { xname: 'x3000m0' }), expiresAt.getTime() / 1000)
      assert.equal(sampleValue(samples, 'cray_device_up', { xname: 'x3000m0' }), up)
    })
  }

  it('is trusted as soon as the CA file has it', async () => {
    const caFile = join(directory, 'ca.pem')
    await writeFile(caFile, '')
    const { server, exporter } = await polled(new Date(Date.now() + day), { caFile })
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up')[0]?.value === 0)
    await writeFile(caFile, server.certificate)
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up')[0]?.value === 1)
  })
})
