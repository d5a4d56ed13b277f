import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fieldAt, listAt, numberAt, textAt } from '../../exporter/redfish/parse.ts'
import { describeMockups, recorded } from '../support/mockups.ts'
import { basic, startTestSimulator, type TestSimulator } from '../support/simulator.ts'

const node = '/redfish/v1/Chassis/Node0'
const system = '/redfish/v1/Systems/Node0'
const resetTarget = `${system}/Actions/ComputerSystem.Reset`
const nodePower = `${node}/Sensors/ChassisVoltageRegulator0InputPower`
const nodeEnergy = `${node}/Sensors/ChassisVoltageRegulator0InputEnergy`

describe('a simulated device', () => {
  let simulator: TestSimulator

  beforeEach(async () => {
    simulator = await startTestSimulator()
  })

  afterEach(async () => await simulator.end())

  const get = async (xname: string, path: string) => (await simulator.ask(xname, path)).body
  const powerState = async () => textAt(await get('x1000c0s0b0', system), 'PowerState')
  const reset = (type: string) =>
    simulator.ask('x1000c0s0b0', resetTarget, { body: { ResetType: type } })

  it('refuses who is not logged in', async () => {
    const wrong = basic({ username: 'root', password: 'wrong' })
    for (const authorization of ['', 'Basic', wrong]) {
      const answer = await simulator.ask('x1000c0b0', '/redfish/v1', { authorization })
      assert.equal(answer.status, 401)
    }
    assert.equal((await simulator.ask('x1000c0b0', '/redfish/v1/')).status, 200)
  })

  it('keeps its key to itself', async () => {
    const { mode } = await stat(join(simulator.directory, 'simulator-key.pem'))
    assert.equal(mode & 0o777, 0o600)
  })

  it('answers an unknown path with 404 and a Redfish error', async () => {
    const { status, body } = await simulator.ask('x1000c0s0b0', '/redfish/v1/Chassis/Nowhere')
    assert.equal(status, 404)
    const [info] = listAt(body, 'error', '@Message.ExtendedInfo')
    assert.equal(textAt(info, 'MessageId'), 'Base.1.4.ResourceMissingAtURI')
  })

  it('counts whole joules that grow by the power between two reads', async () => {
    const read = async () => ({
      joules: numberAt(await get('x1000c0s0b0', nodeEnergy), 'Reading') ?? Number.NaN,
      watts: numberAt(await get('x1000c0s0b0', nodePower), 'Reading') ?? Number.NaN,
    })
    const before = await read()
    simulator.moveSeconds(10)
    const after = await read()
    assert.ok(Number.isInteger(before.joules) && Number.isInteger(after.joules))
    const [low, high] = [before.watts, after.watts].sort((a, b) => a - b)
    const grown = (after.joules - before.joules) / 10
    assert.ok(grown > 0.8 * (low ?? 0) && grown < 1.25 * (high ?? 0), `${grown} W`)
  })

  it('says when it took a reading, no later than now, with nanoseconds', async () => {
    const text = textAt(await get('x1000c0s3b0', nodeEnergy), 'ReadingTime') ?? ''
    assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
    const age = simulator.clock.now.getTime() - Date.parse(text)
    assert.ok(age >= 0 && age <= 1000, `${age} ms`)
  })

  it('leaves the reading out of a sensor that was never read', async () => {
    const path = `${node}/Sensors/ChassisVoltageRegulator2Temperature`
    const sensor = await get('x1000c0s0b0', path)
    assert.equal(textAt(sensor, 'ReadingType'), 'Temperature')
    assert.equal(fieldAt(sensor, 'Reading'), undefined)
    assert.equal(fieldAt(sensor, 'ReadingTime'), undefined)
  })

  it('goes off and on again when told to, and its power with it', async () => {
    assert.equal(await powerState(), 'On')
    assert.equal((await reset('ForceOff')).status, 204)
    simulator.moveSeconds(1)
    assert.equal(await powerState(), 'PoweringOff')
    simulator.moveSeconds(5)
    assert.equal(await powerState(), 'Off')
    assert.equal(numberAt(await get('x1000c0s0b0', nodePower), 'Reading'), 44)
    await reset('On')
    simulator.moveSeconds(2)
    assert.equal(await powerState(), 'PoweringOn')
    simulator.moveSeconds(10)
    assert.equal(await powerState(), 'On')
    assert.ok((numberAt(await get('x1000c0s0b0', nodePower), 'Reading') ?? 0) >= 500)
  })

  it('refuses a reset type that it does not list', async () => {
    const { status, body } = await reset('GracefulShutdown')
    assert.equal(status, 400)
    const [info] = listAt(body, 'error', '@Message.ExtendedInfo')
    assert.equal(textAt(info, 'MessageId'), 'Base.1.4.ActionParameterNotSupported')
    const info2 = await get('x1000c0s0b0', `${system}/ResetActionInfo`)
    const [parameter] = listAt(info2, 'Parameters')
    assert.deepEqual(fieldAt(parameter, 'AllowableValues'), ['On', 'ForceOff', 'Off'])
    const malformed = await simulator.ask('x1000c0s0b0', resetTarget, { body: '{' })
    assert.equal(malformed.status, 400)
  })

  it('is still off after the simulator was started anew', async () => {
    await reset('Off')
    simulator.moveSeconds(30)
    const { directory, clock } = simulator
    const truth = await simulator.page('/truth/jobs')
    await simulator.close()
    simulator = await startTestSimulator({ directory, now: clock.now })
    assert.equal(await powerState(), 'Off')
    assert.deepEqual(await simulator.page('/truth/jobs'), truth)
  })

  it('keeps its past when it is started with another pace of jobs', async () => {
    const ids = async () =>
      listAt(await simulator.page('/truth/jobs')).map((job) => numberAt(job, 'job_id'))
    const past = await ids()
    const { directory, clock } = simulator
    await simulator.close()
    simulator = await startTestSimulator({ directory, now: clock.now, jobsPerHour: 600 })
    assert.deepEqual(await ids(), past)
    simulator.moveSeconds(1800)
    const fresh = (await ids()).filter((id) => !past.includes(id))
    assert.ok(fresh.length > 90, `${fresh.length} jobs in half an hour`)
  })

  it('says whose port is in use', async () => {
    const { port } = new URL(simulator.deviceUrl('x1000c0b0'))
    const second = startTestSimulator({ devicePort: Number(port) })
    await assert.rejects(second, {
      message: `x1000c0b0: cannot listen on 127.0.0.1:${port}: the port is in use`,
    })
  })

  it('takes the job of a node down with it', async () => {
    const busy = await simulator.page('/truth/jobs?limit=1')
    const [last] = listAt(busy)
    for (const slot of [0, 1, 2, 3]) {
      await simulator.ask(`x1000c0s${slot}b0`, resetTarget, { body: { ResetType: 'ForceOff' } })
    }
    simulator.moveSeconds(2)
    const jobs = listAt(await simulator.page('/truth/jobs'))
    const ended = jobs.filter((job) => textAt(job, 'ended_at') === '2026-03-01T12:00:08Z')
    assert.ok(ended.length > 0)
    assert.notDeepEqual(jobs[0], last)
  })
})

