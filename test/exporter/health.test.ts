import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { serveResources } from '../support/device.ts'
import { type Sample, samplesOf, startTestExporter } from '../support/exporter.ts'
import { requireProgram } from '../support/prometheus.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { simulatorLogin, startTestSimulator } from '../support/simulator.ts'

const ok = { Health: 'OK', State: 'Enabled' }

describe('health', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })

  async function probed(xname: string, resources: RedfishTree): Promise<Sample[]> {
    const server = await serveResources(resources)
    const exporter = await startTestExporter({ devices: [{ xname, server }] })
    closing.push(exporter, server)
    return await exporter.scrape(`/probe?target=${xname}`)
  }

  it('of a server, its manager, supplies and fans is one state of three', async () => {
    const samples = await probed('x3000c0s1b0', server())
    assert.deepEqual(statesOf(samples, 'cray_health_state'), [
      ['x3000c0s1b0', 'Managers/1', 'OK'],
      ['x3000c0s1b0n0', 'Chassis/1', 'OK'],
      ['x3000c0s1b0n0', 'Chassis/1/Power/PowerSupplies/0', 'OK'],
      ['x3000c0s1b0n0', 'Chassis/1/Power/PowerSupplies/1', 'Critical'],
      ['x3000c0s1b0n0', 'Chassis/1/Thermal/Fans/0', 'Warning'],
      ['x3000c0s1b0n0', 'Systems/1', 'OK'],
    ])
    assert.deepEqual(statesOf(samples, 'cray_health_rollup_state'), [
      ['x3000c0s1b0n0', 'Systems/1', 'Critical'],
    ])
    const critical = { resource: 'Chassis/1/Power/PowerSupplies/1' }
    assert.deepEqual(
      samplesOf(samples, 'cray_health_state', critical).map(({ labels, value }) => [
        labels['state'],
        value,
      ]),
      [
        ['Critical', 1],
        ['OK', 0],
        ['Warning', 0],
      ],
    )
  })

  it('of a part that is not fitted is unknown, and its state says so', async () => {
    const samples = await probed('x3000c0s1b0', server())
    const gone = { resource: 'Chassis/1/Thermal/Fans/1' }
    assert.deepEqual(samplesOf(samples, 'cray_health_state', gone), [])
    assert.deepEqual(
      statesOf(samples, 'cray_status_state').filter(([, , state]) => state !== 'Enabled'),
      [
        ['x3000c0s1b0n0', 'Chassis/1/Thermal/Fans/1', 'Absent'],
        ['x3000c0s1b0n0', 'Chassis/1/Power/PowerSupplies/1', 'UnavailableOffline'],
      ].sort(),
    )
  })

  it('that a device invents is Other, and no state of its own', async () => {
    const samples = await probed('x3000c0s1b0', {
      ...collectionOf('/redfish/v1/Chassis', { 1: { Status: { Health: 'Fine' } } }),
      ...collectionOf('/redfish/v1/Systems', { 1: { PowerState: 'Melting' } }),
    })
    assert.deepEqual(statesOf(samples, 'cray_health_state'), [
      ['x3000c0s1b0n0', 'Chassis/1', 'Other'],
    ])
    assert.deepEqual(statesOf(samples, 'cray_power_state'), [['x3000c0s1b0n0', '', 'Other']])
  })

  it('of a Cray chassis is told by blade, with the alarms that it lists', async () => {
    const samples = await probed('x1000c0b0', {
      ...collectionOf('/redfish/v1/Chassis', {
        Enclosure: { Status: ok, Oem: { TriggeredAlarms: [{ Id: 'CabinetLeakDetected' }] } },
        Blade0: { Status: { ...ok, Health: 'Warning' } },
        Blade1: { Status: { Health: 'OK', State: 'Absent' }, PowerState: 'Off' },
      }),
      ...collectionOf('/redfish/v1/Managers', { BMC: { Status: ok } }),
    })
    assert.deepEqual(statesOf(samples, 'cray_health_state'), [
      ['x1000c0', 'Chassis/Enclosure', 'OK'],
      ['x1000c0b0', 'Managers/BMC', 'OK'],
      ['x1000c0s0', 'Chassis/Blade0', 'Warning'],
    ])
    const [triggered] = samplesOf(samples, 'cray_triggered_alarms')
    assert.deepEqual([triggered?.labels['xname'], triggered?.value], ['x1000c0', 1])
  })

  it('of an iPDU is what its words for a status say', async () => {
    const samples = await probed('x3000m0', {
      '/jaws/monitor/units': [{ id: 'A' }],
      '/jaws/monitor/outlets': [
        { id: 'AA1', status: 'Normal' },
        { id: 'AA2', status: 'High Warning' },
        { id: 'AA3', status: 'Low Alarm' },
        { id: 'AA4', status: 'Breaker Tripped' },
      ],
      '/jaws/monitor/phases': [],
      '/jaws/monitor/sensors/temp': [
        { id: 'A1', status: 'Lost' },
        { id: 'A2', status: 'Not Found' },
      ],
    })
    assert.deepEqual(statesOf(samples, 'cray_health_state'), [
      ['x3000m0p0', 'sensors/temp/A1', 'Other'],
      ['x3000m0p0v1', 'outlets/AA1', 'OK'],
      ['x3000m0p0v2', 'outlets/AA2', 'Warning'],
      ['x3000m0p0v3', 'outlets/AA3', 'Critical'],
      ['x3000m0p0v4', 'outlets/AA4', 'Other'],
    ])
    const without = samplesOf(samples, 'cray_sensors_without_reading')
    assert.deepEqual(
      without.map(({ labels, value }) => [labels['reason'], value]),
      [
        ['absent', 1],
        ['no_reading', 1],
      ],
    )
  })
})

