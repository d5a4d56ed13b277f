import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { spawnControl } from '../support/control-process.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

describe('power control under failures', () => {
  let device: PowerDevice
  let database: TestDatabase
  const node = 'x1000c0s0b0n0'

  beforeEach(async () => {
    device = await startPowerDevice({ Node0: {}, Node1: {}, Node2: {}, Node3: {} })
    database = await cloneDatabase()
  })

  afterEach(async () => {
    await device.close()
  })

  const options = (settings = {}) => ({
    databaseUrl: database.url,
    devices: [{ xname: 'x1000c0s0b0', server: device }],
    settings,
  })

  async function withControl(settings: object, run: (control: TestControl) => Promise<void>) {
    const control = await startTestControl(options(settings))
    try {
      await run(control)
    } finally {
      await control.close()
    }
  }

  it('sends a reset once when its answer is lost but the state is reached', async () => {
    device.onReset = () => 'done, no answer'
    await withControl({ timeoutSeconds: 0.3 }, async (control) => {
      const { tasks } = await control.ended(await control.start('Off', [node]))
      assert.equal(tasks[0].taskStatusDescription, 'Transition confirmed, gracefulshutdown')
      assert.match(tasks[0].steps[1].received, /no answer within 0.3 s/)
      assert.match(tasks[0].steps[1].reason, /the state is read before a repeat/)
    })
    assert.deepEqual(device.resets, ['Node0 Off'])
  })

  it('sends a reset again that was lost, after it has seen that nothing happened', async () => {
    device.onReset = () => (device.resets.length === 1 ? 'lost, no answer' : undefined)
    await withControl({ timeoutSeconds: 0.3 }, async (control) => {
      const { tasks } = await control.ended(await control.start('Off', [node]))
      assert.equal(tasks[0].taskStatus, 'succeeded')
    })
    assert.deepEqual(device.resets, ['Node0 Off', 'Node0 Off'])
  })

  it('fails at once where its login is refused, and does not ask again', async () => {
    const env = { BMC_PASSWORD: 'wrong' }
    const control = await startTestControl({ ...options(), env })
    try {
      const { tasks } = await control.ended(await control.start('Off', [node]))
      assert.equal(tasks[0].taskStatus, 'failed')
      assert.match(tasks[0].error, /HTTP 401/)
      assert.doesNotMatch(JSON.stringify(tasks), /wrong/)
      assert.deepEqual(device.requests, ['GET /redfish/v1/Systems'])
    } finally {
      await control.close()
    }
  })

  it('ends what a killed process has begun, without a second reset', async () => {
    device.onReset = () => 'done, no answer'
    const killed = await spawnControl(options({ leaseSeconds: 1 }))
    const id = await killed.start('Off', [node])
    await until(() => device.resets[0], 15)
    await killed.kill()
    await withControl({}, async (control) => {
      const { tasks } = await control.ended(id)
      assert.equal(tasks[0].taskStatusDescription, 'Transition confirmed, gracefulshutdown')
    })
    assert.deepEqual(device.resets, ['Node0 Off'])
  })

  it('keeps what was accepted by a process that was killed at once', async () => {
    device.mute = true
    const killed = await spawnControl(options({ leaseSeconds: 1 }))
    const id = await killed.start('Off', [node])
    await killed.kill()
    device.mute = false
    await withControl({}, async (control) => {
      assert.equal((await control.ended(id)).taskCounts.succeeded, 1)
    })
  })

  it('leaves its tasks at once when it is closed, for the next to end', async () => {
    device.onReset = () => 'ignored'
    const first = await startTestControl(options())
    const id = await first.start('Off', [node])
    await until(() => device.resets[0], 15)
    await first.close()
    Object.assign(device.nodes['Node0'] ?? {}, { powerState: 'Off' })
    await withControl({}, async (control) => {
      assert.equal((await control.ended(id)).taskCounts.succeeded, 1)
    })
    assert.deepEqual(device.resets, ['Node0 Off'])
  })

  it('knows a key again after a restart', async () => {
    const body = { operation: 'Off', location: [{ xname: node }] }
    const ids: string[] = []
    for (let run = 0; run < 2; run++) {
      await withControl({}, async (control) => {
        const key = { 'idempotency-key': 'once' }
        const reply = await control.call('POST', '/transitions', body, key)
        ids.push((await control.ended(reply.body.transitionID)).transitionID)
      })
    }
    assert.equal(ids[0], ids[1])
    assert.deepEqual(device.resets, ['Node0 Off'])
  })

  it('shares the work of two processes, one reset a node, one at a time a controller', async () => {
    device.onReset = () => 'done, no answer'
    await withControl({ timeoutSeconds: 0.2 }, async (one) => {
      await withControl({ timeoutSeconds: 0.2 }, async (other) => {
        const nodes = [0, 1, 2, 3].map((number) => `x1000c0s0b0n${number}`)
        const [first = '', ...rest] = nodes
        const ids = [await one.start('Off', [first]), await other.start('Off', rest)]
        for (const id of ids) assert.equal((await one.ended(id)).taskCounts.failed, 0)
      })
    })
    assert.deepEqual(device.resets.sort(), ['Node0 Off', 'Node1 Off', 'Node2 Off', 'Node3 Off'])
    assert.equal(device.open.most, 1)
  })

  it('takes a task up again whose step could not be stored', async () => {
    const { pool } = database
    await pool.query('alter table task_step rename to hidden')
    await withControl({ leaseSeconds: 0.3 }, async (one) => {
      const id = await one.start('Off', [node])
      await until(() => device.requests.some((line) => line.endsWith('Node0')) || undefined, 15)
      assert.deepEqual(device.resets, [])
      await pool.query('alter table hidden rename to task_step')
      assert.equal((await one.ended(id)).taskCounts.succeeded, 1)
    })
    assert.deepEqual(device.resets, ['Node0 Off'])
  })

  it('says that it is not ready, and is alive, while the database has no tables', async () => {
    const control = await startTestControl({
      ...options(),
      databaseUrl: database.url.replace(/[^/]+$/, 'postgres'),
    })
    try {
      assert.equal((await control.call('GET', '/readiness')).status, 503)
      assert.equal((await control.call('GET', '/-/ready')).status, 503)
      assert.equal((await control.call('GET', '/v1/liveness')).status, 204)
      assert.equal((await control.call('GET', '/health')).body.KvStore, 'not connected')
      assert.equal((await control.call('GET', '/transitions')).status, 503)
    } finally {
      await control.close()
    }
  })
})
