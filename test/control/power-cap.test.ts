import assert from 'node:assert/strict'
import { startTestControl, type TestControl } from '../support/control.ts'
import {
  crayLimits,
  type LimitDevice,
  serverLimits,
  startLimitDevice,
} from '../support/limit-device.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { refusal } from '../support/power-device.ts'

const node = 'x1000c0s0b0n0'

async function patch(control: TestControl, limits: Record<string, number>, xname = node) {
  const controls = Object.entries(limits).map(([name, value]) => ({ name, value }))
  const body = { components: [{ xname, controls }] }
  const reply = await control.call('PATCH', '/power-cap', body)
  assert.equal(reply.status, 202, JSON.stringify(reply.body))
  return await control.endedCap(reply.body.taskID)
}

async function snapshot(control: TestControl, xnames: readonly string[] = [node]) {
  const reply = await control.call('POST', '/power-cap/snapshot', { xnames })
  assert.equal(reply.status, 202, JSON.stringify(reply.body))
  return await control.endedCap(reply.body.taskID)
}

describe('a power limit', () => {
  let device: LimitDevice
  let control: TestControl
  let database: TestDatabase

  async function start(resources: Record<string, unknown>, settings: object = {}) {
    device = await startLimitDevice(resources)
    database = await cloneDatabase()
    control = await startTestControl({
      databaseUrl: database.url,
      devices: [{ xname: 'x1000c0s0b0', server: device }],
      settings: { capSettleSeconds: 0.1, ...settings },
    })
  }

  afterEach(async () => {
    await control.close()
    await device.close()
  })

  const deep = '/redfish/v1/Chassis/Node0/Controls.Deep'
  const controlOf = (name: string) => `/redfish/v1/Chassis/Node0/Controls/${name}PowerLimit`

  it('of a Cray EX node is shown with its range, and counts by control, as in PCS', async () => {
    await start(crayLimits())
    const record = await snapshot(control)
    assert.deepEqual(record.taskCounts, {
      total: 5,
      new: 0,
      'in-progress': 0,
      failed: 0,
      succeeded: 5,
      'un-supported': 0,
    })
    const [component] = record.components
    assert.equal(record.type, 'snapshot')
    assert.equal(component.xname, node)
    assert.deepEqual(component.limits, {
      hostLimitMax: 2754,
      hostLimitMin: 764,
      powerupPower: 250,
    })
    assert.deepEqual(component.powerCapLimits.slice(0, 2), [
      { name: 'Node Power Limit', currentValue: 0, maximumValue: 2754, minimumValue: 764 },
      { name: 'Accelerator0 Power Limit', currentValue: 0, maximumValue: 560, minimumValue: 100 },
    ])
    assert.deepEqual(device.writes, [])
  })

  it('is set by one PATCH of Controls.Deep, read back, and removed by 0', async () => {
    await start(crayLimits())
    const set = await patch(control, { 'Node Power Limit': 1500, 'Accelerator1 Power Limit': 300 })
    assert.deepEqual(device.writes, [
      {
        method: 'PATCH',
        path: deep,
        body: {
          Members: [
            { '@odata.id': controlOf('Node'), SetPoint: 1500, ControlMode: 'Automatic' },
            { '@odata.id': controlOf('Accelerator1'), SetPoint: 300, ControlMode: 'Automatic' },
          ],
        },
      },
    ])
    const { total, succeeded } = set.taskCounts
    assert.deepEqual([total, succeeded], [1, 1])
    assert.equal(set.components[0].powerCapLimits[0].currentValue, 1500)
    const removed = await patch(control, { 'Node Power Limit': 0 })
    assert.deepEqual(device.writes.at(-1)?.body, {
      Members: [{ '@odata.id': controlOf('Node'), ControlMode: 'Disabled' }],
    })
    assert.equal(removed.components[0].powerCapLimits[0].currentValue, 0)
  })

  it('that is as wanted already is not sent', async () => {
    await start(crayLimits())
    const { components } = await patch(control, { 'Node Power Limit': 0 })
    assert.equal(components[0].error, undefined)
    assert.deepEqual(device.writes, [])
  })

  it('outside the range that the device shows now fails, and nothing is sent', async () => {
    await start(crayLimits())
    device.resources[controlOf('Node')].SettingRangeMax = 1000
    const high = await patch(control, { 'Node Power Limit': 1001, 'Accelerator0 Power Limit': 200 })
    assert.equal(
      high.components[0].error,
      'Node Power Limit: 1001 W is more than its maximum, 1000 W',
    )
    const low = await patch(control, { 'Node Power Limit': 763 })
    assert.match(low.components[0].error, /763 W is less than its minimum, 764 W/)
    const other = await patch(control, { 'Blade Power Limit': 800 })
    assert.equal(other.components[0].error, "Skipping undefined control 'Blade Power Limit'")
    assert.deepEqual(
      [high, low, other].map(({ taskCounts }) => taskCounts.failed),
      [1, 1, 1],
    )
    assert.deepEqual(device.writes, [])
  })

  it('of accelerators that does not fit into that of the node fails', async () => {
    await start(crayLimits())
    const each = Object.fromEntries([0, 1, 2, 3].map((k) => [`Accelerator${k} Power Limit`, 400]))
    const tooMuch = await patch(control, { 'Node Power Limit': 1500, ...each })
    assert.equal(
      tooMuch.components[0].error,
      "the accelerators' limits are 1600 W together, the node's is 1500 W",
    )
    assert.deepEqual(device.writes, [])
    await patch(control, { 'Node Power Limit': 1600, ...each })
    const lower = await patch(control, { 'Node Power Limit': 1599 })
    assert.match(lower.components[0].error, /1600 W together, the node's is 1599 W/)
    assert.equal(device.writes.length, 1)
  })

  it('that the device refuses fails with its status and MessageId', async () => {
    await start(crayLimits())
    device.onWrite = () => refusal(400, 'Base.1.8.PropertyValueNotInList', 'Not in the list.')
    const { components, taskCounts } = await patch(control, { 'Node Power Limit': 900 })
    assert.equal(components[0].error, 'HTTP 400 Base.1.8.PropertyValueNotInList: Not in the list.')
    assert.equal(taskCounts.failed, 1)
    assert.equal(device.writes.length, 1)
    assert.equal(components[0].powerCapLimits[0].currentValue, 0)
    const metrics: string = (await control.call('GET', '/metrics')).body
    for (const line of [
      'joulebridge_power_cap_tasks_total{type="patch"} 1',
      'joulebridge_power_cap_components_total{type="patch",outcome="failed"} 1',
      'joulebridge_power_cap_device_errors_total{reason="malformed"} 1',
      'joulebridge_power_cap_components_in_flight 0',
      'joulebridge_power_cap_oldest_component_seconds 0',
      'joulebridge_power_http_requests_total{route="patchPowerCap",status="202"} 1',
    ]) {
      assert.ok(metrics.includes(`${line}\n`), line)
    }
  })

  it('that the device clips fails, with the value that was read', async () => {
    await start(crayLimits())
    device.clip = (watts) => Math.min(watts, 800)
    const { components } = await patch(control, { 'Node Power Limit': 900 })
    assert.equal(components[0].error, 'Node Power Limit: asked for 900 W, the device has 800 W')
    assert.equal(components[0].powerCapLimits[0].currentValue, 800)
  })

  it('is sent again where the device is busy, and once where only the answer is lost', async () => {
    await start(crayLimits(), { timeoutSeconds: 0.3 })
    const busy = refusal(503, 'Base.1.8.ServiceTemporarilyUnavailable', 'Later.')
    device.onWrite = () => (device.writes.length === 1 ? busy : undefined)
    assert.equal((await patch(control, { 'Node Power Limit': 900 })).taskCounts.succeeded, 1)
    assert.equal(device.writes.length, 2)
    device.onWrite = () => 'done, no answer'
    assert.equal((await patch(control, { 'Node Power Limit': 950 })).taskCounts.succeeded, 1)
    assert.equal(device.writes.length, 3)
  })

  it('of an older Cray EX node keeps its position in PowerControl', async () => {
    const cray = { PowerLimit: { Min: 350, Max: 925, Factor: 1.02 }, PowerResetWatts: 250 }
    const gpu = { PowerLimit: { Min: 100, Max: 300, Factor: 1 } }
    const power = {
      PowerControl: [
        { Name: 'Node Power Control', PowerLimit: { LimitInWatts: 0 }, Oem: { Cray: cray } },
        { Name: 'Accelerator0 Power Control', PowerLimit: { LimitInWatts: 0 }, Oem: { Cray: gpu } },
      ],
    }
    await start(serverLimits('Node0', { power }))
    const set = await patch(control, { 'Accelerator0 Power Control': 200 })
    assert.deepEqual(device.writes[0]?.body, {
      PowerControl: [{}, { PowerLimit: { LimitInWatts: 200 } }],
    })
    const [component] = set.components
    assert.deepEqual(component.limits, { hostLimitMax: 925, hostLimitMin: 350, powerupPower: 250 })
    assert.deepEqual(component.powerCapLimits[1], {
      name: 'Accelerator0 Power Control',
      currentValue: 200,
      maximumValue: 300,
      minimumValue: 100,
    })
  })

  it('of an iLO is null for none, and at most its capacity', async () => {
    const limit = { PowerCapacityWatts: 1000, PowerLimit: { LimitInWatts: null } }
    await start(serverLimits('1', { power: { PowerControl: [limit] } }))
    await patch(control, { 'Node Power Limit': 400 })
    const removed = await patch(control, { 'Node Power Limit': 0 })
    assert.deepEqual(
      device.writes.map(({ body }) => body),
      [400, null].map((LimitInWatts) => ({ PowerControl: [{ PowerLimit: { LimitInWatts } }] })),
    )
    assert.deepEqual(removed.components[0].powerCapLimits, [
      { name: 'Node Power Limit', currentValue: 0, maximumValue: 1000 },
    ])
    const high = await patch(control, { 'Node Power Limit': 1001 })
    assert.match(high.components[0].error, /more than its maximum, 1000 W/)
  })

  it('of an Apollo 6500 is that of its zones, and set by the action that it names', async () => {
    const path = '/redfish/v1/Chassis/1/Power/AccPowerService/PowerLimit'
    const target = `${path}/Actions/HpeServerAccPowerLimit.ConfigurePowerLimit`
    const links = { AccPowerService: { '@odata.id': '/redfish/v1/service/' } }
    const power = { PowerControl: [{ MemberId: '0' }], Oem: { Hpe: { Links: links } } }
    await start({
      ...serverLimits('1', { power }),
      '/redfish/v1/service': { Links: { PowerLimit: { '@odata.id': `${path}/` } } },
      [path]: {
        Actions: { '#HpeServerAccPowerLimit.ConfigurePowerLimit': { target } },
        PowerLimitRanges: [{ MinimumPowerLimit: 5036, MaximumPowerLimit: 11_221, ZoneNumber: 0 }],
        PowerLimits: [{ PowerLimitInWatts: null, ZoneNumber: 0 }],
      },
    })
    device.onWrite = (_, body) => void Object.assign(device.resources[path], body)
    const [none] = (await snapshot(control)).components
    assert.deepEqual(none.powerCapLimits, [
      { name: 'Node Power Limit', currentValue: 0, maximumValue: 11_221, minimumValue: 5036 },
    ])
    const set = await patch(control, { 'Node Power Limit': 6000 })
    assert.equal(set.components[0].powerCapLimits[0].currentValue, 6000)
    await patch(control, { 'Node Power Limit': 5000 })
    await patch(control, { 'Node Power Limit': 0 })
    const sent = device.writes.map(({ method, path: to, body }) => [method, to, body])
    const zone = (watts: number) => ({ PowerLimits: [{ PowerLimitInWatts: watts, ZoneNumber: 0 }] })
    assert.deepEqual(
      sent,
      [6000, 0].map((watts) => ['POST', target, zone(watts)]),
    )
  })

  it('of a Gigabyte server is switched on before it is set', async () => {
    const target = '/redfish/v1/Chassis/Self/Power/Actions/LimitTrigger'
    const control0 = {
      Name: 'Chassis Power Control',
      PowerCapacityWatts: 0,
      PowerLimit: { LimitInWatts: 500 },
      Oem: { Vendor: { PowerLimit: { Min: 61, Max: 900 } } },
    }
    const power = {
      PowerControl: [control0],
      Actions: { Oem: { '#PowerLimitTrigger': { target } } },
    }
    await start(serverLimits('Self', { power }))
    await patch(control, { 'Chassis Power Control': 600 })
    assert.deepEqual(device.writes[0], {
      method: 'POST',
      path: target,
      body: { PowerLimitTrigger: 'Activate' },
    })
    assert.equal(device.writes[1]?.method, 'PATCH')
  })

  it('is sent with the ETag of now where a device takes it with that only', async () => {
    const PowerControl = [{ MemberId: '0', PowerLimit: { LimitInWatts: 400 } }]
    await start(serverLimits('1', { power: { PowerControl } }))
    device.tag = '"first"'
    const { components } = await patch(control, { 'Node Power Limit': 300 })
    assert.deepEqual(
      [components[0].error, components[0].powerCapLimits[0].currentValue],
      [undefined, 300],
    )
    assert.deepEqual(device.writes.length, 2)
  })

  it('of a standard server is its PowerLimitWatts', async () => {
    const limit = { SetPoint: 0, ControlMode: 'Disabled', AllowableMin: 200, AllowableMax: 800 }
    await start(serverLimits('chassis', { environment: { PowerLimitWatts: limit } }))
    const { components } = await patch(control, { 'Node Power Limit': 500 })
    assert.deepEqual(device.writes, [
      {
        method: 'PATCH',
        path: '/redfish/v1/Chassis/chassis/EnvironmentMetrics',
        body: { PowerLimitWatts: { SetPoint: 500, ControlMode: 'Automatic' } },
      },
    ])
    assert.equal(components[0].error, undefined)
    assert.deepEqual(components[0].powerCapLimits, [
      { name: 'Node Power Limit', currentValue: 500, maximumValue: 800, minimumValue: 200 },
    ])
  })

  it("that cannot be had says so for its component alone, in PCS's words", async () => {
    await start({ ...crayLimits(), '/redfish/v1/Chassis/Node0': { Id: 'Node0' } })
    const xnames = [node, 'x1000c0s0b0n7', 'x9999c7s9b9n9', 'FAKE', 'x1000c0s0b0']
    const read = await snapshot(control, xnames)
    const errors = Object.fromEntries(
      read.components.map(({ xname, error }: { xname: string; error: string }) => [xname, error]),
    )
    assert.deepEqual(errors, {
      FAKE: 'Invalid xname',
      x1000c0s0b0: 'Type, NodeBMC unsupported for power capping',
      [node]: 'Missing Power Cap URI',
      x1000c0s0b0n7: 'Xname not found in HSM',
      x9999c7s9b9n9: 'Xname not found in HSM',
    })
    const { failed, 'un-supported': unsupported } = read.taskCounts
    assert.deepEqual([failed, unsupported], [3, 2])
    const { components } = await patch(control, { 'Node Power Limit': 0 }, 'x1000c0s0b0')
    assert.equal(components[0].error, "Skipping undefined control 'Node Power Limit'")
  })

  it('fails within seconds where the device is silent', async () => {
    await start(crayLimits(), { timeoutSeconds: 0.05 })
    await device.close()
    const { components } = await patch(control, { 'Node Power Limit': 900 })
    assert.match(components[0].error, /no connection|no answer/)
  })

  it('is asked for once with one key, and refused for another body', async () => {
    await start(crayLimits())
    const ask = (value: number) => {
      const controls = [{ name: 'Node Power Limit', value }]
      const headers = { 'idempotency-key': 'one' }
      return control.call(
        'PATCH',
        '/power-cap',
        { components: [{ xname: node, controls }] },
        headers,
      )
    }
    const [first, second] = await Promise.all([ask(900), ask(900)])
    assert.equal(first.body.taskID, second.body.taskID)
    await control.endedCap(first.body.taskID)
    assert.equal((await ask(900)).body.taskID, first.body.taskID)
    assert.equal((await ask(901)).status, 422)
    assert.equal(device.writes.length, 1)
  })

  it('is refused before anything is stored where the request is wrong', async () => {
    await start(crayLimits(), { targetsPerRequest: 2 })
    const component = (controls: unknown) => ({ components: [{ xname: node, controls }] })
    const named = (value: unknown) => component([{ name: 'Node Power Limit', value }])
    const bodies = [
      '{',
      '',
      { components: [] },
      named(-1),
      named(1.5),
      named('FAKE'),
      component([{ name: '', value: 1 }]),
      component('all'),
    ]
    for (const body of bodies) {
      const reply = await control.call('PATCH', '/power-cap', body)
      assert.equal(reply.status, 400, JSON.stringify(body))
      assert.equal(reply.body.title, 'Bad Request')
    }
    const xnames = ['x1', 'x2', 'x3']
    const many = await control.call('POST', '/power-cap/snapshot', { xnames })
    assert.deepEqual(
      [many.status, many.body.detail],
      [413, 'xnames: 3 components, more than 2 in one request'],
    )
    const large = { xnames: ['x1'], padding: 'x'.repeat(5_000_000) }
    assert.equal((await control.call('POST', '/power-cap/snapshot', large)).status, 413)
    assert.equal((await control.call('POST', '/power-cap/snapshot', { xnames: [] })).status, 400)
    assert.deepEqual((await control.call('GET', '/power-cap')).body, { tasks: [] })
    assert.match(
      (await control.call('PATCH', '/power-cap', named(-1))).body.detail,
      /components\.0\.controls\.0\.value: expected watts, 0 or more/,
    )
  })

  it('shows its plan, and sends nothing, in a dry run', async () => {
    await start(crayLimits())
    const controls = [{ name: 'Node Power Limit', value: 900 }]
    const components = [{ xname: node, controls }]
    const { status, body } = await control.call('PATCH', '/power-cap', { components, dryRun: true })
    assert.equal(status, 200)
    assert.deepEqual(body.plan[0].url, deep)
    assert.equal(body.plan[0].action, 'send')
    assert.deepEqual(device.writes, [])
    assert.deepEqual((await control.call('GET', '/power-cap')).body, { tasks: [] })
  })
})
