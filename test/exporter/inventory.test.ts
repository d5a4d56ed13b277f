import assert from 'node:assert/strict'
import { serveResources, type TestDevice } from '../support/device.ts'
import { samplesOf, startTestExporter, type TestExporter } from '../support/exporter.ts'
import { describeMockups, serveMockup } from '../support/mockups.ts'
import { collectionOf } from '../support/redfish.ts'

const info = 'cray_component_info'

/** What each recorded device says of its parts: component, resource, model, serial, version. */
const identities: Record<string, [xname: string, ...string[]]> = {
  CMM: [
    'x1000c0b0',
    'x1000c0 Chassis/Enclosure CMM HX21070007',
    'x1000c0t0 Chassis/Enclosure/Power/PowerSupplies/200 CC15000H3C380T LBGEPE20KZ49000770',
    'x1000c0t1 Chassis/Enclosure/Power/PowerSupplies/300 CC15000H3C380T LBGEPE20KZ46051725',
    'x1000c0t2 Chassis/Enclosure/Power/PowerSupplies/400 CC15000H3C380T LBGEPE20KZ49000775',
    'x1000c0t3 Chassis/Enclosure/Power/PowerSupplies/500 CC15000H3C380T LBGEPE20KZ49000777',
  ],
  EX235a: [
    'x1000c0s0b0',
    'x1000c0s0b0 Chassis/Enclosure BardPeakNC GE21100074',
    'x1000c0s0b0 Chassis/Mezz0 R4K44A DW20430411',
    'x1000c0s0b0 Chassis/Mezz1 R4K44A DW20430082',
    'x1000c0s0b0n0 Systems/Node0 HPE CRAY EX235a GE21100074 ex235a.bios-1.3.6',
  ],
  EX425: [
    'x1000c0s1b0',
    'x1000c0s1b0 Chassis/Enclosure WNC HA19340017',
    'x1000c0s1b0 Chassis/Mezz0 R4K44A PR114552V6',
    'x1000c0s1b0n0 Systems/Node0 HPE CRAY EX425 (MILAN) HA19340017 ex425.bios-1.6.3',
    'x1000c0s1b0n1 Systems/Node1 HPE CRAY EX425 (MILAN) HA19340017 ex425.bios-1.6.3',
  ],
  Gigabyte: [
    'x3000c0s2b1',
    'x3000c0s2b1 Managers/Self 410810600 12.84.13',
    'x3000c0s2b1n0 Chassis/Self H262-Z63-00 01234567890123456789AB',
    'x3000c0s2b1n0 Systems/Self H262-Z63-00 GJG9NF512A000302 C27',
  ],
  'PDU-ServerTech-JAWS': [
    'x3000m0',
    'x3000m0p0 units/A C2WG36TE-DQME2M66 ALPN0000001',
    'x3000m0p1 units/B C2XG36TE-DQME2M66 ALQL0000002',
  ],
  'PDU-ServerTech-RTS': [
    'x3000m1',
    'x3000m1p0 PowerEquipment/RackPDUs/A C2WG36TE-DQME2M66 ALPN0000001',
    'x3000m1p1 PowerEquipment/RackPDUs/B C2XG36TE-DQME2M66 ALQL0000002',
  ],
  'PDU-HPE': ['x3000m2', 'x3000m2p0 PowerEquipment/RackPDUs/1 EXAMPLE-PDU EXAMPLE0001 1.4.0'],
}

describeMockups('the identity of the parts', () => {
  const servers = new Map<string, TestDevice>()
  let exporter: TestExporter

  before(async () => {
    const devices = []
    for (const [kind, [xname]] of Object.entries(identities)) {
      const server = await serveMockup(kind)
      servers.set(xname, server)
      devices.push({ xname, server })
    }
    exporter = await startTestExporter({ devices, poll: { fastSeconds: 60 } })
  })

  after(async () => {
    await exporter?.close()
    await Promise.all([...servers.values()].map((server) => server.close()))
  })

  for (const [kind, [bmc, ...wanted]] of Object.entries(identities)) {
    it(`of ${kind} is shown as the device gives it`, async () => {
      const samples = samplesOf(await exporter.scrape(`/probe?target=${bmc}`), info, { bmc })
      assert.deepEqual(samples.map(({ labels }) => textOf(labels)).sort(), wanted)
      assert.ok(samples.every(({ value }) => value === 1))
    })
  }

  it('costs no request where only power and energy are asked for', async () => {
    // The first polls of all the rest are over then.
    const ended = { round: 'slow' }
    await exporter.scrapeUntil(
      (all) => samplesOf(all, 'cray_device_round_requests', ended).length === servers.size,
    )
    for (const [bmc, server] of servers) {
      await exporter.scrape(`/probe?target=${bmc}&module=power`)
      const before = server.requests.length
      await exporter.scrape(`/probe?target=${bmc}&module=power`)
      const parts = /\/(Managers|Systems)\/|\/Chassis\/\w+$|\/RackPDUs\/\w+$|\/config\//
      const asked = server.requests.slice(before).filter((request) => parts.test(request))
      assert.deepEqual(asked, [], bmc)
    }
  })
})

describe('an inventory', () => {
  it('leaves out what names nothing but its maker, or says that it is unknown', async () => {
    const server = await serveResources({
      ...collectionOf('/redfish/v1/Chassis', { A: { Manufacturer: 'HPE', Model: 'N/A' } }),
      ...collectionOf('/redfish/v1/Systems', { A: { Model: 'X', SerialNumber: ' ', SKU: 'S' } }),
      ...collectionOf('/redfish/v1/Managers', {
        A: { Model: 'gone', Status: { State: 'Absent' } },
      }),
    })
    const exporter = await startTestExporter({ devices: [{ xname: 'x3000c0s1b0', server }] })
    const samples = samplesOf(await exporter.scrape('/probe?target=x3000c0s1b0'), info)
    await Promise.all([exporter.close(), server.close()])
    assert.deepEqual(
      samples.map(({ labels }) => textOf(labels)),
      ['x3000c0s1b0n0 Systems/A X'],
    )
  })

  it('of devices tells the cabinet, chassis and slot of each for http_sd', async () => {
    const server = await serveResources({})
    const wanted = {
      x1000c0b0: ['x1000', 'x1000c0', undefined],
      x1000c0s3b0: ['x1000', 'x1000c0', 'x1000c0s3'],
      x1000c0r1b0: ['x1000', 'x1000c0', 'x1000c0r1'],
      x3000m0: ['x3000', undefined, undefined],
    }
    const devices = Object.keys(wanted).map((xname) => ({ xname, server }))
    const exporter = await startTestExporter({ devices })
    const targets = (await (await fetch(`${exporter.url}/sd`)).json()) as {
      labels: Record<string, string>
    }[]
    await Promise.all([exporter.close(), server.close()])
    const label = (labels: Record<string, string>, name: string) =>
      labels[`__meta_joulebridge_${name}`] || undefined
    const shown = targets.map(({ labels }) => [
      label(labels, 'xname'),
      ['cabinet', 'chassis', 'slot'].map((name) => label(labels, name)),
    ])
    assert.deepEqual(Object.fromEntries(shown), wanted)
  })
})

function textOf(labels: Record<string, string>): string {
  const names = ['xname', 'resource', 'model', 'serial', 'version']
  return names.flatMap((name) => labels[name] ?? []).join(' ')
}
