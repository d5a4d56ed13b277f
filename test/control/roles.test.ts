import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { Agent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { generate } from 'selfsigned'
import { startControl } from '../../control/main.ts'
import { controlSection } from '../../control/settings.ts'
import { createLog } from '../../exporter/service/log.ts'
import { until } from '../support/command.ts'
import { controlSettings, startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

const node = 'x1000c0s0b0n0'
const other = 'x1000c0s0b0n1'

describe('power control', () => {
  let device: PowerDevice
  let database: TestDatabase
  let control: TestControl

  beforeEach(async () => {
    device = await startPowerDevice({ Node0: {}, Node1: {} })
    database = await cloneDatabase()
  })

  afterEach(async () => {
    await control.close()
    await device.close()
  })

  async function start(settings: object, env: NodeJS.ProcessEnv = {}) {
    const devices = [{ xname: 'x1000c0s0b0', server: device }]
    // As a file has them: with their defaults.
    const parsed = controlSection.parse(settings)
    const given = Object.fromEntries(
      Object.keys(settings).map((key) => [key, parsed[key as keyof typeof parsed]]),
    )
    control = await startTestControl({ databaseUrl: database.url, devices, settings: given, env })
  }

  const post = (body: object, headers: object = {}) =>
    control.call('POST', '/transitions', body, headers)
  const on = (...xnames: string[]) => ({ location: xnames.map((xname) => ({ xname })) })

  it('lets each user do what the rights say, and names the one that is missing', async () => {
    const users = ['read', 'cap', 'soft', 'force', 'audit'].map((right) => ({
      name: `user of ${right}`,
      token: { env: `TOKEN_${right}` },
      rights: [right],
    }))
    const env = Object.fromEntries(users.map(({ rights }) => [`TOKEN_${rights}`, `t-${rights}`]))
    await start({ users }, env)
    const cap = { components: [{ xname: node, controls: [] }] }
    const requests = [
      ['read', 'GET', '/transitions', undefined],
      ['read', 'GET', '/power-status', undefined],
      ['read', 'POST', '/power-status', { xname: [node] }],
      ['read', 'POST', '/power-cap/snapshot', { xnames: ['x9999c0s0b0n0'] }],
      ['read', 'GET', '/power-cap', undefined],
      ['cap', 'PATCH', '/power-cap', cap],
      ['soft', 'POST', '/transitions', { operation: 'on', ...on() }],
      ['soft', 'POST', '/transitions', { operation: 'Soft-Off', ...on() }],
      ['audit', 'GET', '/audit', undefined],
    ] as const
    for (const [right, method, path, body] of requests) {
      for (const has of ['read', 'cap', 'soft', 'force', 'audit']) {
        const reply = await control.call(method, path, body, { authorization: `Bearer t-${has}` })
        const what = `${has}: ${method} ${path}`
        if (has === right) assert.ok(reply.status < 300, `${what}: ${reply.status}`)
        else {
          assert.equal(reply.status, 403, what)
          assert.equal(reply.body.detail, `user of ${has} lacks the right ${right}`)
        }
      }
    }
    for (const operation of ['Off', 'Force-Off', 'Soft-Restart', 'Hard-Restart', 'Init']) {
      const reply = await post({ operation, ...on(node) }, { authorization: 'Bearer t-soft' })
      assert.equal(reply.body.detail, 'user of soft lacks the right force', operation)
    }
    assert.deepEqual(device.resets, [])
  })

  it('does not touch what is protected, nor what feeds it, unless it is told to', async () => {
    const users = [
      { name: 'operator', token: { env: 'OPERATOR' }, rights: ['soft', 'force', 'read'] },
    ]
    const protect = [{ within: other, why: 'the login node' }]
    await start({ protected: protect, users }, { OPERATOR: 'operator' })
    const record = await control.ended(await control.start('Off', [node, other, 'x1000c0s0b0']))
    const errors = Object.fromEntries(
      record.tasks.map(({ xname, error }: { xname: string; error?: string }) => [xname, error]),
    )
    assert.equal(errors[node], undefined)
    assert.equal(errors[other], `Protected: ${other}, the login node; override reaches it`)
    assert.deepEqual(device.resets, ['Node0 Off'])
    const slot = await post({ operation: 'Off', dryRun: true, ...on('x1000c0s0', 'x1000c0') })
    const reasons = slot.body.plan.map(({ reason }: { reason: string }) => reason)
    assert.deepEqual(reasons, ['Missing xname', 'Missing xname'])
    const body = { operation: 'Off', override: true, ...on(other) }
    const refused = await post(body, { authorization: 'Bearer operator' })
    assert.deepEqual(
      [refused.status, refused.body.detail],
      [403, 'operator lacks the right override'],
    )
    const { transitionID } = (await post(body)).body
    assert.equal((await control.ended(transitionID)).taskCounts.succeeded, 1)
    assert.deepEqual(device.resets, ['Node0 Off', 'Node1 Off'])
  })

  it('protects the management nodes that HSM names, and refuses while it is silent', async () => {
    let answer: object | undefined
    const asked: string[] = []
    const hsm = createServer((request, response) => {
      asked.push(request.url ?? '')
      const isRoles = request.url?.includes('/State/Components')
      response.writeHead(isRoles && !answer ? 503 : 200)
      response.end(JSON.stringify(isRoles ? (answer ?? {}) : { RedfishEndpoints: [] }))
    }).listen(0, '127.0.0.1')
    await once(hsm, 'listening')
    const { port } = hsm.address() as AddressInfo
    try {
      const url = `http://127.0.0.1:${port}`
      await start({ discovery: { hsm: { url, everySeconds: 0.05 } } })
      const early = await post({ operation: 'Off', ...on(other) })
      assert.deepEqual([early.status, early.body.code], [503, 'roles_unknown'])
      answer = { Components: [{ ID: other, Type: 'Node', Role: 'Management' }] }
      const reply = await until(
        async () => {
          const { status, body } = await post({ operation: 'Off', ...on(other), dryRun: true })
          return status === 200 ? body : undefined
        },
        10,
        () => 'the roles are not known',
      )
      assert.match(reply.plan[0].reason, /^Protected: x1000c0s0b0n1, its role is Management/)
      assert.ok(asked.includes('/hsm/v2/State/Components?role=Management'))
    } finally {
      hsm.close()
      hsm.closeAllConnections()
    }
  })

  it('leaves a node on which a job runs on, unless it is told otherwise', async () => {
    await start({})
    await database.pool.query(`
      with run as (
        insert into job (cluster, job_id, started_at, user_name, nodelist, source)
        values ('c', 4711, now() - interval '1 minute', 'alice', 'nid1', 'test') returning id)
      insert into allocation (run, node, xname, started_at)
      select id, 'nid1', '${node}', now() - interval '1 minute' from run`)
    const refused = await control.ended(await control.start('Off', [node, other]))
    assert.deepEqual(
      refused.tasks.map(({ taskStatus, error }: { taskStatus: string; error?: string }) => [
        taskStatus,
        error,
      ]),
      [
        ['failed', `Job 4711 of alice runs on ${node}; allowRunningJobs goes on all the same`],
        ['succeeded', undefined],
      ],
    )
    await control.ended(await control.start('On', [node]))
    assert.deepEqual(device.resets, ['Node1 Off'])
    const body = { operation: 'Off', allowRunningJobs: true, ...on(node) }
    await control.ended((await post(body)).body.transitionID)
    assert.deepEqual(device.resets, ['Node1 Off', 'Node0 Off'])
  })

  it('wants the number of components confirmed above the limit of the site', async () => {
    await start({ confirmAbove: 1 })
    const both = { operation: 'Off', ...on(node, other) }
    const refused = await post(both)
    assert.equal(refused.status, 400)
    assert.equal(refused.body.detail, '2 components, more than 1: send confirm: 2')
    const wrong = await post({ ...both, confirm: 3 })
    assert.equal(wrong.body.detail, 'confirm: 3, but the request reaches 2 components')
    assert.deepEqual(device.resets, [])
    const { transitionID } = (await post({ ...both, confirm: 2 })).body
    assert.equal((await control.ended(transitionID)).taskCounts.succeeded, 2)
    const cap = { components: [node, other].map((xname) => ({ xname, controls: [] })) }
    assert.equal((await control.call('PATCH', '/power-cap', cap)).status, 400)
  })

  it('shows the whole plan in a dry run, and sends and stores nothing', async () => {
    await start({})
    Object.assign(device.nodes['Node1'] ?? {}, { powerState: 'Off' })
    const reply = await post({ operation: 'off', dryrun: true, ...on(node, other, 'FAKE') })
    assert.equal(reply.status, 200)
    const plan = reply.body.plan.map(
      ({ xname, action, reason, method, url, body }: Record<string, unknown>) =>
        action === 'send' ? { xname, action, method, url, body } : { xname, action, reason },
    )
    assert.deepEqual(plan, [
      { xname: 'FAKE', action: 'blocked', reason: 'Invalid xname' },
      {
        xname: node,
        action: 'send',
        method: 'POST',
        url: '/redfish/v1/Systems/Node0/Actions/ComputerSystem.Reset',
        body: { ResetType: 'Off' },
      },
      { xname: other, action: 'skip', reason: 'the device reports Off' },
    ])
    assert.deepEqual(device.resets, [])
    assert.deepEqual((await control.call('GET', '/transitions')).body, { transitions: [] })
  })

  it('refuses unknown fields where the site is strict, and ignores them as PCS else', async () => {
    await start({ strict: true })
    const reply = await post({ operation: 'On', when: 'now', ...on() })
    assert.deepEqual([reply.status, reply.body.detail], [400, 'when: unknown field'])
    await control.close()
    await start({})
    assert.equal((await post({ operation: 'On', when: 'now', ...on() })).status, 202)
  })

  it('answers 429, with the time to wait, to who asks too often, and to nobody else', async () => {
    const users = [{ name: 'eager', token: { env: 'EAGER' }, rights: ['read'] }]
    await start({ users, requestsPerMinute: 2 }, { EAGER: 'e' })
    const statuses: number[] = []
    for (let count = 0; count < 3; count++) {
      const reply = await control.call('GET', '/power-cap', undefined, {
        authorization: 'Bearer e',
      })
      statuses.push(reply.status)
      if (reply.status === 429) assert.match(reply.headers.get('retry-after') ?? '', /^(29|30)$/)
    }
    assert.deepEqual(statuses, [200, 200, 429])
    assert.equal((await control.call('GET', '/power-cap')).status, 200)
  })

  it('shuts out nobody but its owner with a token that cannot be read', async () => {
    const users = [{ name: 'lost', token: { file: '/nowhere/token' }, rights: ['read'] }]
    await start({ users })
    assert.equal((await control.call('GET', '/power-cap')).status, 200)
    const unknown = await control.call('GET', '/power-cap', undefined, {
      authorization: 'Bearer x',
    })
    assert.deepEqual([unknown.status, unknown.body.code], [503, 'token_unreadable'])
  })

  it('lists transitions by status, component and time, in pages', async () => {
    await start({})
    const ids: string[] = []
    for (const xname of [node, other, 'FAKE']) ids.push(await control.start('On', [xname]))
    for (const id of ids) await control.ended(id)
    const list = async (query: string) => {
      const { body } = await control.call('GET', `/transitions?${query}`)
      const found = body.transitions.map(
        ({ transitionID }: { transitionID: string }) => transitionID,
      )
      return { found, next: body.nextCursor }
    }
    const newestFirst = ids.toReversed()
    assert.deepEqual((await list('')).found, newestFirst)
    assert.deepEqual((await list(`xname=${node}`)).found, [ids[0]])
    assert.deepEqual((await list('status=aborted')).found, [])
    assert.deepEqual((await list('status=completed&limit=20000')).found, newestFirst)
    assert.deepEqual((await list(`to=${new Date(0).toISOString()}`)).found, [])
    const first = await list('limit=2')
    const second = await list(`limit=2&cursor=${first.next}`)
    assert.deepEqual([...first.found, ...second.found], newestFirst)
    assert.equal(second.next, undefined)
    for (const query of ['limit=0', 'status=open', 'cursor=x', 'from=noon']) {
      assert.equal((await control.call('GET', `/transitions?${query}`)).status, 400, query)
    }
  })

  it('is also where the base path says', async () => {
    await start({ basePath: '/apis/power-control/v1' })
    for (const base of ['', '/v1', '/apis/power-control', '/apis/power-control/v1']) {
      const reply = await control.call('POST', `${base}/transitions`, { operation: 'On' })
      const { transitionID } = reply.body
      assert.equal(reply.headers.get('location'), `${base}/transitions/${transitionID}`)
      assert.equal((await control.call('GET', reply.headers.get('location') ?? '')).status, 200)
      assert.equal((await control.call('GET', `${base}/liveness`)).status, 204)
    }
  })
})

describe('power control with TLS', () => {
  it('knows users by certificates of the site, and takes a new one of its own', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-tls-'))
    const name = (commonName: string) => [{ name: 'commonName', value: commonName }]
    const altNames = [{ type: 7 as const, ip: '127.0.0.1' }]
    const server = await generate(name('127.0.0.1'), {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [{ name: 'subjectAltName', altNames }],
    })
    const authority = await generate(name('site'), {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true },
        { name: 'keyUsage', keyCertSign: true },
      ],
    })
    const signed = async (commonName: string) =>
      await generate(name(commonName), {
        keyType: 'ec',
        algorithm: 'sha256',
        ca: { key: authority.private, cert: authority.cert },
      })
    const [known, unknown, stranger] = [
      await signed('scheduler'),
      await signed('nobody'),
      await generate(name('scheduler'), { keyType: 'ec', algorithm: 'sha256' }),
    ]
    const file = (each: string) => join(directory, each)
    await writeFile(file('cert.pem'), server.cert)
    await writeFile(file('key.pem'), server.private)
    await writeFile(file('ca.pem'), authority.cert)
    const { tls, users } = controlSection.parse({
      tls: {
        listenAddress: '127.0.0.1:0',
        certFile: file('cert.pem'),
        keyFile: file('key.pem'),
        clientCaFile: file('ca.pem'),
        reloadSeconds: 0.05,
      },
      users: [{ name: 'slurm', certificate: 'scheduler', rights: ['read'] }],
    })
    const databaseUrl = (await cloneDatabase()).url
    const given = { databaseUrl, devices: [], settings: { tls, users } }
    const { settings, env, remove } = await controlSettings(given)
    const service = await startControl(settings, { log: createLog('control', settings.log), env })
    let trusted = server.cert
    const status = async (
      client?: { cert: string; private: string },
      method = 'GET',
      headers = {},
    ) => {
      const login = client && { cert: client.cert, key: client.private }
      const agent = new Agent({ ca: trusted, ...login })
      const url = `${service.tlsUrl}/transitions`
      const body = method === 'POST' ? '{"operation":"On"}' : null
      const reply = await fetch(url, { agent, method, body, headers })
      await reply.text()
      agent.destroy()
      return reply.status
    }
    try {
      assert.equal(await status(known), 200)
      assert.equal(await status(known, 'POST'), 403)
      const sites = ['same-origin', 'cross-site', 'same-site']
      const asked = sites.map((site) => status(known, 'GET', { 'sec-fetch-site': site }))
      assert.deepEqual(await Promise.all(asked), [200, 403, 403])
      assert.deepEqual(
        [await status(), await status(unknown), await status(stranger)],
        [401, 401, 401],
      )
      const renewed = await generate(name('127.0.0.1'), {
        keyType: 'ec',
        algorithm: 'sha256',
        extensions: [{ name: 'subjectAltName', altNames }],
      })
      await writeFile(file('cert.pem'), renewed.cert)
      await writeFile(file('key.pem'), renewed.private)
      trusted = renewed.cert
      const again = await until(() => status(known).catch(() => undefined), 10)
      assert.equal(again, 200)
    } finally {
      await service.close()
      await remove()
      await rm(directory, { recursive: true, force: true })
    }
  })
})
