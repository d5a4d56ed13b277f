import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { simulatorLogin, startTestSimulator, type TestSimulator } from '../support/simulator.ts'

const cmm = 'x1000c0b0'
const blade = 'x1000c0s4b0'
const pdu = 'x3000m0'

describe('power control of the simulated system', () => {
  let simulator: TestSimulator
  let control: TestControl
  let clock: NodeJS.Timeout

  beforeEach(async () => {
    simulator = await startTestSimulator({ historyHours: 0, now: new Date() })
    clock = setInterval(() => simulator.moveSeconds(1), 50)
    const { certificate } = simulator
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [cmm, blade, pdu].map((xname) => ({
        xname,
        server: { url: simulator.deviceUrl(xname), certificate },
      })),
      env: { BMC_PASSWORD: simulatorLogin.password },
    })
  })

  afterEach(async () => {
    clearInterval(clock)
    await control.close()
    await simulator.end()
  })

  const run = async (operation: string, xnames: readonly string[], more = {}) =>
    await control.ended(await control.start(operation, xnames, more))
  const stateOf = async (xname: string) => {
    const { body } = await control.call('GET', `/power-status?xname=${xname}`)
    return body.status[0].powerState
  }

  it('takes a slot off with its nodes, and its nodes on with their slot', async () => {
    const slot = 'x1000c0s4'
    const off = await run('Off', [slot], { recursive: true })
    assert.deepEqual([off.taskCounts.total, off.result], [3, 'succeeded'])
    assert.equal(await stateOf(slot), 'off')
    const on = await run('On', [`${blade}n0`, `${blade}n1`], { prereq: true })
    assert.deepEqual([on.taskCounts.total, on.result], [4, 'succeeded'])
    assert.equal(await stateOf(`${blade}n1`), 'on')
  })

  it('takes nodes along when their slot loses its power', async () => {
    await run('Force-Off', ['x1000c0s4'])
    await until(async () => ((await stateOf(`${blade}n0`)) === 'off' ? true : undefined), 15)
  })

  it('is refused an Off of a chassis whose slots are on, and may force it', async () => {
    const off = await run('Off', ['x1000c0'])
    assert.match(off.tasks[0].error, /^HTTP 400 Base.1.4.ActionNotSupported/)
    assert.equal((await run('Force-Off', ['x1000c0'])).result, 'succeeded')
    assert.equal(await stateOf('x1000c0s4'), 'off')
  })

  it('switches an outlet, which then draws nothing and counts no energy', async () => {
    const outlet = async () => {
      const { body } = await simulator.ask(pdu, '/jaws/monitor/outlets/AA1')
      return body as { state: string; active_power: number; energy: number }
    }
    assert.ok((await outlet()).active_power > 0)
    assert.equal((await run('Off', [`${pdu}p0v1`])).result, 'succeeded')
    const before = await outlet()
    simulator.moveSeconds(3600)
    const after = await outlet()
    assert.deepEqual([after.state, after.active_power], ['Off', 0])
    assert.equal(after.energy, before.energy)
    assert.equal((await run('On', [`${pdu}p0v1`])).result, 'succeeded')
    assert.ok((await outlet()).energy - before.energy <= 1, 'nothing is counted after the fact')
  })

  it('has a slot that is empty for a missing one', async () => {
    const record = await run('On', ['x1000c0r0'])
    assert.equal(record.tasks[0].error, 'Missing xname')
  })
})