describe('a simulated iPDU', () => {
  let simulator: TestSimulator

  before(async () => {
    simulator = await startTestSimulator()
  })

  after(async () => await simulator.end())

  const list = async (name: string, pdu = 'x3000m0') =>
    listAt((await simulator.ask(pdu, `/jaws/monitor/${name}`)).body)
  const sum = (elements: readonly unknown[], field: string) =>
    elements.reduce<number>((all, element) => all + (numberAt(element, field) ?? 0), 0)

  it('has no value for a probe that is not found', async () => {
    const [fitted, missing] = await list('sensors/temp', 'x3000m1')
    assert.deepEqual(Object.keys(missing as object), ['id', 'name', 'status'])
    assert.equal(textAt(missing, 'status'), 'Not Found')
    assert.ok((numberAt(fitted, 'temperature_celsius') ?? 0) > 15)
    const [humid] = await list('sensors/humidity', 'x3000m1')
    assert.ok((numberAt(humid, 'relative_humidity') ?? 0) > 20)
  })

  it('has phases that sum up their outlets, in watts and in energy', async () => {
    const outlets = await list('outlets')
    for (const phase of await list('phases')) {
      const own = outlets.filter((one) => textAt(one, 'phase_id') === textAt(phase, 'id'))
      assert.equal(own.length, 4)
      const watts = numberAt(phase, 'active_power') ?? Number.NaN
      assert.ok(Math.abs(watts - sum(own, 'active_power')) <= 2)
      const kilowattHours = numberAt(phase, 'energy') ?? Number.NaN
      assert.ok(Math.abs(kilowattHours - sum(own, 'energy') / 1000) <= 0.06)
    }
  })

  it('has branches that sum up the currents of their outlets', async () => {
    const outlets = await list('outlets')
    for (const branch of await list('branches')) {
      const own = outlets.filter((one) => textAt(one, 'branch_id') === textAt(branch, 'id'))
      const amperes = numberAt(branch, 'current') ?? Number.NaN
      assert.ok(Math.abs(amperes - sum(own, 'current')) <= 0.02)
    }
  })

  it('answers one element of a list under its id, and ends the connection', async () => {
    const answer = await simulator.ask('x3000m0', '/jaws/monitor/outlets/AA2')
    assert.equal(textAt(answer.body, 'id'), 'AA2')
    assert.equal(answer.headers.get('connection'), 'close')
    assert.equal(answer.headers.get('server'), 'ServerTech-AWS/v8.0v')
    assert.equal((await simulator.ask('x3000m0', '/jaws/monitor/outlets/AA99')).status, 404)
  })
})