describe('all devices of the simulator', () => {
  it('pass promtool check metrics, each on its own and together', async function () {
    const promtool = await requireProgram('promtool', this)
    const simulator = await startTestSimulator()
    const { devices } = (await simulator.page('/inventory')) as {
      devices: { xname: string; url: string }[]
    }
    const { certificate } = simulator
    const exporter = await startTestExporter({
      devices: devices.map(({ xname, url }) => ({ xname, server: { url, certificate } })),
      password: simulatorLogin.password,
      poll: { slowSeconds: 60 },
    })
    try {
      const isUp = (all: Sample[]) =>
        samplesOf(all, 'cray_device_up').filter(({ value }) => value === 1).length
      await exporter.scrapeUntil((all) => isUp(all) === devices.length)
      const probes = devices.map(({ xname }) => `/probe?target=${xname}`)
      assert.ok(probes.length > 5, `only ${probes.length} devices`)
      const texts = [...probes, '/metrics'].map(async (path) => {
        const answer = await fetch(exporter.url + path)
        return [path, await answer.text()] as const
      })
      for (const [path, input] of await Promise.all(texts)) {
        const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input })
        assert.equal(`${path} ${stdout}${stderr}`, `${path} `)
        assert.equal(status, 0)
      }
    } finally {
      await exporter.close()
      await simulator.end()
    }
  })
})

/** The state that each part is in: its component, its resource, the state. */
function statesOf(samples: readonly Sample[], name: string): string[][] {
  return samplesOf(samples, name)
    .filter(({ value }) => value === 1)
    .map(({ labels }) => [labels['xname'] ?? '', labels['resource'] ?? '', labels['state'] ?? ''])
}

/** An iLO with two supplies, one of them broken, and two fans, one of them not there. */
function server(): RedfishTree {
  const chassis = '/redfish/v1/Chassis'
  const broken = { Health: 'Critical', State: 'UnavailableOffline' }
  return {
    ...collectionOf(chassis, {
      1: { Status: ok, Power: link(`${chassis}/1/Power`), Thermal: link(`${chassis}/1/Thermal`) },
    }),
    [`${chassis}/1/Power`]: {
      PowerSupplies: [
        { MemberId: '0', Status: ok },
        { MemberId: '1', Status: broken },
      ],
    },
    [`${chassis}/1/Thermal`]: {
      Fans: [
        { MemberId: 0, Name: 'Fan 1', Status: { Health: 'Warning', State: 'Enabled' } },
        { MemberId: 1, Name: 'Fan 2', Status: { Health: 'OK', State: 'Absent' } },
      ],
    },
    ...collectionOf('/redfish/v1/Systems', { 1: { Status: { ...ok, HealthRollup: 'Critical' } } }),
    ...collectionOf('/redfish/v1/Managers', { 1: { Status: ok } }),
  }
}
