import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { crayLimits, type LimitDevice, startLimitDevice } from '../support/limit-device.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

/**
 * What PCS's own tests of its API expect of it, as a client sees it (Cray-HPE/hms-power-control,
 * test/ct/api: tests of power-cap, power-status and transitions).
 */
describe('a client of PCS', () => {
  let control: TestControl
  let powered: PowerDevice
  let limited: LimitDevice
  const node = 'x1000c0s0b0n0'
  const capped = 'x1000c0s1b0n0'
  const absent = 'x9999c7s9b9n9'

  before(async () => {
    powered = await startPowerDevice({ Node0: { powerState: 'Off' } })
    limited = await startLimitDevice(crayLimits())
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0s0b0', server: powered },
        { xname: 'x1000c0s1b0', server: limited },
      ],
      settings: { pcsCompatible: true, basePath: '/apis/power-control', capSettleSeconds: 0.1 },
    })
  })

  after(async () => {
    await control.close()
    await Promise.all([powered.close(), limited.close()])
  })

  const call: TestControl['call'] = (method, path, body) =>
    control.call(method, `/apis/power-control/v1${path}`, body)

  /** A record when it is completed. */
  async function completed(path: string, status: 'taskStatus' | 'transitionStatus') {
    let body: unknown
    const look = async () => {
      const reply = await call('GET', path)
      body = reply.body
      return reply.body[status] === 'completed' ? reply.body : undefined
    }
    return await until(look, 30, () => `${path} is not completed: ${JSON.stringify(body)}`)
  }

  it('finds the routes and statuses that it knows', async () => {
    const expected = [
      ['PUT', '/power-cap', 405],
      ['DELETE', '/power-cap', 405],
      ['PUT', '/transitions', 405],
      ['PATCH', '/transitions', 404],
      ['PUT', '/power-status', 405],
      ['PATCH', '/power-status', 404],
      ['DELETE', '/power-status', 405],
      ['POST', '/power-status', 400],
      ['PUT', '/liveness', 405],
      ['POST', '/readiness', 405],
      ['DELETE', '/health', 405],
      ['GET', '/liveness', 204],
      ['GET', '/readiness', 204],
      ['GET', '/health', 200],
      ['GET', '/transitions/0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60', 404],
      ['GET', '/power-cap/0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60', 404],
      ['DELETE', '/transitions/0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60', 404],
    ] as const
    for (const [method, path, status] of expected) {
      assert.equal((await call(method, path)).status, status, `${method} ${path}`)
    }
  })

  it('is told of a bad id in the words of PCS', async () => {
    for (const path of ['/transitions', '/power-cap']) {
      const details = [
        ['FAKE', 'invalid UUID length: 4'],
        ['9z99z999-999z-999z-z9zz-zz9z99z9zzzz', 'invalid UUID format'],
      ]
      for (const [id, detail] of details) {
        const { status, headers, body } = await call('GET', `${path}/${id}`)
        assert.equal(status, 400)
        assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/)
        const { type, title } = body
        assert.deepEqual(
          { type, title, status: body.status, detail: body.detail },
          { type: 'about:blank', title: 'Bad Request', status: 400, detail },
        )
      }
    }
  })

  it('turns a node on, in any case of the operation, and reads what became of it', async () => {
    const location = [{ xname: node, deputyKey: null }]
    const reply = await call('POST', '/transitions', { operation: 'on', location })
    assert.equal(reply.status, 200)
    const { transitionID } = reply.body
    assert.deepEqual(reply.body, { transitionID, operation: 'On' })
    const path = `/apis/power-control/v1/transitions/${transitionID}`
    assert.equal(reply.headers.get('location'), path)
    const { tasks, taskCounts } = await completed(
      `/transitions/${transitionID}`,
      'transitionStatus',
    )
    assert.equal(taskCounts.succeeded, 1)
    const [{ xname, taskStatus, taskStatusDescription }] = tasks
    assert.deepEqual(
      [xname, taskStatus, taskStatusDescription],
      [node, 'succeeded', 'Transition confirmed, on'],
    )
    const again = await call('POST', '/transitions', { operation: 'ON', location })
    const second = await completed(`/transitions/${again.body.transitionID}`, 'transitionStatus')
    assert.equal(second.tasks[0].taskStatusDescription, 'Component already in desired state')
    const listed = (await call('GET', '/transitions')).body.transitions
    assert.equal(listed[0].transitionID, again.body.transitionID)
    assert.equal(listed[0].tasks, undefined)
  })

  it('is told of components that cannot be had, each in its task', async () => {
    for (const [xname, error] of [
      [absent, 'Missing xname'],
      ['FAKE', 'Invalid xname'],
    ] as const) {
      const { body } = await call('POST', '/transitions', {
        operation: 'on',
        location: [{ xname }],
      })
      const { tasks } = await completed(`/transitions/${body.transitionID}`, 'transitionStatus')
      assert.deepEqual(
        [tasks[0].taskStatus, tasks[0].taskStatusDescription, tasks[0].error],
        ['failed', 'Failed to achieve transition', error],
      )
    }
  })

  it('reads power limits, counted by control, and the errors that it knows', async () => {
    const ask = async (xname: string) => {
      const { status, body } = await call('POST', '/power-cap/snapshot', { xnames: [xname] })
      assert.equal(status, 200)
      assert.deepEqual(Object.keys(body), ['taskID'])
      return await completed(`/power-cap/${body.taskID}`, 'taskStatus')
    }
    const record = await ask(capped)
    assert.deepEqual([record.type, record.taskCounts.total], ['snapshot', 5])
    assert.ok(Date.parse(record.taskCreateTime) < Date.parse(record.automaticExpirationTime))
    for (const limit of record.components[0].powerCapLimits) {
      const { name, currentValue, maximumValue, minimumValue } = limit
      assert.match(name, /^(Node|Accelerator\d) Power Limit$/)
      for (const watts of [currentValue, maximumValue, minimumValue]) assert.ok(watts >= 0)
    }
    const errors = [absent, 'FAKE', 'x1000c0s1b0'].map(
      async (xname) => (await ask(xname)).components,
    )
    assert.deepEqual(
      (await Promise.all(errors)).map(([component]) => component.error),
      ['Xname not found in HSM', 'Invalid xname', 'Type, NodeBMC unsupported for power capping'],
    )
  })

  it('sets power limits, and is told where it cannot', async () => {
    const ask = async (xname: string, value: unknown) => {
      const controls = [{ name: 'Node Power Limit', value }]
      return await call('PATCH', '/power-cap', { components: [{ xname, controls }] })
    }
    const set = async (xname: string, value: number) => {
      const { taskID } = (await ask(xname, value)).body
      return await completed(`/power-cap/${taskID}`, 'taskStatus')
    }
    const record = await set(capped, 1000)
    assert.deepEqual([record.type, record.taskCounts.total], ['patch', 1])
    assert.equal(record.components[0].error, undefined)
    const found = [await set(absent, 0), await set('FAKE', 0), await set('x1000c0s1b0', 0)]
    assert.deepEqual(
      found.map(({ components }) => components[0].error),
      ['Xname not found in HSM', 'Invalid xname', "Skipping undefined control 'Node Power Limit'"],
    )
    assert.equal((await ask(capped, 'FAKE')).status, 400)
  })
})