describeMockups('what a simulated device sends', () => {
  let simulator: TestSimulator

  before(async () => {
    simulator = await startTestSimulator()
  })

  after(async () => await simulator.end())

  const pairs: { mockup: string; xname: string; paths: readonly string[] }[] = [
    {
      mockup: 'CMM',
      xname: 'x1000c0b0',
      paths: [
        '/redfish/v1/Chassis/Enclosure/Sensors/Rectifier2OutputPower',
        '/redfish/v1/Chassis/Enclosure/Sensors/Rectifier0Line1ToLine2InputVoltage',
        '/redfish/v1/Chassis/Enclosure/Sensors/ChassisLiquidOutlet0OutputTemperature',
        '/redfish/v1/Chassis/Enclosure/Sensors/Chassis1Voltage',
        '/redfish/v1/Chassis/Enclosure/Sensors/VoltageRegulator3Temperature',
        '/redfish/v1/Chassis/Enclosure/Oem/Alarms/CabinetLeakDetected',
        '/redfish/v1/Chassis/Enclosure/Power',
        '/redfish/v1/Chassis/Blade3',
      ],
    },
    {
      mockup: 'EX235a',
      xname: 'x1000c0s0b0',
      paths: [
        nodeEnergy,
        nodePower,
        `${node}/Sensors/ChassisCPUSubsystem0OutputEnergy`,
        `${node}/Sensors/GPUSubsystemAccelerator2Power`,
        `${node}/Sensors/CPU02ReportedPower`,
        `${node}/Controls/NodePowerLimit`,
        '/redfish/v1/Chassis/Enclosure/Sensors/ChassisVoltageRegulator0InputPower',
        '/redfish/v1/Chassis/Mezz0/Sensors/Board0ASIC1Temperature',
        system,
        `${system}/ResetActionInfo`,
      ],
    },
    {
      mockup: 'EX425',
      xname: 'x1000c0s5b0',
      paths: ['/redfish/v1/Systems/Node1', '/redfish/v1/Chassis/Node1/Controls/NodePowerLimit'],
    },
    {
      mockup: 'DL325',
      xname: 'x3000c0s17b0',
      paths: [
        '/redfish/v1/Chassis/1/Power',
        '/redfish/v1/Chassis/1/Thermal',
        '/redfish/v1/Systems/1',
      ],
    },
    {
      mockup: 'Gigabyte',
      xname: 'x3000c0s19b0',
      paths: [
        '/redfish/v1/Chassis/Self/Power',
        '/redfish/v1/Chassis/Self/Thermal',
        '/redfish/v1/Chassis/Self/Sensors/Energy',
        '/redfish/v1/Chassis/Self/Sensors/Power',
      ],
    },
    {
      mockup: 'PDU-ServerTech-JAWS',
      xname: 'x3000m0',
      paths: ['outlets', 'phases', 'lines', 'branches', 'sensors/temp', 'sensors/humidity'].map(
        (list) => `/jaws/monitor/${list}`,
      ),
    },
  ]

  for (const { mockup, xname, paths } of pairs) {
    it(`has the fields of the recorded ${mockup}, and of their types`, async () => {
      for (const path of paths) {
        const { status, body } = await simulator.ask(xname, path)
        assert.equal(status, 200, path)
        assert.deepEqual(faultsOf(body, await recorded(mockup, path), path), [])
      }
    })
  }
})

/** Fields that the recording does not have, or has of another type; lists go by the likest. */
function faultsOf(ours: unknown, theirs: unknown, path: string): string[] {
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    return ours.flatMap((one, index) => {
      const all = theirs.map((other) => faultsOf(one, other, `${path}[${index}]`))
      return all.sort((a, b) => a.length - b.length)[0] ?? []
    })
  }
  if (typeof ours !== 'object' || ours === null) {
    return typeof ours === typeof theirs || ours === null ? [] : [`${path}: ${typeof theirs}`]
  }
  if (typeof theirs !== 'object' || theirs === null) return [`${path}: not recorded`]
  return Object.entries(ours).flatMap(([name, value]) =>
    Object.hasOwn(theirs, name)
      ? faultsOf(value, fieldAt(theirs, name), `${path}.${name}`)
      : [`${path}.${name}: not recorded`],
  )
}
