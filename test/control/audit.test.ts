import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { crayLimits, type LimitDevice, startLimitDevice } from '../support/limit-device.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'

const node = 'x1000c0s0b0n0'

describe('the audit of power control', () => {
  let device: LimitDevice
  let database: TestDatabase
  let control: TestControl

  beforeEach(async () => {
    device = await startLimitDevice(crayLimits())
    database = await cloneDatabase()
    const users = [
      { name: 'alice', token: { env: 'ALICE' }, certificate: undefined, rights: ['cap' as const] },
    ]
    control = await startTestControl({
      databaseUrl: database.url,
      devices: [{ xname: 'x1000c0s0b0', server: device }],
      settings: { users, capSettleSeconds: 0.1 },
      env: { ALICE: 'a' },
    })
  })

  afterEach(async () => {
    await control.close()
    await device.close()
  })

  const asAlice = {
    authorization: 'Bearer a',
    'x-request-id': '11111111-2222-4333-8444-555555555555',
  }
  const limit = { xname: node, controls: [{ name: 'Node Power Limit', value: 900 }] }
  const rows = async (query = '') =>
    (await control.call('GET', `/audit${query}`)).body.audit.toReversed()

  it('tells who set a limit, when, from where and why, what was sent, both states', async () => {
    const body = { components: [limit], reason: 'the feed is short' }
    const { headers, ...reply } = await control.call('PATCH', '/power-cap', body, asAlice)
    assert.equal(headers.get('x-request-id'), asAlice['x-request-id'])
    const { taskID } = reply.body
    const told = await until(
      async () => {
        const found = await rows(`?id=${taskID}`)
        return found.length === 3 ? found : undefined
      },
      10,
      () => 'the audit is not whole',
    )
    const [accepted, sent, ended] = told
    assert.deepEqual(
      [accepted.event, accepted.user, accepted.address, accepted.reason, accepted.requestID],
      ['accepted', 'alice', '127.0.0.1', 'the feed is short', asAlice['x-request-id']],
    )
    assert.equal(sent.event, 'sent')
    assert.match(sent.sent, /^PATCH \/redfish\/v1\/Chassis\/Node0\/Controls\.Deep \{"Members"/)
    assert.match(sent.before, /^Node Power Limit none, /)
    assert.match(ended.before, /^Node Power Limit none, /)
    assert.match(ended.after, /^Node Power Limit 900 W, /)
    assert.deepEqual([ended.event, ended.outcome, ended.xname], ['ended', 'succeeded', node])
    assert.ok(!JSON.stringify(told).includes('initial0'), 'a login is never told')
  })

  it('tells of a transition, of its abort, and of what was refused', async () => {
    const location = [{ xname: 'x9999c0s0b0n0' }]
    const body = { operation: 'on', location, reason: 'a try' }
    const { transitionID } = (await control.call('POST', '/transitions', body)).body
    assert.equal((await control.call('POST', '/transitions', body, asAlice)).status, 403)
    assert.equal((await control.call('POST', '/transitions', { operation: 'up' })).status, 400)
    const told = await rows()
    const ours = told.filter(({ user }: { user?: string }) => user !== undefined)
    assert.deepEqual(
      ours.map(({ event, user, outcome }: Record<string, string>) => [event, user, outcome]),
      [
        ['requested', 'token', undefined],
        ['accepted', 'token', 'stored'],
        ['refused', 'alice', 'HTTP 403: alice lacks the right soft'],
        [
          'refused',
          'token',
          'HTTP 400: operation: "up" is no operation; there are On, Off, Soft-Off, Soft-Restart, ' +
            'Hard-Restart, Init, Force-Off',
        ],
      ],
    )
    assert.deepEqual([ours[0].reason, ours[0].detail], ['a try', { components: ['x9999c0s0b0n0'] }])
    assert.equal(ours[1].workID, transitionID)
  })

  it('is read in pages, and by component, user and time', async () => {
    for (const value of [800, 850, 900]) {
      const components = [{ xname: node, controls: [{ name: 'Node Power Limit', value }] }]
      await control.call('PATCH', '/power-cap', { components }, asAlice)
    }
    const first = (await control.call('GET', '/audit?user=alice&limit=2')).body
    const second = await control.call('GET', `/audit?user=alice&limit=2&cursor=${first.nextCursor}`)
    const ids = [...first.audit, ...second.body.audit].map(({ auditID }) => Number(auditID))
    assert.equal(ids.length, 3)
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => b - a),
    )
    assert.deepEqual(await rows('?user=bob'), [])
    assert.deepEqual(await rows(`?to=${new Date(0).toISOString()}`), [])
    assert.equal((await control.call('GET', '/audit?from=yesterday')).status, 400)
  })

  it('can be added to, but neither changed nor emptied, not even by its owner', async () => {
    await control.call('POST', '/transitions', { operation: 'on' })
    const refused = ["update audit set user_name = 'bob'", 'delete from audit', 'truncate audit']
    for (const statement of refused) {
      await assert.rejects(
        database.pool.query(statement),
        /audit: (update|delete|truncate) is refused/,
      )
    }
    assert.equal((await rows()).length, 2)
  })
})
