import assert from 'node:assert/strict'
import { credentialSettings } from '../../exporter/inventory/static.ts'
import { Accounts } from '../../exporter/redfish/account.ts'
import { createClient, type RedfishClient } from '../../exporter/redfish/client.ts'
import { createLog, errorText } from '../../exporter/service/log.ts'
import { samplesOf, startTestExporter } from '../support/exporter.ts'
import { basicLogin, type SeenRequest, serveTls, type TlsServer } from '../support/tls-server.ts'

const right = 'root:correct'

/** Devices behind one server, each by a prefix of its own, `/x3000m0`. */
async function serveDevices(
  reply: (xname: string, path: string, request: SeenRequest) => ReplyOf,
): Promise<TlsServer> {
  return await serveTls((request) => {
    const [, xname = '', ...path] = request.path.split('/')
    return reply(xname, `/${path.join('/')}`, request)
  })
}

type ReplyOf = ReturnType<Parameters<typeof serveTls>[0]>

/** The accounts of a site in one place: after three wrong passwords nobody gets in. */
class Directory {
  password = right
  wrong = 0
  readonly askedBy = new Set<string>()

  admits(xname: string, login: string | undefined): boolean {
    if (login !== undefined && login !== this.password) {
      this.wrong++
      this.askedBy.add(xname)
    }
    return login === this.password && this.wrong < 3
  }
}

const xnames = Array.from({ length: 50 }, (_, n) => `x${3000 + n}m0`)

