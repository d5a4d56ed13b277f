import assert from 'node:assert/strict'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

describe('the power status', () => {
  let cray: PowerDevice
  let gigabyte: PowerDevice
  let control: TestControl

  before(async () => {
    cray = await startPowerDevice({ Node1: { powerState: 'PoweringOn' }, Node0: {} })
    gigabyte = await startPowerDevice({
      Self: { powerState: 'Off', allowed: ['GracefulShutdown', 'ForceRestart', 'ForceOff', 'On'] },
    })
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0s0b0', server: cray },
        { xname: 'x3000c0s2b0', server: gigabyte },
        { xname: 'x3000m0', server: gigabyte },
      ],
      settings: { statusSeconds: 0.5 },
    })
  })

  beforeEach(() => {
    cray.mute = false
  })

  after(async () => {
    await control.close()
    await Promise.all([cray.close(), gigabyte.close()])
  })

  interface Status {
    xname: string
    powerState: string
    managementState: string
    error: string
    supportedPowerTransitions: string[]
    lastUpdated: string
    observedAt: string
    changedAt: string
  }
  const get = async (query: string): Promise<Status[]> =>
    (await control.call('GET', `/v1/power-status${query}`)).body.status
  const states = (found: Status[]) => found.map(({ xname, powerState }) => `${xname} ${powerState}`)

  it('lists controllers and their nodes by place, when no name is given', async () => {
    assert.deepEqual(states(await get('')), [
      'x1000c0s0b0 on',
      'x1000c0s0b0n0 on',
      'x1000c0s0b0n1 off',
      'x3000c0s2b0 on',
      'x3000c0s2b0n0 off',
    ])
  })

  it('has the fields of PCS', async () => {
    const [found] = await get('?xname=x1000c0s0b0n0')
    const { lastUpdated = '', observedAt = '', changedAt = '', ...rest } = found ?? {}
    assert.deepEqual(rest, {
      xname: 'x1000c0s0b0n0',
      powerState: 'on',
      managementState: 'available',
      error: '',
      supportedPowerTransitions: [
        'On',
        'Off',
        'Soft-Off',
        'Soft-Restart',
        'Hard-Restart',
        'Init',
        'Force-Off',
      ],
    })
    assert.ok(Math.abs(Date.parse(observedAt) - Date.now()) < 60_000)
    assert.equal(lastUpdated, changedAt)
  })

  it('tells when it was read and since when it has been so', async () => {
    const [first] = await get('?xname=x3000c0s2b0n0')
    const [second] = await get('?xname=x3000c0s2b0n0')
    assert.ok((first?.observedAt ?? '') < (second?.observedAt ?? ''))
    assert.equal(first?.changedAt, second?.changedAt)
    Object.assign(gigabyte.nodes['Self'] ?? {}, { powerState: 'On' })
    const [changed] = await get('?xname=x3000c0s2b0n0')
    assert.equal(changed?.changedAt, changed?.observedAt)
    Object.assign(gigabyte.nodes['Self'] ?? {}, { powerState: 'Off' })
    await get('?xname=x3000c0s2b0n0')
  })

  it('is the same by POST, in the order asked, each name once', async () => {
    const xname = ['x3000c0s2b0n0', 'X1000C0S0B0N0', 'x3000c0s2b0n0']
    const { status, body } = await control.call('POST', '/power-status', { xname })
    assert.equal(status, 200)
    assert.deepEqual(states(body.status), ['x3000c0s2b0n0 off', 'x1000c0s0b0n0 on'])
  })

  it('is what the device says now', async () => {
    Object.assign(gigabyte.nodes['Self'] ?? {}, { powerState: 'On' })
    assert.deepEqual(states(await get('?xname=x3000c0s2b0n0')), ['x3000c0s2b0n0 on'])
    Object.assign(gigabyte.nodes['Self'] ?? {}, { powerState: 'Off' })
    assert.deepEqual(states(await get('?xname=x3000c0s2b0n0')), ['x3000c0s2b0n0 off'])
  })

  it('is undefined and unavailable for a device that is silent, never off', async () => {
    await get('')
    cray.mute = true
    const found = await get('')
    assert.deepEqual(states(found), [
      'x1000c0s0b0 undefined',
      'x1000c0s0b0n0 undefined',
      'x1000c0s0b0n1 undefined',
      'x3000c0s2b0 on',
      'x3000c0s2b0n0 off',
    ])
    assert.equal(found[1]?.managementState, 'unavailable')
    assert.match(found[1]?.error ?? '', /no answer/)
  })

  it('keeps a name that is not known, whatever the filter, and says why', async () => {
    const found = await get('?xname=x9000c0s0b0n0&xname=x1000c0s0b0n9&xname=x0&powerStateFilter=on')
    assert.deepEqual(
      found.map(({ powerState, error, lastUpdated }) => [powerState, error, lastUpdated]),
      [
        ['', 'Component not found in component map.', ''],
        ['', 'Component not found in component map.', ''],
        ['', 'Component can not have power state and managment state data', ''],
      ],
    )
  })

  it('is filtered by power state and management state', async () => {
    const off = await get('?powerStateFilter=OFF')
    assert.deepEqual(states(off), ['x1000c0s0b0n1 off', 'x3000c0s2b0n0 off'])
    assert.deepEqual(await get('?managementStateFilter=unavailable'), [])
  })

  it('is refused with 400 for what is no xname or filter', async () => {
    const bad = await control.call('GET', '/power-status?xname=nonsense')
    assert.equal(bad.status, 400)
    assert.equal(bad.body.detail, 'invalid xnames detected: nonsense')
    assert.equal(bad.body.status, 400)
    for (const filter of ['powerStateFilter', 'managementStateFilter']) {
      const { status, body } = await control.call('GET', `/power-status?${filter}=FAKE`)
      assert.deepEqual([status, body.detail], [400, `invalid ${filter} type: FAKE`])
      const posted = await control.call('POST', '/power-status', { [filter]: 'FAKE' })
      assert.deepEqual([posted.status, posted.body.detail], [400, body.detail])
    }
    assert.equal((await control.call('POST', '/power-status')).status, 400)
  })
})
