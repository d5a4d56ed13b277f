import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, refusal, startPowerDevice } from '../support/power-device.ts'

describe('a transition', () => {
  let cray: PowerDevice
  let ilo: PowerDevice
  let control: TestControl
  let offset = 0

  beforeEach(async () => {
    cray = await startPowerDevice({ Node0: {}, Node1: { powerState: 'Off' } })
    ilo = await startPowerDevice({ '1': {} })
    offset = 0
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0s0b0', server: cray },
        { xname: 'x3000c0s1b0', server: ilo },
      ],
      now: () => new Date(Date.now() + offset),
    })
  })

  afterEach(async () => {
    await control.close()
    await Promise.all([cray.close(), ilo.close()])
  })

  const minutesPass = (minutes: number) => {
    offset += minutes * 60_000
  }
  const taskOf = async (id: string) => (await control.ended(id)).tasks[0]

  it('is answered at once with its id and place, and is a record there', async () => {
    cray.mute = true
    const body = { operation: 'off', location: [{ xname: 'x1000c0s0b0n0' }] }
    const reply = await control.call('POST', '/v1/transitions', body)
    assert.equal(reply.status, 202)
    assert.deepEqual(Object.keys(reply.body), ['transitionID', 'operation'])
    assert.equal(reply.body.operation, 'Off')
    const place = `/v1/transitions/${reply.body.transitionID}`
    assert.equal(reply.headers.get('location'), place)
    const record = await control.call('GET', place)
    assert.equal(record.status, 200)
    assert.equal(record.body.taskCounts.total, 1)
  })

  it('is shown in the words of PCS', async () => {
    const id = await control.start('Off', ['x1000c0s0b0n0'])
    await control.ended(id)
    const { body } = await control.call('GET', `/transitions/${id}`)
    const { createTime, automaticExpirationTime, tasks, ...rest } = body
    assert.deepEqual(rest, {
      transitionID: id,
      operation: 'Off',
      transitionStatus: 'completed',
      taskCounts: {
        total: 1,
        new: 0,
        'in-progress': 0,
        failed: 0,
        succeeded: 1,
        'un-supported': 0,
      },
      result: 'succeeded',
    })
    assert.equal(Date.parse(automaticExpirationTime) - Date.parse(createTime), 24 * 3_600_000)
    const { startTime, sentTime, endTime, ...task } = tasks[0]
    assert.ok(startTime <= sentTime && sentTime <= endTime)
    assert.deepEqual(task, {
      xname: 'x1000c0s0b0n0',
      taskStatus: 'succeeded',
      taskStatusDescription: 'Transition confirmed, gracefulshutdown',
      state: 'succeeded',
      resetType: 'Off',
      powerStateBefore: 'On',
      powerState: 'Off',
      confirmedBy: 'power_state',
    })
    const list = await control.call('GET', '/v1/transitions')
    assert.deepEqual(list.body.transitions, [{ ...rest, createTime, automaticExpirationTime }])
  })

  it('turns nodes off and on with the verb that each device allows, and confirms it', async () => {
    const nodes = ['x1000c0s0b0n0', 'x3000c0s1b0n0']
    const off = await control.ended(await control.start('Off', nodes))
    assert.equal(off.taskCounts.succeeded, 2)
    assert.deepEqual([cray.resets, ilo.resets], [['Node0 Off'], ['1 GracefulShutdown']])
    assert.deepEqual(
      [cray.nodes['Node0'], ilo.nodes['1']].map((n) => n?.powerState),
      ['Off', 'Off'],
    )
    const on = await control.ended(await control.start('On', nodes))
    assert.equal(on.taskCounts.succeeded, 2)
    assert.equal(on.tasks[0].taskStatusDescription, 'Transition confirmed, on')
    assert.deepEqual([cray.resets.at(-1), ilo.resets.at(-1)], ['Node0 On', '1 On'])
  })

  it('leaves a row for each step: what was sent, what came back, and why the next', async () => {
    const task = await taskOf(await control.start('Off', ['x1000c0s0b0n0']))
    const system = '/redfish/v1/Systems/Node0'
    const allows = 'ResetTypes On, ForceOff, Off'
    assert.deepEqual(
      task.steps.map(({ time, ...step }: { time: string }) => step),
      [
        {
          sent: `GET ${system}`,
          received: `PowerState On; ${allows}`,
          next: 'reset',
          reason: 'the device reports On',
        },
        {
          sent: `POST ${system}/Actions/ComputerSystem.Reset {"ResetType":"Off"}`,
          received: 'accepted',
          next: 'wait',
          reason: 'the device took the command',
        },
        {
          sent: `GET ${system}`,
          received: `PowerState PoweringOff; ${allows}`,
          next: 'wait',
          reason: 'the device reports PoweringOff',
        },
        {
          sent: `GET ${system}`,
          received: `PowerState Off; ${allows}`,
          next: 'finish',
          reason: 'the device reports Off',
        },
      ],
    )
  })

  it('sends nothing to a node that is already there, by what the device says now', async () => {
    const task = await taskOf(await control.start('Off', ['x1000c0s0b0n1']))
    assert.equal(task.taskStatus, 'succeeded')
    assert.equal(task.taskStatusDescription, 'Component already in desired state')
    assert.deepEqual(cray.resets, [])
  })

  it('forces an Off that is ignored, once, after its deadline', async () => {
    cray.onReset = (_node, type) => (type === 'Off' ? 'ignored' : undefined)
    const id = await control.start('Off', ['x1000c0s0b0n0'], { taskDeadlineMinutes: 2 })
    await until(() => cray.resets[0], 15)
    minutesPass(3)
    const task = await taskOf(id)
    assert.equal(task.taskStatusDescription, 'Transition confirmed, forceoff')
    assert.deepEqual(cray.resets, ['Node0 Off', 'Node0 ForceOff'])
  })

  it('never forces a Soft-Off: it fails at its deadline', async () => {
    cray.onReset = () => 'ignored'
    const id = await control.start('Soft-Off', ['x1000c0s0b0n0'], { taskDeadlineMinutes: 2 })
    await until(() => cray.resets[0], 15)
    minutesPass(3)
    const task = await taskOf(id)
    assert.equal(task.taskStatus, 'failed')
    assert.equal(task.state, 'timed-out')
    assert.equal(task.error, 'Timeout waiting for transition, gracefulshutdown.')
    assert.deepEqual(cray.resets, ['Node0 Off'])
  })

  it('forces at once when Force-Off was asked for', async () => {
    const task = await taskOf(await control.start('force-off', ['x3000c0s1b0n0']))
    assert.equal(task.taskStatus, 'succeeded')
    assert.deepEqual(ilo.resets, ['1 ForceOff'])
  })

  it('restarts by off and on, each confirmed', async () => {
    const task = await taskOf(await control.start('Hard-Restart', ['x3000c0s1b0n0']))
    assert.equal(task.taskStatusDescription, 'Transition confirmed, on')
    assert.deepEqual(ilo.resets, ['1 GracefulShutdown', '1 On'])
    const off = await taskOf(await control.start('Soft-Restart', ['x1000c0s0b0n1']))
    assert.equal(off.error, 'Component is in the wrong power state')
  })

  it('does not wait for the state when its deadline is 0', async () => {
    ilo.onReset = () => 'ignored'
    const id = await control.start('Off', ['x3000c0s1b0n0'], { taskDeadlineMinutes: 0 })
    const task = await taskOf(id)
    assert.equal(task.taskStatus, 'succeeded')
    const text = 'Transition applied, gracefulshutdown. Not confirming.'
    assert.equal(task.taskStatusDescription, text)
  })

  it('says for each name what is wrong with it, and does the others', async () => {
    const names = ['nonsense', 'x1000', 'x9000c0s0b0n0', 'x1000c0s0b0n7', 'x1000c0s0b0n0']
    const record = await control.ended(await control.start('Off', names))
    const found = new Map(record.tasks.map((task: { xname: string }) => [task.xname, task]))
    const outcome = (xname: string) => {
      const { taskStatus, error, taskStatusDescription } = Object(found.get(xname))
      return [taskStatus, error, taskStatusDescription]
    }
    const text = 'Failed to achieve transition'
    assert.deepEqual(outcome('nonsense'), ['failed', 'Invalid xname', text])
    const noPower = 'No power control for component type Cabinet'
    assert.deepEqual(outcome('x1000'), ['unsupported', noPower, text])
    assert.deepEqual(outcome('x9000c0s0b0n0'), ['failed', 'Missing xname', text])
    assert.deepEqual(outcome('x1000c0s0b0n7'), ['failed', 'Missing xname', text])
    assert.equal(outcome('x1000c0s0b0n0')[0], 'succeeded')
    const { total, succeeded, failed } = record.taskCounts
    assert.deepEqual([total, succeeded, failed, record.taskCounts['un-supported']], [5, 1, 3, 1])
  })

  it('is unsupported where the device allows no fitting ResetType, and sends nothing', async () => {
    Object.assign(cray.nodes['Node0'] ?? {}, { allowed: ['On', 'ForceOff'] })
    const task = await taskOf(await control.start('Off', ['x1000c0s0b0n0']))
    assert.equal(task.taskStatus, 'unsupported')
    assert.equal(task.error, 'Unsupported for transition operation')
    assert.match(task.taskStatusDescription, /operation, Off$/)
    assert.deepEqual(cray.resets, [])
  })

  it('fails with what a device says that refuses, and forces nothing', async () => {
    cray.onReset = () => refusal(400, 'Base.1.8.ActionNotSupported', 'Not now.')
    const task = await taskOf(await control.start('Off', ['x1000c0s0b0n0']))
    assert.equal(task.taskStatus, 'failed')
    assert.equal(task.error, 'HTTP 400 Base.1.8.ActionNotSupported: Not now.')
    assert.equal(task.taskStatusDescription, 'Failed to apply transition, gracefulshutdown')
    assert.deepEqual(cray.resets, ['Node0 Off'])
  })

  it('is sent again to a device that was busy', async () => {
    const busy = refusal(503, 'Base.1.8.ServiceTemporarilyUnavailable', 'Later.')
    cray.onReset = () => (cray.resets.length < 3 ? busy : undefined)
    const task = await taskOf(await control.start('Off', ['x1000c0s0b0n0']))
    assert.equal(task.taskStatus, 'succeeded')
    assert.equal(cray.resets.length, 3)
  })

  it('fails when the device is dead, and the others go on', async () => {
    await ilo.close()
    const id = await control.start('Off', ['x3000c0s1b0n0', 'x1000c0s0b0n0'])
    const { tasks } = await control.ended(id)
    assert.deepEqual(
      tasks.map((task: { taskStatus: string }) => task.taskStatus),
      ['succeeded', 'failed'],
    )
    assert.match(tasks[1].error, /ECONNREFUSED/)
    const { body } = await control.call('GET', '/power-status?xname=x3000c0s1b0n0')
    assert.equal(body.status[0].powerState, 'undefined')
    assert.equal(body.status[0].managementState, 'unavailable')
    ilo = await startPowerDevice({})
  })

  it('refuses a component that another transition is at work on, and names it', async () => {
    cray.onReset = () => 'ignored'
    const holder = await control.start('Off', ['x1000c0s0b0n0'])
    const task = await taskOf(await control.start('On', ['x1000c0s0b0n0']))
    assert.equal(task.error, 'Unable to reserve component')
    assert.equal(task.heldBy, holder)
    assert.deepEqual(
      cray.resets.filter((reset) => reset.endsWith('On')),
      [],
    )
  })

  it('sends nothing more once it is aborted', async () => {
    cray.onReset = () => 'ignored'
    const id = await control.start('Off', ['x1000c0s0b0n0'], { taskDeadlineMinutes: 2 })
    await until(() => cray.resets[0], 15)
    const abort = await control.call('DELETE', `/transitions/${id}`)
    assert.equal(abort.status, 202)
    assert.deepEqual(abort.body, { abortStatus: 'Accepted - abort initiated' })
    minutesPass(3)
    const record = await control.ended(id)
    assert.equal(record.transitionStatus, 'aborted')
    assert.equal(record.tasks[0].error, 'Transition aborted')
    assert.match(record.tasks[0].taskStatusDescription, /^Aborted. Last status - Confirming/)
    assert.equal(cray.resets.length, 1)
    assert.equal((await control.call('DELETE', `/transitions/${id}`)).status, 202)
  })

  it('cannot be aborted when it has completed', async () => {
    const id = await control.start('Off', [])
    assert.equal((await control.ended(id)).taskCounts.total, 0)
    assert.equal((await control.call('DELETE', `/transitions/${id}`)).status, 400)
  })

  it('is one for one Idempotency-Key, also for two requests at once', async () => {
    const body = { operation: 'Off', location: [{ xname: 'x1000c0s0b0n0' }] }
    const post = (content: object) =>
      control.call('POST', '/transitions', content, { 'idempotency-key': 'abc' })
    const replies = await Promise.all([post(body), post(body)])
    await control.ended(replies[0].body.transitionID)
    replies.push(await post({ ...body, taskDeadlineMinutes: 5 }))
    assert.deepEqual(new Set(replies.map((reply) => reply.body.transitionID)).size, 1)
    assert.deepEqual(cray.resets, ['Node0 Off'])
    const other = await post({ ...body, operation: 'On' })
    assert.equal(other.status, 422)
    assert.equal(other.body.code, 'idempotency_key_reused')
  })

  it('is refused with each fault of the request named, and leaves nothing', async () => {
    const post = async (body: unknown) => {
      const { status, body: problem, headers } = await control.call('POST', '/transitions', body)
      assert.match(headers.get('content-type') ?? '', /application\/problem\+json/)
      return [status, problem.detail]
    }
    const unknown = await post({ operation: 'Explode', location: [] })
    assert.equal(unknown[0], 400)
    assert.match(unknown[1], /^operation: "Explode" is no operation; there are On, Off, Soft-Off/)
    assert.match((await post({ location: [] }))[1], /^operation: /)
    const number = await post({ operation: 'On', location: [{ xname: 3 }] })
    assert.match(number[1], /^location.0.xname: /)
    assert.equal((await post({ operation: 'On', location: [{ xname: 'x\0' }] }))[0], 400)
    assert.equal((await post('{"operation":'))[0], 400)
    assert.deepEqual((await control.call('GET', '/transitions')).body, { transitions: [] })
  })

  it('is 404 when there is none, 400 when its id is none, 405 for another method', async () => {
    const none = '/v1/transitions/0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60'
    assert.equal((await control.call('GET', none)).status, 404)
    assert.equal((await control.call('DELETE', none)).status, 404)
    assert.equal((await control.call('GET', '/transitions/abc')).status, 400)
    const put = await control.call('PUT', '/transitions', {})
    assert.deepEqual([put.status, put.headers.get('allow')], [405, 'GET, POST'])
  })

  it('is counted, with its tasks, by operation and outcome', async () => {
    await control.ended(await control.start('Off', ['x1000c0s0b0n0']))
    const ended = 'joulebridge_power_transitions_ended_total{operation="Off",outcome="succeeded"} 1'
    const text = await until(async () => {
      const { body } = await control.call('GET', '/metrics')
      return body.includes(ended) ? String(body) : undefined
    }, 15)
    assert.match(text, /^joulebridge_power_tasks_in_flight 0$/m)
    assert.match(text, /^joulebridge_power_task_duration_seconds_count\{operation="Off"\} 1$/m)
    assert.match(text, /^joulebridge_power_transitions_total\{operation="Off"\} 1$/m)
    assert.ok(text.includes('joulebridge_power_tasks_total{operation="Off",outcome="succeeded"} 1'))
    assert.match(text, /^joulebridge_power_oldest_task_seconds 0$/m)
  })
})
