import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

const chassis = 'x1000c0'
const slot = 'x1000c0s0'
const bmc = 'x1000c0s0b0'
const nodes = [`${bmc}n0`, `${bmc}n1`]

/** A chassis with one blade, and a PDU of each make: what was sent to any of them, in order. */
describe('a transition of components that lie in each other', () => {
  let cmm: PowerDevice
  let blade: PowerDevice
  let rts: PowerDevice
  let jaws: PowerDevice
  let control: TestControl
  let sent: string[]

  beforeEach(async () => {
    sent = []
    cmm = await startPowerDevice({ Enclosure: {}, Blade0: {}, Perif1: {}, BMC: {} })
    blade = await startPowerDevice({ Node0: {}, Node1: {}, BMC: {} })
    rts = await startPowerDevice({ AA01: {}, AA02: {} })
    jaws = await startPowerDevice({ AA1: {}, AA2: {} })
    for (const device of [cmm, blade, rts, jaws]) {
      device.onReset = (name, type) => void sent.push(`${name} ${type}`)
    }
    control = await startTestControl({
      settings: { timeoutSeconds: 1 },
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0b0', server: cmm },
        { xname: bmc, server: blade },
        { xname: 'x3000m0', server: rts },
        { xname: 'x3000m1', server: jaws },
      ],
    })
  })

  afterEach(async () => {
    await control.close()
    await Promise.all([cmm, blade, rts, jaws].map((device) => device.close()))
  })

  const set = (powerState: string) => {
    for (const device of [cmm, blade]) {
      for (const node of Object.values(device.nodes)) Object.assign(node, { powerState })
    }
  }
  const run = async (operation: string, xnames: readonly string[], more = {}) =>
    await control.ended(await control.start(operation, xnames, more))
  const statesOf = (record: { tasks: { xname: string; state: string; error?: string }[] }) =>
    record.tasks.map(({ xname, state }) => `${xname} ${state}`)

  it('goes on from the chassis to the node, each when the one around it is confirmed', async () => {
    set('Off')
    cmm.readsToSettle = 3
    const record = await run('On', [...nodes, slot, chassis])
    assert.equal(record.taskCounts.succeeded, 4)
    assert.deepEqual(sent.slice(0, 2), ['Enclosure On', 'Blade0 On'])
    assert.deepEqual(sent.slice(2).sort(), ['Node0 On', 'Node1 On'])
    const [first, second] = record.tasks
    assert.deepEqual([first.xname, second.xname], [chassis, slot])
    assert.ok(first.endTime <= second.sentTime, 'the slot waits for the chassis to be on')
    assert.deepEqual(second.parents, [chassis])
  })

  it('goes off from the node to the chassis', async () => {
    const record = await run('Off', [chassis, slot, ...nodes])
    assert.equal(record.taskCounts.succeeded, 4)
    assert.deepEqual(sent.slice(0, 2).sort(), ['Node0 Off', 'Node1 Off'])
    assert.deepEqual(sent.slice(2), ['Blade0 Off', 'Enclosure Off'])
  })

  it('restarts a parent with its children, each once: off inward, on outward', async () => {
    const record = await run('Soft-Restart', [slot, bmc, nodes[0] ?? ''], {
      deadlineSeconds: { forcerestart: 0.3 },
    })
    assert.deepEqual(statesOf(record), [
      `${slot} succeeded`,
      `${bmc} succeeded`,
      `${nodes[0]} succeeded`,
    ])
    const order = ['Node0 Off', 'Blade0 Off', 'Blade0 On', 'BMC ForceRestart', 'Node0 On']
    assert.deepEqual(sent, order)
  })

  it('waits for a BMC that comes up long after its slot', async () => {
    set('Off')
    blade.mute = true
    const id = await control.start('On', [slot, nodes[0] ?? ''])
    await until(() => sent.includes('Blade0 On') || undefined, 15)
    await until(async () => {
      const { body } = await control.call('GET', `/transitions/${id}`)
      return body.tasks[0].state === 'succeeded' || undefined
    }, 15)
    blade.mute = false
    assert.equal((await control.ended(id)).taskCounts.succeeded, 2)
  })

  it('does not cut the power of a slot over a node that would not go off', async () => {
    blade.onReset = () => 'ignored'
    const deadlineSeconds = { gracefulshutdown: 0.2 }
    const record = await run('Soft-Off', [slot, nodes[0] ?? ''], { deadlineSeconds })
    assert.deepEqual(statesOf(record), [`${slot} failed`, `${nodes[0]} timed-out`])
    assert.equal(record.tasks[0].error, `${nodes[0]} is not confirmed off`)
    assert.deepEqual(cmm.resets, [])
  })

  it('turns no node on in a slot that did not come on', async () => {
    set('Off')
    cmm.onReset = () => 'ignored'
    const deadlineSeconds = { on: 0.2 }
    const record = await run('On', [slot, ...nodes], { deadlineSeconds })
    assert.equal(record.taskCounts.failed, 3)
    assert.equal(record.tasks[1].error, `${slot} is not confirmed on`)
    assert.deepEqual(blade.resets, [])
  })

  it('confirms a parent although nobody waits for the request', async () => {
    set('Off')
    const record = await run('On', [slot, nodes[0] ?? ''], { taskDeadlineMinutes: 0 })
    const texts = record.tasks.map((task: { taskStatusDescription: string }) => {
      return task.taskStatusDescription
    })
    assert.deepEqual(texts, ['Transition confirmed, on', 'Transition applied, on. Not confirming.'])
  })

  it('names all within a component if recursive, and all around it as prerequisites', async () => {
    const off = await run('Off', [slot], { recursive: true })
    assert.deepEqual(
      statesOf(off),
      [slot, ...nodes].map((xname) => `${xname} succeeded`),
    )
    const on = await run('On', [nodes[1] ?? ''], { prereq: true })
    assert.deepEqual(
      on.tasks.map((task: { xname: string }) => task.xname),
      [chassis, slot, nodes[1]],
    )
    assert.equal(on.taskCounts.succeeded, 3)
  })

  it('switches a router module and a chassis of their own', async () => {
    assert.equal((await run('Off', ['x1000c0r1'])).taskCounts.succeeded, 1)
    assert.equal((await run('Force-Off', [chassis])).taskCounts.succeeded, 1)
    assert.deepEqual(sent, ['Perif1 Off', 'Enclosure ForceOff'])
    const empty = await run('On', ['x1000c0s5'])
    assert.equal(empty.tasks[0].error, 'Missing xname')
  })

  it('switches an outlet over Redfish and over JAWS, by either of its names', async () => {
    const xnames = ['x3000m0p0v2', 'x3000m1p0j1']
    assert.equal((await run('Off', xnames)).taskCounts.succeeded, 2)
    assert.deepEqual([rts.resets, jaws.resets], [['AA02 Off'], ['AA1 off']])
    assert.ok(jaws.requests.includes('PATCH /jaws/control/outlets/AA1'))
    assert.equal((await run('On', xnames)).taskCounts.succeeded, 2)
    const { body } = await control.call('GET', '/power-status?xname=x3000m1p0v1')
    assert.equal(body.status[0].powerState, 'on')
    const forced = await run('Force-Off', ['x3000m0p0v1'])
    assert.equal(forced.taskCounts['un-supported'], 1)
  })

  describe('while another transition is at work', () => {
    /** A transition that waits for a device that does nothing. */
    const occupy = async (operation: string, xname: string, device: PowerDevice) => {
      device.onReset = (name, type) => {
        sent.push(`${name} ${type}`)
        return 'ignored'
      }
      const before = sent.length
      const id = await control.start(operation, [xname])
      await until(() => sent.length > before || undefined, 15)
      return id
    }

    it('leaves a node alone whose slot is losing its power, and names the transition', async () => {
      const holder = await occupy('Off', slot, cmm)
      const record = await run('On', [chassis, nodes[0] ?? ''])
      assert.deepEqual(statesOf(record), [`${chassis} succeeded`, `${nodes[0]} failed`])
      const [, node] = record.tasks
      assert.equal(node.error, 'Unable to reserve component')
      assert.equal(node.heldBy, holder)
      assert.match(node.taskStatusDescription, /: x1000c0s0 is at work$/)
      assert.deepEqual(blade.resets, [])
      assert.equal((await run('On', ['x1000c0r1'])).result, 'succeeded')
    })

    it('takes no power from a node that is being switched, nor restarts its BMC', async () => {
      const holder = await occupy('Soft-Off', nodes[0] ?? '', blade)
      for (const [operation, xname] of [
        ['Force-Off', chassis],
        ['Off', slot],
        ['Soft-Restart', bmc],
      ] as const) {
        const { tasks } = await run(operation, [xname])
        assert.deepEqual([tasks[0].error, tasks[0].heldBy], ['Unable to reserve component', holder])
      }
      const { body } = await control.call('POST', '/transitions', {
        operation: 'Off',
        location: [{ xname: slot }],
        dryRun: true,
      })
      assert.deepEqual(body.plan[0].reason, 'Unable to reserve component')
      assert.deepEqual(sent, ['Node0 Off'])
      assert.equal((await run('On', [slot])).result, 'succeeded')
    })

    it('leaves a slot alone while the BMC of its chassis restarts', async () => {
      const holder = await occupy('Soft-Restart', 'x1000c0b0', cmm)
      assert.equal((await run('On', [slot])).tasks[0].heldBy, holder)
    })

    it('goes to a slot or to its nodes, of requests that come at once', async () => {
      for (const device of [blade, cmm]) device.onReset = () => 'ignored'
      const requests = [slot, ...nodes, slot, ...nodes].map((xname) =>
        control.start('Off', [xname]),
      )
      const held = await Promise.all(
        requests.map(async (id) => {
          const { body } = await control.call('GET', `/transitions/${await id}`)
          return body.tasks[0].heldBy !== undefined
        }),
      )
      const free = held.filter((isHeld) => !isHeld).length
      assert.ok(free === 1 || (free === 2 && held[0] && held[3]), String(held))
    })
  })

  it('can only restart a BMC, which is confirmed by its silence', async () => {
    const off = await run('Off', [bmc])
    assert.equal(off.tasks[0].error, 'Unsupported for transition operation')
    const id = await control.start('Soft-Restart', [bmc])
    await until(() => blade.resets[0], 15)
    blade.mute = true
    const asked = blade.requests.length
    await until(() => blade.requests.length > asked || undefined, 15)
    await until(async () => {
      const { body } = await control.call('GET', `/transitions/${id}?steps=true`)
      return body.tasks[0].steps.length > 2 || undefined
    }, 15)
    blade.mute = false
    const { tasks } = await control.ended(id)
    assert.equal(tasks[0].taskStatusDescription, 'Transition confirmed, forcerestart')
    assert.equal(tasks[0].confirmedBy, 'power_state')
    assert.deepEqual(blade.resets, ['BMC ForceRestart'])
  })
})
