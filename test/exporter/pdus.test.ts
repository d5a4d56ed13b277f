import assert from 'node:assert/strict'
import { answer, serveDevice, serveResources, type TestDevice } from '../support/device.ts'
import {
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporterOptions,
} from '../support/exporter.ts'
import { collectionOf, excerpt, link, type RedfishTree } from '../support/redfish.ts'

const pdus = '/redfish/v1/PowerEquipment/RackPDUs'

describe('a PDU', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })

  async function started(server: TestDevice, poll: TestExporterOptions['poll'] = {}) {
    const exporter = await startTestExporter({ devices: [{ xname: 'x3000m0', server }], poll })
    closing.push(exporter, server)
    return exporter
  }

  async function probed(resources: RedfishTree) {
    const exporter = await started(await serveResources(resources))
    const samples = await exporter.scrape('/probe?target=x3000m0')
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up').length > 0)
    const targets = (await (await fetch(`${exporter.url}/sd`)).json()) as Target[]
    const value = (name: string, labels: Record<string, string>) =>
      sampleValue(samples, name, { bmc: 'x3000m0', source: 'redfish', ...labels })
    return { samples, value, kind: targets[0]?.labels['__meta_joulebridge_kind'] }
  }

  it('that speaks Redfish shows outlets, mains, branches, totals and probes once', async () => {
    const { kind, samples, value } = await probed(presentPdu('7'))
    assert.equal(kind, 'rack-pdu')
    const outlet = { xname: 'x3000m0p0v1', outlet: 'A1' }
    assert.equal(value('cray_pdu_outlet_power_watts', outlet), 94)
    assert.equal(value('cray_pdu_outlet_apparent_power_voltamperes', outlet), 96)
    assert.equal(value('cray_pdu_outlet_power_factor_ratio', outlet), 0.98)
    assert.equal(value('cray_pdu_outlet_energy_joules_total', outlet), 36166 * 3.6e6)
    assert.equal(value('cray_pdu_outlet_state', { ...outlet, state: 'On' }), 1)
    assert.equal(samplesOf(samples, 'cray_pdu_outlet_voltage_volts', outlet).length, 1)
    const other = samplesOf(samples, 'cray_pdu_outlet_power_watts', { outlet: 'A10' })
    assert.deepEqual(
      other.map(({ labels }) => labels['xname']),
      ['x3000m0p0v3'],
    )
    assert.equal(value('cray_pdu_mains_power_watts', { mains: 'AC1' }), 937.4)
    assert.equal(
      value('cray_pdu_phase_voltage_volts', { mains: 'AC1', phase: 'Line1ToLine2' }),
      207,
    )
    assert.equal(value('cray_pdu_line_current_amperes', { mains: 'AC1', line: 'Line3' }), 5.5)
    assert.equal(value('cray_pdu_branch_current_amperes', { branch: 'A' }), 5.19)
    assert.equal(value('cray_pdu_branch_energy_joules_total', { branch: 'A' }), 325675 * 3.6e6)
    assert.equal(value('cray_pdu_power_watts', { xname: 'x3000m0p0' }), 6438)
    assert.equal(value('cray_pdu_energy_joules_total', {}), 56438 * 3.6e6)
    const celsius = samplesOf(samples, 'cray_pdu_temperature_celsius')
    assert.deepEqual(
      celsius.map((each) => [each.labels['probe'], each.value]),
      [['Metrics', 26.3]],
    )
    assert.equal(value('cray_pdu_humidity_ratio', { probe: 'Metrics' }), 0.527)
    assert.equal(value('cray_pdu_humidity_ratio', { probe: 'Door' }), 0.44)
    assert.deepEqual(samplesOf(samples, 'cray_sensor_power_watts'), [])
  })

  it('numbers outlets by all pages of their list, though one does not answer', async () => {
    const { samples } = await probed({
      ...collectionOf(pdus, { '1': { Outlets: link(`${pdus}/1/Outlets`) } }),
      [`${pdus}/1/Outlets`]: {
        Members: [link(`${pdus}/1/Outlets/OUTLET10/`), link(`${pdus}/1/Outlets/OUTLET2/`)],
        'Members@odata.nextLink': `${pdus}/1/Outlets?page=2`,
      },
      [`${pdus}/1/Outlets?page=2`]: { Members: [link(`${pdus}/1/Outlets/OUTLET3/`)] },
      [`${pdus}/1/Outlets/OUTLET10`]: { PowerWatts: { Reading: 10 } },
      [`${pdus}/1/Outlets/OUTLET3`]: { PowerWatts: { Reading: 3 } },
    })
    const power = samplesOf(samples, 'cray_pdu_outlet_power_watts')
    assert.deepEqual(power.map(({ labels, value }) => [labels['xname'], value]).sort(), [
      ['x3000m0p0v2', 3],
      ['x3000m0p0v3', 10],
    ])
  })

  it('behind the translation layer has watt-hours labelled joules, and Celsius as C', async () => {
    const { kind, samples, value } = await probed({
      ...collectionOf(pdus, {
        A: {},
        C: {
          Manufacturer: 'SERVERTECH',
          Outlets: link(`${pdus}/C/Outlets/`),
          Mains: link(`${pdus}/C/Mains`),
          Sensors: link(`${pdus}/C/Sensors`),
        },
      }),
      [`${pdus}/A`]: { Manufacturer: 'Server Technology' },
      ...collectionOf(`${pdus}/C/Outlets`, {
        CB07: {
          EnergySensor: { Reading: 1000, ReadingUnits: 'J' },
          PowerSensor: { Reading: 57, ReadingUnits: 'W', ApparentVA: 73, PowerFactor: 0.78 },
          CurrentSensor: { Reading: null, ReadingUnits: 'A' },
        },
      }),
      ...collectionOf(`${pdus}/C/Mains`, {
        AC2: { PolyPhasePowerSensors: { Line3ToLine1: { Reading: 328, ReadingUnits: 'W' } } },
      }),
      ...collectionOf(`${pdus}/C/Sensors`, {
        TemperatureC2: { Name: 'Rear', Reading: 31.5, ReadingUnits: 'C' },
        HumidityC2: { Reading: null, ReadingUnits: '%', Status: { State: 'Absent' } },
      }),
    })
    assert.equal(kind, 'rts')
    const outlet = { xname: 'x3000m0p1v1', outlet: 'CB07' }
    assert.equal(value('cray_pdu_outlet_energy_joules_total', outlet), 3.6e6)
    assert.equal(value('cray_pdu_outlet_power_watts', outlet), 57)
    assert.deepEqual(samplesOf(samples, 'cray_pdu_outlet_current_amperes'), [])
    const phase = { xname: 'x3000m0p1', mains: 'AC2', phase: 'Line3ToLine1' }
    assert.equal(value('cray_pdu_phase_power_watts', phase), 328)
    assert.equal(value('cray_pdu_temperature_celsius', { probe: 'C2', name: 'Rear' }), 31.5)
    assert.deepEqual(samplesOf(samples, 'cray_pdu_humidity_ratio'), [])
    assert.equal(sampleValue(samples, 'cray_sensors_without_reading', { reason: 'absent' }), 1)
  })

  it('of ServerTech may be many linked units, with what each of them measures', async () => {
    const { kind, samples } = await probed({
      '/jaws/monitor/units': ['A', 'C', 'B'].map((id) => ({ id })),
      '/jaws/monitor/outlets': [
        { id: 'CB12', energy: 2, voltage: 0, current: null, state: 'Reboot' },
        { id: 'CB2', energy: 1, voltage: 'N/A' },
      ],
      '/jaws/monitor/phases': [{ id: 'CB1', energy: 0.1 }],
      '/jaws/monitor/sensors/humidity': [
        { id: 'C1', relative_humidity: 57 },
        { id: 'C2', status: 'Not Found' },
      ],
    })
    assert.equal(kind, 'jaws')
    const shown = samples.filter(({ labels }) => labels['source'] === 'jaws')
    const numbers = shown.filter(({ labels }) => labels['state'] === undefined)
    const measured = numbers.filter(({ labels }) => labels['reason'] === undefined)
    assert.deepEqual(
      measured.map(({ name, labels, value }) => [name, labels['xname'], value]),
      [
        ['cray_pdu_outlet_energy_joules_total', 'x3000m0p2v1', 3600],
        ['cray_pdu_outlet_energy_joules_total', 'x3000m0p2v2', 7200],
        ['cray_pdu_outlet_voltage_volts', 'x3000m0p2v2', 0],
        ['cray_pdu_phase_energy_joules_total', 'x3000m0p2', 360000],
        ['cray_pdu_humidity_ratio', 'x3000m0p2', 0.57],
      ],
    )
    const reboot = { outlet: 'CB12', state: 'Reboot' }
    assert.equal(sampleValue(samples, 'cray_pdu_outlet_state', reboot), 1)
  })

  it('of HPE has members of its own name, and gets one request at a time with pauses', async () => {
    let inFlight = 0
    let most = 0
    const starts: number[] = []
    const tree = hpePdu()
    const server = await serveDevice((request, response) => {
      most = Math.max(most, ++inFlight)
      starts.push(performance.now())
      const body = tree[(request.url ?? '').replace(/\/+$/, '')]
      setImmediate(() => {
        inFlight--
        answer(response, body === undefined ? 404 : 200, body ?? {})
      })
    })
    const exporter = await started(server, { gapSeconds: 0.5, fastSeconds: 60 })
    const samples = await exporter.scrape('/probe?target=x3000m0')
    const outlet = { xname: 'x3000m0p0v1', outlet: 'OUTLET9' }
    const joules = sampleValue(samples, 'cray_pdu_outlet_energy_joules_total', outlet)
    assert.ok(Math.abs(joules / 3.6e6 - 3706.8) < 1e-9)
    const branch = { branch: '3', line: 'Line1ToLine2' }
    assert.equal(sampleValue(samples, 'cray_pdu_branch_power_watts', branch), 533.1)
    assert.equal(most, 1)
    const known = server.requests.findIndex((request) => request.endsWith('/Outlets'))
    const gaps = starts.slice(known + 1).map((each, index) => each - (starts[known + index] ?? 0))
    assert.ok(gaps.length > 3 && Math.min(...gaps) > 490, `gaps of ${gaps.map(Math.round)} ms`)
  })
})

