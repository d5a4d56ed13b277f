import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl, type TestControlOptions } from '../support/control.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type PowerDevice, refusal, startPowerDevice } from '../support/power-device.ts'

/** What a client may rely on, beyond PCS: each as it is seen over HTTP and by the device. */
describe('a transition that can be trusted', () => {
  let device: PowerDevice
  let database: TestDatabase
  const open: TestControl[] = []
  const node = 'x3000c0s1b0n0'

  beforeEach(async () => {
    device = await startPowerDevice({ '1': {} })
    database = await cloneDatabase()
  })

  afterEach(async () => {
    await Promise.all(open.splice(0).map((control) => control.close()))
    await device.close()
  })

  async function start(more: Partial<TestControlOptions> = {}): Promise<TestControl> {
    const devices = [{ xname: 'x3000c0s1b0', server: device }]
    const control = await startTestControl({ databaseUrl: database.url, devices, ...more })
    open.push(control)
    return control
  }

  const state = (powerState: string, more = {}) =>
    Object.assign(device.nodes['1'] ?? {}, { powerState, ...more })

  it('goes by the state of now, not by one that was seen before', async () => {
    const control = await start()
    const status = async () => (await control.call('GET', `/power-status?xname=${node}`)).body
    assert.equal((await status()).status[0].powerState, 'on')
    state('Off')
    const on = await control.ended(await control.start('On', [node]))
    assert.equal(on.tasks[0].taskStatusDescription, 'Transition confirmed, on')
    state('Off')
    const off = await control.ended(await control.start('Off', [node]))
    assert.equal(off.tasks[0].taskStatusDescription, 'Component already in desired state')
    assert.deepEqual(device.resets, ['1 On'])
  })

  it('fails at its deadline in seconds when a device takes a reset and does nothing', async () => {
    state('Off')
    device.onReset = () => 'ignored'
    const control = await start()
    const more = { deadlineSeconds: { on: 0.5 } }
    const { tasks } = await control.ended(await control.start('On', [node], more))
    assert.equal(tasks[0].state, 'timed-out')
    const seconds = (Date.parse(tasks[0].endTime) - Date.parse(tasks[0].sentTime)) / 1000
    assert.ok(seconds >= 0.4 && seconds < 2, `${seconds} s`)
  })

  it('does not take PoweringOn for on', async () => {
    state('Off')
    device.readsToSettle = 5
    const control = await start()
    const { tasks } = await control.ended(await control.start('On', [node]))
    const seen = tasks[0].steps.map(({ received }: { received: string }) => received.split(';')[0])
    assert.deepEqual(seen.slice(-2), ['PowerState PoweringOn', 'PowerState On'])
  })

  for (const status of [400, 401, 403, 404, 405]) {
    it(`fails at once with what a device says that answers a reset with ${status}`, async () => {
      device.onReset = () => refusal(status, 'Base.1.8.Refused', 'Not by me.')
      const control = await start()
      const { tasks } = await control.ended(await control.start('Off', [node]))
      assert.equal(tasks[0].state, 'failed')
      assert.match(tasks[0].error, new RegExp(`HTTP ${status} Base.1.8.Refused: Not by me.`))
      assert.ok(!device.resets.includes('1 ForceOff'))
    })
  }

  it('waits as long as a busy device asks for, then sends the reset again', async () => {
    const busy = refusal(429, 'Base.1.8.RateLimited', 'Later.')
    const times: number[] = []
    device.onReset = () => {
      times.push(performance.now())
      return times.length === 1 ? { ...busy, headers: { 'retry-after': '1' } } : undefined
    }
    const control = await start()
    assert.equal((await control.ended(await control.start('Off', [node]))).taskCounts.succeeded, 1)
    const [first = 0, second = 0] = times
    assert.ok(second - first >= 1000, `${second - first} ms`)
  })

  it('reads the state before it repeats a reset that was answered with 500', async () => {
    device.onReset = () => {
      state('Off')
      return refusal(500, 'Base.1.8.InternalError', 'Oops.')
    }
    const control = await start()
    const id = await control.start('Off', [node])
    assert.equal((await control.ended(id)).tasks[0].state, 'succeeded')
    assert.deepEqual(device.resets, ['1 GracefulShutdown'])
  })

  it('forces where only On and ForceOff are offered, if that was allowed', async () => {
    state('On', { allowed: ['On', 'ForceOff'] })
    const control = await start()
    const refused = await control.ended(await control.start('Init', [node]))
    assert.equal(refused.taskCounts['un-supported'], 1)
    assert.deepEqual(device.resets, [])
    const forced = await control.ended(await control.start('Init', [node], { allowForce: true }))
    assert.equal(forced.taskCounts.succeeded, 1)
    assert.deepEqual(device.resets, ['1 ForceOff', '1 On'])
    const soft = await control.ended(await control.start('Soft-Off', [node], { allowForce: true }))
    assert.equal(soft.taskCounts['un-supported'], 1)
  })

  it('has seen a restart that it calls confirmed', async () => {
    const control = await start()
    const { tasks } = await control.ended(await control.start('Soft-Restart', [node]))
    assert.deepEqual(device.resets, ['1 GracefulRestart'])
    assert.equal(tasks[0].taskStatusDescription, 'Transition confirmed, gracefulrestart')
    assert.equal(tasks[0].confirmedBy, 'power_state')
  })

  it('knows a restart by the time that the device gives for it', async () => {
    state('On', { more: { LastResetTime: '2026-01-01T00:00:00Z' } })
    device.onReset = () => {
      state('On', { more: { LastResetTime: '2026-03-01T00:00:00Z' } })
      return 'ignored'
    }
    const control = await start()
    const { tasks } = await control.ended(await control.start('Soft-Restart', [node]))
    assert.equal(tasks[0].taskStatusDescription, 'Transition confirmed, gracefulrestart')
  })

  it('says of a restart that showed no sign that it was not seen', async () => {
    device.onReset = () => 'ignored'
    const control = await start()
    const more = { deadlineSeconds: { gracefulrestart: 0.3 } }
    const { tasks } = await control.ended(await control.start('Soft-Restart', [node], more))
    const text = 'Transition applied, gracefulrestart. The restart was not seen.'
    assert.equal(tasks[0].taskStatusDescription, text)
    assert.equal(tasks[0].confirmedBy, undefined)
  })

  it('waits until its record runs out when the deadline is negative', async () => {
    let offset = 0
    device.onReset = () => 'ignored'
    const now = () => new Date(Date.now() + offset)
    const control = await start({ now, settings: { retentionHours: 1 } })
    const id = await control.start('Off', [node], { taskDeadlineMinutes: -1 })
    await until(() => device.resets[0], 15)
    offset = 59 * 60_000
    await until(async () => {
      const { body } = await control.call('GET', `/transitions/${id}`)
      return body.transitionStatus === 'in-progress' || undefined
    }, 15)
    offset = 61 * 60_000
    // The record of an ended transition goes with its time; until then it shows how it ended.
    await until(async () => {
      const { body, status } = await control.call('GET', `/transitions/${id}`)
      return status === 404 || body.tasks[0].state === 'timed-out' || undefined
    }, 15)
    assert.deepEqual(device.resets, ['1 GracefulShutdown'])
  })

  it('succeeds for nine of ten components when one device is dead, and says partial', async () => {
    const others = await Promise.all(Array.from({ length: 9 }, () => startPowerDevice({ '1': {} })))
    device.mute = true
    const places = [device, ...others].map((server, i) => ({ xname: `x3000c0s${i + 1}b0`, server }))
    const control = await start({ devices: places, settings: { timeoutSeconds: 0.5 } })
    const id = await control.start(
      'Off',
      places.map(({ xname }) => `${xname}n0`),
    )
    const { taskCounts, result } = await control.ended(id)
    assert.deepEqual([taskCounts.total, taskCounts.succeeded, taskCounts.failed], [10, 9, 1])
    assert.equal(result, 'partial')
    await Promise.all(others.map((other) => other.close()))
  })

  it('is not delayed by another one that waits for its component', async () => {
    const other = await startPowerDevice({ '1': {} })
    device.onReset = () => 'ignored'
    const places = [device, other].map((server, i) => ({ xname: `x3000c0s${i + 1}b0`, server }))
    const control = await start({ devices: places })
    await control.start('Off', [node])
    await until(() => device.resets[0], 15)
    const record = await control.ended(await control.start('Off', ['x3000c0s2b0n0']))
    assert.equal(record.taskCounts.succeeded, 1)
    await other.close()
  })

  it('sends nothing when it is aborted at once, and says so at every phase', async () => {
    device.answerMs = 100
    const control = await start()
    for (let ms = 0; ms < 60; ms += 20) {
      state('On')
      const id = await control.start('Off', [node])
      await new Promise((resolve) => setTimeout(resolve, ms))
      const { status } = await control.call('DELETE', `/transitions/${id}`)
      const record = await control.ended(id)
      const isAborted = record.transitionStatus === 'aborted'
      assert.equal(isAborted, status === 202)
      const resets = device.resets.length
      const sentSteps = record.tasks[0].steps.filter(
        ({ next }: { next: string }) => next === 'reset',
      )
      assert.equal(sentSteps.length > 0, record.tasks[0].sentTime !== undefined)
      await control.call('GET', `/transitions/${id}`)
      assert.equal(device.resets.length, resets, 'nothing is sent after the end')
    }
  })

  it('cancels all tasks of an aborted transition at once, under way or not begun', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `Node${i}`)
    const many = await startPowerDevice(
      Object.fromEntries(names.map((name) => [name, { powerState: 'Off' }])),
    )
    many.onReset = () => 'ignored'
    const devices = [{ xname: 'x1000c0s0b0', server: many }]
    const settings = { ramp: { nodesPerMinute: 18, wattsPerNode: 1000 } }
    const [control] = [await start({ devices, settings }), await start({ devices, settings })]
    const xnames = names.map((_, i) => `x1000c0s0b0n${i}`)
    const id = await control.start('On', xnames)
    await until(async () => {
      const { body } = await control.call('GET', `/transitions/${id}?steps=true`)
      const told = body.tasks.filter(({ taskStatusDescription: text }: Record<string, string>) =>
        text?.startsWith('Confirming'),
      )
      return told.length === 3 || undefined
    }, 15)
    await control.call('DELETE', `/transitions/${id}`)
    const { tasks, transitionStatus, taskCounts } = await control.ended(id)
    assert.deepEqual([transitionStatus, taskCounts.failed], ['aborted', 20])
    const all = (key: string) => new Set(tasks.map((task: Record<string, string>) => task[key]))
    assert.deepEqual(
      [all('state'), all('error'), all('endTime').size],
      [new Set(['cancelled']), new Set(['Transition aborted']), 1],
    )
    const last = tasks.map(({ steps }: { steps: { next: string }[] }) => steps.at(-1)?.next)
    assert.deepEqual(new Set(last), new Set(['finish']))
    const { audit } = (await control.call('GET', `/audit?workID=${id}&limit=100`)).body
    const ended = audit.filter(({ event }: { event: string }) => event === 'ended')
    assert.deepEqual(ended.length, 20)
    assert.equal(ended[0].outcome, 'cancelled: Transition aborted')
    assert.equal(many.resets.length, 3)
    const metrics = await Promise.all(open.map((each) => each.call('GET', '/metrics')))
    const counted = metrics.map(({ body }) => /outcome="cancelled"} (\d+)/.exec(body)?.[1])
    assert.deepEqual(counted.filter(Boolean), ['20'])
    await many.close()
  })

  it('has no more commands under way than `inFlight`, however late they are answered', async () => {
    const seven = await Promise.all(Array.from({ length: 7 }, () => startPowerDevice({ '1': {} })))
    let [now, most] = [0, 0]
    for (const each of seven) {
      each.answerMs = 400
      each.onReset = () => {
        most = Math.max(most, ++now)
        setTimeout(() => now--, each.answerMs)
        return undefined
      }
    }
    const devices = seven.map((server, i) => ({ xname: `x3000c0s${i + 1}b0`, server }))
    const control = await start({ devices, settings: { inFlight: 3 } })
    const id = await control.start(
      'Off',
      devices.map(({ xname }) => `${xname}n0`),
    )
    assert.equal((await control.ended(id)).taskCounts.succeeded, 7)
    assert.equal(most, 3)
    await Promise.all(seven.map((each) => each.close()))
  })

  it('leaves a row in the audit for each command and each end, with the states', async () => {
    const control = await start()
    await control.ended(await control.start('Off', [node]))
    const { rows } = await database.pool.query(
      `select event, xname, state_before, state_after, sent, outcome from audit
       where event in ('sent', 'ended') order by at, event desc`,
    )
    const target = '/redfish/v1/Systems/1/Actions/ComputerSystem.Reset'
    assert.deepEqual(rows, [
      {
        event: 'sent',
        xname: node,
        state_before: 'On',
        state_after: null,
        sent: `POST ${target} {"ResetType":"GracefulShutdown"}`,
        outcome: null,
      },
      {
        event: 'ended',
        xname: node,
        state_before: 'On',
        state_after: 'Off',
        sent: null,
        outcome: 'succeeded',
      },
    ])
  })
})
