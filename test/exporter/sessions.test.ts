import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentialSettings } from '../../exporter/inventory/static.ts'
import { createClient, type RedfishClient } from '../../exporter/redfish/client.ts'
import { listAt } from '../../exporter/redfish/parse.ts'
import {
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { simulatorLogin, startTestSimulator, type TestSimulator } from '../support/simulator.ts'
import { basicLogin, type Reply, serveTls, type TlsServer } from '../support/tls-server.ts'

const sessions = '/redfish/v1/SessionService/Sessions'

describe('an exporter that opens sessions on a simulated device', () => {
  let simulator: TestSimulator
  let exporter: TestExporter | undefined

  beforeEach(async () => {
    simulator = await startTestSimulator()
  })

  afterEach(async () => {
    await exporter?.close()
    exporter = undefined
    await simulator.end()
  })

  async function polling(xname: string, password = simulatorLogin.password): Promise<TestExporter> {
    const caFile = join(simulator.directory, 'simulator-ca.pem')
    const { username } = simulatorLogin
    const credential = { username, password: { env: 'BMC_PASSWORD' }, caFile, login: 'session' }
    exporter = await startTestExporter({
      devices: [{ xname, server: { url: simulator.deviceUrl(xname), certificate: '' } }],
      password,
      poll: { slowSeconds: 60 },
      settings: { credentials: [credentialSettings.parse(credential)] },
    })
    return exporter
  }

  const open = async (xname: string) =>
    listAt((await simulator.ask(xname, sessions)).body, 'Members')
  const requests = (xname: string) => async (all: number) =>
    await exporter?.scrapeUntil(
      (found) => sampleValueOf(found, 'cray_device_requests_total', xname) > all,
    )

  it('needs one for all its polls, and ends it when it stops', async () => {
    const running = await polling('x1000c0s0b0')
    await requests('x1000c0s0b0')(150)
    const samples = await running.scrape()
    assert.equal(sampleValue(samples, 'cray_device_up', { xname: 'x1000c0s0b0' }), 1)
    assert.equal(sampleValue(samples, 'cray_device_sessions_total', {}), 1)
    assert.equal((await open('x1000c0s0b0')).length, 1)
    await running.close()
    exporter = undefined
    assert.deepEqual(await open('x1000c0s0b0'), [])
  })

  it('opens another when the device has ended it', async () => {
    const running = await polling('x1000c0s0b0')
    await running.scrapeUntil((all) => sampleValueOf(all, 'cray_device_up', 'x1000c0s0b0') === 1)
    simulator.moveSeconds(31)
    const samples = await running.scrapeUntil(
      (all) => sampleValueOf(all, 'cray_device_sessions_total', 'x1000c0s0b0') === 2,
    )
    assert.equal(sampleValue(samples, 'cray_device_up', { xname: 'x1000c0s0b0' }), 1)
    const labels = { xname: 'x1000c0s0b0', reason: 'unauthorized' }
    assert.equal(sampleValue(samples, 'cray_device_errors_total', labels), 0)
  })

  it('asks an iPDU without sessions by Basic authentication', async () => {
    const running = await polling('x3000m0')
    const samples = await running.scrapeUntil(
      (all) => sampleValueOf(all, 'cray_device_up', 'x3000m0') === 1,
    )
    assert.equal(sampleValue(samples, 'cray_device_sessions_total', {}), 0)
    assert.equal(samplesOf(samples, 'cray_pdu_outlet_energy_joules_total').length, 12)
  })

  it('shows a password that the device refuses', async () => {
    const running = await polling('x1000c0s0b0', 'wrong')
    const samples = await running.scrapeUntil(
      (all) => sampleValueOf(all, 'cray_device_login_refused', 'x1000c0s0b0') === 1,
    )
    assert.equal(sampleValue(samples, 'cray_device_up', { xname: 'x1000c0s0b0' }), 0)
  })
})

describe('a session', () => {
  const closing: { close(): Promise<void> }[] = []
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-sessions-'))
  })

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
    await rm(directory, { recursive: true })
  })

  async function connected(reply: Reply): Promise<{ server: TlsServer; client: RedfishClient }> {
    const server = await serveTls(reply)
    closing.push(server)
    const caFile = join(directory, 'ca.pem')
    await writeFile(caFile, server.certificate)
    const client = createClient({
      device: { xname: 'x1000c0s0b0', url: server.url },
      credential: credentialSettings.parse({
        username: 'root',
        password: { env: 'PASSWORD' },
        caFile,
        login: 'session',
      }),
      env: { PASSWORD: 'initial0' },
      timeoutSeconds: 5,
    })
    closing.push(client)
    return { server, client }
  }

  const posts = ({ seen }: TlsServer) => seen.filter(({ method }) => method === 'POST')
  const made = { status: 201, headers: { 'X-Auth-Token': 'secret', Location: `${sessions}/1` } }

  it('is opened once for requests that come together', async () => {
    const { server, client } = await connected(({ method }) =>
      method === 'POST' ? made : { status: 200, body: {} },
    )
    client.allow(8)
    await Promise.all(Array.from({ length: 8 }, (_, index) => client.get(`/redfish/v1/${index}`)))
    assert.deepEqual(
      posts(server).map(({ path, body }) => ({ path, body })),
      [{ path: sessions, body: { UserName: 'root', Password: 'initial0' } }],
    )
    const asked = server.seen.filter(({ method }) => method === 'GET')
    assert.ok(asked.every(({ headers }) => headers['x-auth-token'] === 'secret'))
    assert.ok(asked.every(({ headers }) => headers.authorization === undefined))
  })

  it('is ended at the place that the device gave, a whole URL too', async () => {
    const place = 'https://elsewhere.example.org/redfish/v1/SessionService/Sessions/abc'
    const { server, client } = await connected(({ method }) =>
      method === 'POST'
        ? { ...made, headers: { 'X-Auth-Token': 'secret', Location: place } }
        : { status: 200, body: {} },
    )
    await client.get('/redfish/v1')
    await client.close()
    const last = server.seen.at(-1)
    assert.deepEqual([last?.method, last?.path], ['DELETE', `${sessions}/abc`])
    assert.equal(last?.headers['x-auth-token'], 'secret')
  })

  it('that is still being opened when all ends is ended too', async () => {
    let closed: Promise<void> | undefined
    const { server, client } = await connected(({ method }) => {
      if (method === 'POST') closed = client.close()
      return method === 'POST' ? made : { status: 204 }
    })
    await assert.rejects(client.get('/redfish/v1'))
    await closed
    const last = server.seen.at(-1)
    assert.equal(posts(server).length, 1)
    assert.deepEqual([last?.method, last?.path], ['DELETE', `${sessions}/1`])
    await assert.rejects(client.get('/redfish/v1'))
    assert.equal(posts(server).length, 1)
  })

  for (const [what, reply] of [
    ['has no such service', { status: 404 }],
    ['has no room for another', { status: 503 }],
    ['gives no token', { status: 201 }],
  ] as const) {
    it(`gives way to Basic authentication where the device ${what}`, async () => {
      const { server, client } = await connected(({ method }) =>
        method === 'POST' ? reply : { status: 200, body: { up: true } },
      )
      assert.deepEqual(await client.get('/redfish/v1'), { up: true })
      assert.deepEqual(await client.get('/redfish/v1'), { up: true })
      assert.equal(posts(server).length, 1)
      assert.deepEqual(server.seen.slice(1).map(basicLogin), ['root:initial0', 'root:initial0'])
    })
  }

  it('that the device does not honour gives way to Basic authentication', async () => {
    const { client } = await connected((request) => {
      if (request.method === 'POST') return made
      return basicLogin(request) ? { status: 200, body: { up: true } } : { status: 401 }
    })
    await assert.rejects(client.get('/redfish/v1'), { kind: 'unauthorized' })
    assert.deepEqual(await client.get('/redfish/v1'), { up: true })
  })
})

function sampleValueOf(
  samples: Awaited<ReturnType<TestExporter['scrape']>>,
  name: string,
  xname: string,
): number {
  return samplesOf(samples, name, { xname })[0]?.value ?? Number.NaN
}