interface Target {
  labels: Record<string, string>
}

/** As the DMTF's mockup of a rack-mount PDU has it: excerpts, and the sensors that they copy. */
function presentPdu(id: string): RedfishTree {
  const pdu = `${pdus}/${id}`
  const sensors = `${pdu}/Sensors`
  const list = (name: string) => link(`${pdu}/${name}`)
  return {
    ...collectionOf(pdus, {
      [id]: {
        Manufacturer: 'Contoso',
        Outlets: list('Outlets'),
        Mains: list('Mains'),
        Branches: list('Branches'),
        Metrics: list('Metrics'),
        Sensors: list('Sensors'),
      },
    }),
    ...collectionOf(`${pdu}/Outlets`, {
      A10: { PowerWatts: { Reading: 1 } },
      A2: { PowerWatts: { Reading: 2 } },
      A1: {
        PowerState: 'On',
        PowerWatts: excerpt(`${sensors}/PowerA1`, 94, { ApparentVA: 96, PowerFactor: 0.98 }),
        Voltage: excerpt(`${sensors}/VoltageA1`, 117.5),
        PolyPhaseVoltage: { Line1ToNeutral: excerpt(`${sensors}/VoltageA1`, 117.5) },
        EnergykWh: { Reading: 36166 },
      },
    }),
    ...collectionOf(`${pdu}/Mains`, {
      AC1: {
        PowerWatts: { Reading: 937.4 },
        PolyPhaseVoltage: { Line1ToLine2: { Reading: 207 } },
        PolyPhaseCurrentAmps: { Line1: { Reading: 5.2 }, Line3: { Reading: 5.5 } },
      },
    }),
    ...collectionOf(`${pdu}/Branches`, {
      A: { CurrentAmps: { Reading: 5.19 }, EnergykWh: { Reading: 325675 } },
    }),
    [`${pdu}/Metrics`]: {
      PowerWatts: excerpt(`${sensors}/Total`, 6438),
      EnergykWh: { Reading: 56438 },
      TemperatureCelsius: excerpt(`${sensors}/Temp1`, 26.3),
      HumidityPercent: { Reading: 52.7 },
    },
    ...collectionOf(`${sensors}`, {
      PowerA1: { Reading: 94, ReadingUnits: 'W' },
      Total: { Reading: 6438, ReadingUnits: 'W' },
      Temp1: { Reading: 26.3, ReadingUnits: 'Cel' },
    }),
    ...collectionOf('/redfish/v1/Chassis', {
      Rack: { Sensors: link('/redfish/v1/Chassis/Rack/Sensors') },
    }),
    ...collectionOf('/redfish/v1/Chassis/Rack/Sensors', {
      Door: { Reading: 44, ReadingType: 'Humidity', ReadingUnits: '%' },
    }),
  }
}

function hpePdu(): RedfishTree {
  const pdu = `${pdus}/1`
  return {
    ...collectionOf(pdus, {
      '1': {
        Manufacturer: 'CIS',
        Outlets: link(`${pdu}/Outlets`),
        Branches: link(`${pdu}/Branches`),
      },
    }),
    [`${pdu}/Outlets`]: { Outlets: [{ Links: link(`${pdu}/Outlets/OUTLET9/`) }] },
    [`${pdu}/Outlets/OUTLET9`]: { Id: '', EnergykWh: { Reading: 3706.8 } },
    [`${pdu}/Branches`]: { Branch: [link(`${pdu}/Branches/3`)] },
    [`${pdu}/Branches/3`]: {
      Name: 'Branch C',
      PolyPhasePowerWatts: { Line1ToLine2: { Reading: 533.1 } },
    },
  }
}