describe('a login that many devices share', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })

  async function exporting(server: TlsServer, login: 'basic' | 'session', value: string) {
    closing.push(server)
    const lines: string[] = []
    const log = createLog(
      'exporter',
      { level: 'info', format: 'json' },
      {
        write: (line: string) => void lines.push(line),
      },
    )
    const password = { env: 'BMC_PASSWORD' }
    const exporter = await startTestExporter({
      devices: xnames.map((xname) => ({
        xname,
        server: { url: `${server.url}/${xname}`, certificate: '' },
      })),
      env: { BMC_PASSWORD: value },
      settings: { credentials: [{ username: 'root', password, login, insecureSkipVerify: true }] },
      log,
    })
    closing.push(exporter)
    const count = async (metric: string, value: number, wanted: number) =>
      await exporter.scrapeUntil(
        (all) => samplesOf(all, metric).filter((each) => each.value === value).length === wanted,
      )
    return { exporter, lines, count }
  }

  it('is tried by two of them alone when the password is wrong', async () => {
    const directory = new Directory()
    const server = await serveDevices((xname, _, request) =>
      directory.admits(xname, basicLogin(request)) ? { status: 200, body: [] } : { status: 401 },
    )
    const { exporter, lines, count } = await exporting(server, 'basic', 'wrong')
    await count('cray_device_login_refused', 1, xnames.length)
    await count('cray_device_up', 0, xnames.length)
    const [refused] = samplesOf(await exporter.scrape(), 'joulebridge_login_refused')
    assert.deepEqual(refused, {
      name: 'joulebridge_login_refused',
      labels: { username: 'root', password_from: 'environment variable BMC_PASSWORD' },
      value: 1,
    })
    assert.equal(directory.wrong, 2)
    assert.equal(directory.askedBy.size, 2)
    const verdicts = lines.filter((line) => line.includes('password refused, no device'))
    assert.equal(verdicts.length, 1)
    assert.match(verdicts[0] ?? '', /"password_from":"environment variable BMC_PASSWORD"/)
    assert.doesNotMatch(lines.join(''), /:wrong|"wrong"/)
  })

  it('is tried twice when it was changed elsewhere and the sessions have ended', async () => {
    const directory = new Directory()
    const tokens = new Set<string>()
    const server = await serveDevices((xname, path, { method, headers, body }) => {
      if (method !== 'POST') {
        const token = String(headers['x-auth-token'])
        return { status: tokens.has(token) ? 200 : 401, body: [] }
      }
      const { UserName, Password } = Object(body)
      if (!directory.admits(xname, `${UserName}:${Password}`)) {
        return { status: 401, headers: { 'OData-Version': '4.0' } }
      }
      const token = `${xname} ${tokens.size}`
      tokens.add(token)
      return { status: 201, headers: { 'X-Auth-Token': token, Location: `${path}/1` } }
    })
    const { exporter, count } = await exporting(server, 'session', 'correct')
    await count('cray_device_up', 1, xnames.length)
    const upAt = Date.now() / 1000
    await exporter.scrapeUntil((all) =>
      samplesOf(all, 'cray_device_last_success_timestamp_seconds').every(
        ({ value }) => value > upAt,
      ),
    )
    directory.password = 'root:changed'
    tokens.clear()
    await count('cray_device_login_refused', 1, xnames.length)
    assert.equal(directory.wrong, 2)
  })

  it('stops no device for another that has a password of its own', async () => {
    const odd = new Set(xnames.filter((_, n) => n % 5 === 4))
    const wrong = new Map<string, number>()
    const server = await serveDevices((xname, _, request) => {
      const own = odd.has(xname) ? 'root:its own' : right
      const login = basicLogin(request)
      if (login === own) return { status: 200, body: [] }
      if (login !== undefined) wrong.set(xname, (wrong.get(xname) ?? 0) + 1)
      return { status: 401 }
    })
    const { count } = await exporting(server, 'basic', 'correct')
    await count('cray_device_up', 1, xnames.length - odd.size)
    await count('cray_device_login_refused', 1, odd.size)
    await count('cray_device_login_pause_until_timestamp_seconds', Number.NaN, 0)
    assert.ok([...wrong].every(([xname, tries]) => odd.has(xname) && tries <= 2))
  })

  interface Site {
    clock: { now: number }
    clients: Map<string, RedfishClient>
    server: TlsServer
  }

  /** Clients of some devices, with a clock that stands still. */
  async function site(
    names: readonly string[],
    reply: Parameters<typeof serveDevices>[0],
  ): Promise<Site> {
    const server = await serveDevices(reply)
    closing.push(server)
    const clock = { now: 0 }
    const accounts = new Accounts({ now: () => clock.now })
    const clients = names.map((xname): [string, RedfishClient] => {
      const client = createClient({
        device: { xname, url: `${server.url}/${xname}` },
        credential: credentialSettings.parse({
          username: 'root',
          password: { env: 'PASSWORD' },
          insecureSkipVerify: true,
        }),
        env: { PASSWORD: 'correct' },
        timeoutSeconds: 5,
        now: () => clock.now,
        accounts,
      })
      closing.push(client)
      return [xname, client]
    })
    return { clock, clients: new Map(clients), server }
  }

  const outcome = async ({ clients }: Site, xname: string, path = '/redfish/v1') =>
    await clients
      .get(xname)
      ?.get(path)
      .then(
        () => 'answered',
        (error: unknown) => errorText(error),
      )

  it('is tried by a third after half an hour, should the first two be the wrong ones', async () => {
    const two = ['x1000c0s0b0', 'x1001c0s0b0']
    const one = await site([...two, 'x1002c0s0b0'], (xname) =>
      two.includes(xname) ? { status: 401 } : { status: 200, body: {} },
    )
    for (const xname of two) assert.match((await outcome(one, xname)) ?? '', /HTTP 401/)
    assert.match((await outcome(one, 'x1002c0s0b0')) ?? '', /refused by x1000c0s0b0, x1001c0s0b0/)
    one.clock.now = 1800_000
    assert.equal(await outcome(one, 'x1002c0s0b0'), 'answered')
    const logins = () => one.server.seen.filter((each) => basicLogin(each) !== undefined).length
    const asked = logins()
    assert.match((await outcome(one, 'x1000c0s0b0')) ?? '', /HTTP 401/)
    assert.match((await outcome(one, 'x1000c0s0b0')) ?? '', /refused 2 times, .* for 300 s/)
    assert.equal(logins(), asked + 1)
    assert.equal(await outcome(one, 'x1002c0s0b0'), 'answered')
  })

  it('is not taken for wrong when all of them refuse the same resource', async () => {
    const names = Array.from({ length: 8 }, (_, n) => `x${1000 + n}c0s0b0`)
    const one = await site(names, (_, path) =>
      path === '/secret' ? { status: 401 } : { status: 200, body: {} },
    )
    for (const xname of names) assert.equal(await outcome(one, xname), 'answered')
    for (let round = 0; round < 4; round++) {
      const secrets = await Promise.all(names.map((xname) => outcome(one, xname, '/secret')))
      assert.ok(secrets.every((each) => each !== 'answered'))
      const others = await Promise.all(names.map((xname) => outcome(one, xname, '/other')))
      assert.deepEqual([...new Set(others)], ['answered'])
    }
  })

  it('is asked of a device in another cabinet when one refuses what it has accepted', async () => {
    const names = ['x1000c0s0b0', 'x1000c0s1b0', 'x1001c0s0b0', 'x1000c0s2b0']
    let wrong: readonly string[] = []
    const one = await site(names, (xname) =>
      wrong.includes(xname) ? { status: 401 } : { status: 200, body: {} },
    )
    for (const xname of names) assert.equal(await outcome(one, xname), 'answered')
    // A whole cabinet starts up.
    wrong = names.filter((xname) => xname.startsWith('x1000'))
    assert.match((await outcome(one, 'x1000c0s0b0')) ?? '', /HTTP 401/)
    const waiting = outcome(one, 'x1000c0s1b0')
    assert.equal(await outcome(one, 'x1001c0s0b0'), 'answered')
    assert.match((await waiting) ?? '', /HTTP 401/)
    wrong = []
    one.clock.now += 5000
    assert.equal(await outcome(one, 'x1000c0s2b0'), 'answered')
    assert.equal(await outcome(one, 'x1000c0s0b0'), 'answered')
  })
})
