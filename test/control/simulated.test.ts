import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { type Sample, samplesOf, startTestExporter } from '../support/exporter.ts'
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
    clock = setInterval(() => simulator.moveSeconds(1), 10)
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

  it('loses a slot with its BMC, which answers a minute after the power is back', async () => {
    const node = `${blade}n0`
    const exporter = await startTestExporter({
      devices: [blade].map((xname) => ({
        xname,
        server: { url: simulator.deviceUrl(xname), certificate: simulator.certificate },
      })),
      poll: { fastSeconds: 0.1, slowSeconds: 0.2 },
      password: simulatorLogin.password,
    })
    const watts = (samples: Sample[]) =>
      samplesOf(samples, 'cray_node_power_watts', { xname: node }).length
    try {
      await exporter.scrapeUntil((samples) => watts(samples) === 1)
      assert.equal((await run('Force-Off', ['x1000c0s4'])).result, 'succeeded')
      const { body } = await control.call('GET', `/power-status?xname=${node}`)
      const { powerState, managementState, error } = body.status[0]
      assert.deepEqual([powerState, managementState], ['undefined', 'unavailable'])
      assert.match(error, /unreachable|hang up|ECONNRESET/)
      await exporter.scrapeUntil((samples) => watts(samples) === 0)
      const on = simulator.clock.now
      assert.equal((await run('On', ['x1000c0s4'])).result, 'succeeded')
      await until(async () => ((await stateOf(node)) === 'off' ? true : undefined), 15)
      assert.ok(simulator.clock.now.getTime() - on.getTime() >= 59_000)
      await exporter.scrapeUntil((samples) => watts(samples) === 1)
    } finally {
      await exporter.close()
    }
  })

  it('keeps what was switched when it is started again', async () => {
    assert.equal((await run('Force-Off', ['x1000c0s4', 'x1000c0r1'])).result, 'succeeded')
    await simulator.close()
    const { directory, clock: now } = simulator
    simulator = await startTestSimulator({ historyHours: 0, directory, now: now.now })
    const slot = async (name: string) => {
      const { body } = await simulator.ask(cmm, `/redfish/v1/Chassis/${name}`)
      return (body as { PowerState: string }).PowerState
    }
    assert.deepEqual(
      [await slot('Blade4'), await slot('Perif1'), await slot('Blade5'), await slot('Enclosure')],
      ['Off', 'Off', 'On', 'On'],
    )
    await assert.rejects(simulator.ask(blade, '/redfish/v1'))
    assert.equal((await simulator.ask('x1000c0s5b0', '/redfish/v1')).status, 200)
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
