import assert from 'node:assert/strict'
import { answer, serveDevice, serveResources, type TestDevice } from '../support/device.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { collectionOf, excerpt, link, type RedfishTree } from '../support/redfish.ts'

const chassis = '/redfish/v1/Chassis'
const systems = collectionOf('/redfish/v1/Systems', { one: { PowerState: 'On' } })

describe('a device of a family we know', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })

  async function probed(xname: string, resources: RedfishTree) {
    const server: TestDevice = await serveResources(resources)
    const exporter: TestExporter = await startTestExporter({ devices: [{ xname, server }] })
    closing.push(exporter, server)
    const samples = await exporter.scrape(`/probe?target=${xname}`)
    await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up').length > 0)
    const targets = (await (await fetch(`${exporter.url}/sd`)).json()) as Target[]
    return { samples, kind: targets[0]?.labels['__meta_joulebridge_kind'], server }
  }

  it('shows the new and the old schema of one chassis once each (iLO 6)', async () => {
    const { samples, kind } = await probed('x3000c0s1b0', {
      ...systems,
      ...bothSchemas('1', 'HPE'),
    })
    assert.equal(kind, 'ilo')
    const value = valueIn(samples, 'x3000c0s1b0n0')
    assert.deepEqual(named(samples, 'cray_server_power_watts'), [['0', 231]])
    assert.equal(value('cray_power_supply_input_watts', { bay: 'Bay1' }), 120.5)
    assert.equal(value('cray_power_supply_input_amperes', { bay: 'Bay1' }), 0.52)
    assert.equal(value('cray_power_supply_energy_joules_total', { bay: 'Bay1' }), 12.5 * 3.6e6)
    assert.equal(value('cray_power_supply_output_watts', { bay: 'Bay1' }), 110)
    assert.equal(value('cray_fan_speed_ratio', { name: 'Fan 1' }), 0.35)
    assert.equal(value('cray_fan_speed_rpm', { name: 'Fan 1' }), 6000)
    assert.equal(samplesOf(samples, 'cray_fan_speed_ratio').length, 1)
    const celsius = [
      ...samplesOf(samples, 'cray_server_temperature_celsius'),
      ...samplesOf(samples, 'cray_sensor_temperature_celsius'),
    ]
    assert.deepEqual(celsius.map((each) => each.value).sort(), [22, 41, 55])
    assert.equal(value('cray_server_humidity_ratio', {}), 0.41)
    assert.equal(value('cray_server_energy_joules_total', {}), 1000)
    assert.equal(value('cray_power_limit_watts', { control: 'EnvironmentMetrics' }), 500)
    assert.equal(value('cray_power_limit_max_watts', {}), 800)
    assert.equal(value('cray_leak_detector_state', { detector: 'Tray', state: 'Warning' }), 1)
    assert.equal(value('cray_leak_detector_state', { detector: 'Tray', state: 'OK' }), 0)
    assert.deepEqual(samplesOf(samples, 'cray_leak_detector_state', { detector: 'Gone' }), [])
  })

  it('is asked for what the standard has when nothing is known of it', async () => {
    const { samples, kind } = await probed('x3000c0s9b0', {
      ...collectionOf('/redfish/v1/Systems', {
        S1: { PowerState: 'On', Processors: link('/redfish/v1/Systems/S1/Processors') },
        S2: { PowerState: 'Off' },
      }),
      ...collectionOf('/redfish/v1/Systems/S1/Processors', {
        GPU0: {
          EnvironmentMetrics: link('/redfish/v1/Systems/S1/Processors/GPU0/EnvironmentMetrics'),
        },
      }),
      '/redfish/v1/Systems/S1/Processors/GPU0/EnvironmentMetrics': {
        PowerWatts: { Reading: 310 },
        EnergyJoules: { Reading: 77 },
        TemperatureCelsius: { Reading: null },
        PowerLimitWatts: { SetPoint: 700, ControlMode: 'Automatic' },
      },
      ...twoChassis(bothSchemas('A', 'Other'), bothSchemas('B', 'Other')),
    })
    assert.equal(kind, 'redfish')
    const node = 'x3000c0s9b0n0'
    const power = samplesOf(samples, 'cray_server_power_watts', { xname: node })
    assert.deepEqual(
      power.map(({ labels }) => labels['chassis']),
      ['A', 'B'],
    )
    const value = valueIn(samples, node)
    assert.equal(value('cray_processor_power_watts', { processor: 'GPU0' }), 310)
    assert.equal(value('cray_processor_energy_joules_total', { processor: 'GPU0' }), 77)
    assert.deepEqual(samplesOf(samples, 'cray_processor_temperature_celsius'), [])
    const limit = { processor: 'GPU0', mode: 'Automatic' }
    assert.equal(value('cray_power_limit_watts', limit), 700)
    const off = { xname: 'x3000c0s9b0n1', state: 'Off' }
    assert.equal(sampleValue(samples, 'cray_power_state', off), 1)
  })

  it('has a chassis called 1 that is not of HPE', async () => {
    const { kind } = await probed('x3000c0s3b0', { ...systems, ...bothSchemas('1', 'Supermicro') })
    assert.equal(kind, 'redfish')
  })

  it('is an Intel server whose chassis is missing and whose child answers', async () => {
    const board = `${chassis}/RackMount/Baseboard`
    const { samples, kind } = await probed('x3000c0s4b0', {
      ...systems,
      [chassis]: { Members: [link(`${chassis}/RackMount/`)] },
      [board]: { Power: link(`${board}/Power`), Thermal: link(`${board}/Thermal/`) },
      [`${board}/Power`]: {
        PowerControl: [{ MemberId: '0', PowerConsumedWatts: 148 }],
        PowerSupplies: [{ MemberId: '0', LineInputVoltage: 572 }],
        Voltages: [{ Name: 'BB 12V', ReadingVolts: 12.211999893188477 }],
      },
      [`${board}/Thermal`]: {
        Fans: [
          { MemberId: '0', Name: 'Fan', Reading: 5000, ReadingUnits: 'RPM' },
          { MemberId: '1', Name: 'Fan', Reading: 5100, ReadingUnits: 'RPM' },
        ],
        Temperatures: [
          { Name: 'Inlet', ReadingCelsius: 21 },
          { Name: 'Odd', ReadingCelsius: null },
        ],
      },
    })
    assert.equal(kind, 'intel')
    const value = valueIn(samples, 'x3000c0s4b0n0')
    assert.equal(value('cray_server_power_watts', { control: '0' }), 148)
    assert.equal(value('cray_server_voltage_volts', { name: 'BB 12V' }), 12.211999893188477)
    assert.equal(value('cray_fan_speed_rpm', { name: 'Fan', member: '1' }), 5100)
    assert.deepEqual(named(samples, 'cray_server_temperature_celsius'), [['Inlet', 21]])
    assert.equal(sampleValue(samples, 'cray_sensors_without_reading', { reason: 'no_reading' }), 1)
  })

  it('is an OpenBMC whose host is off, and shows nothing that it does not measure', async () => {
    const { samples, kind } = await probed('x3000c0s5b0', {
      ...systems,
      ...collectionOf(chassis, { chassis: { Power: link(`${chassis}/chassis/Power`) } }),
      [`${chassis}/chassis/Power`]: { PowerControl: [{ MemberId: '0', Name: 'Chassis' }] },
    })
    assert.equal(kind, 'openbmc')
    const measured = samples.filter(({ name }) => /_(watts|volts|celsius|rpm|ratio)$/.test(name))
    assert.deepEqual(measured, [])
  })

  it('is a Paradise: boards of many chassis, limits of the module, and nulls', async () => {
    const board = `${chassis}/Baseboard_0`
    const limits = `${chassis}/ProcessorModule_0/Controls`
    const { samples, kind } = await probed('x3000c0s6b0', {
      ...systems,
      ...collectionOf(chassis, {
        BMC_0: {},
        Baseboard_0: {
          Power: link(`${board}/Power`),
          Thermal: link(`${board}/Thermal`),
          Sensors: link(`${board}/Sensors`),
        },
        ProcessorModule_0: { Controls: link(limits) },
      }),
      ...collectionOf(limits, {
        TotalGPU_Power_0: { ControlType: 'Power', SetPoint: 900, SettingRangeMin: 200 },
        Clock: {
          ControlType: 'FrequencyMHz',
          SetPoint: 1900,
          Sensor: excerpt(`${board}/Sensors/watched`, 12),
        },
      }),
      [`${board}/Power`]: { PowerControl: [{ MemberId: '0', PowerConsumedWatts: 612 }] },
      [`${board}/Thermal`]: { Temperatures: [{ Name: 'CPU_Temp_0', ReadingCelsius: 44 }] },
      ...collectionOf(`${board}/Sensors`, {
        temp0: { Name: 'CPU Temp 0', Reading: 44.125, ReadingType: 'Temperature' },
        watched: { Name: 'SoC', Reading: 12, ReadingUnits: 'W' },
        off: { Name: 'GPU', Reading: null, ReadingUnits: 'Cel' },
        fan: { Name: 'Fan 0', Reading: 40, ReadingType: 'Percent', ReadingUnits: '%' },
        load: { Name: 'CPU load', Reading: 40, ReadingType: 'Percent', ReadingUnits: '%' },
        flow: { Name: 'Pump', Reading: 7, ReadingType: 'LiquidFlowLPM' },
        energy: { Name: 'Module', Reading: 2, ReadingType: 'EnergykWh', ReadingUnits: 'kW.h' },
      }),
    })
    assert.equal(kind, 'openbmc')
    const value = valueIn(samples, 'x3000c0s6b0n0')
    assert.equal(value('cray_server_power_watts', { chassis: 'Baseboard_0' }), 612)
    const limit = { chassis: 'ProcessorModule_0', control: 'TotalGPU_Power_0' }
    assert.equal(value('cray_power_limit_watts', limit), 900)
    assert.deepEqual(samplesOf(samples, 'cray_server_temperature_celsius'), [])
    assert.equal(value('cray_sensor_temperature_celsius', { sensor: 'temp0' }), 44.125)
    assert.deepEqual(named(samples, 'cray_fan_speed_ratio'), [['Fan 0', 0.4]])
    assert.equal(value('cray_sensor_energy_joules_total', { sensor: 'energy' }), 7.2e6)
    assert.equal(value('cray_sensor_power_watts', { sensor: 'watched' }), 12)
  })

  it('is an Apollo 6500 with links that end in a slash, and outliers in its meter', async () => {
    const enclosure = `${chassis}/EnclosureChassis`
    const { samples } = await probed('x3000c0s7b0', {
      ...systems,
      [chassis]: { Members: [link(`${chassis}/1/`), link(`${enclosure}/`)] },
      [`${chassis}/1`]: { Manufacturer: 'HPE', Power: link(`${chassis}/1/Power/`) },
      [`${chassis}/1/Power`]: { PowerControl: [{ MemberId: '0', PowerConsumedWatts: 894 }] },
      [`${chassis}/1/Power/FastPowerMeter`]: {
        PowerDetail: [
          { Time: '2026-01-01T00:00:20Z', Peak: 900, CpuWatts: 1030, DimmWatts: 24, GpuWatts: 0 },
          { Time: '2026-01-01T00:00:10Z', Peak: 900, CpuWatts: 8, DimmWatts: 23, GpuWatts: 0 },
        ],
      },
      [enclosure]: { Oem: { Hpe: { ChassisPowerWatts: 988, NodePowerWatts: 901 } } },
    })
    const value = valueIn(samples, 'x3000c0s7b0n0')
    assert.equal(value('cray_server_enclosure_power_watts', { part: 'chassis' }), 988)
    assert.equal(value('cray_server_enclosure_power_watts', { part: 'node' }), 901)
    assert.equal(value('cray_domain_power_watts', {}), 24)
    assert.equal(sampleValue(samples, 'cray_sensors_without_reading', { reason: 'implausible' }), 1)
  })

  it('is a Gigabyte without sensors, whose energy stands in its power control', async () => {
    const { samples, kind } = await probed('x3000c0s8b1', {
      ...systems,
      ...collectionOf(chassis, { Self: { Power: link(`${chassis}/Self/Power`) } }),
      [`${chassis}/Self/Power`]: {
        PowerControl: [{ Oem: { Vendor: { PowerMetrics: { AccumulatedEnergyJoules: 12345 } } } }],
      },
    })
    assert.equal(kind, 'ami')
    assert.equal(valueIn(samples, 'x3000c0s8b1n0')('cray_server_energy_joules_total', {}), 12345)
  })

  it('is a node controller of older firmware, whose limits stand in the old Power', async () => {
    const node = `${chassis}/Node0`
    const { samples } = await probed('x1000c0s2b0', {
      ...collectionOf('/redfish/v1/Systems', {}),
      ...collectionOf(chassis, { Enclosure: {}, Node0: { Power: link(`${node}/Power`) } }),
      [`${node}/Power`]: {
        PowerControl: [
          {
            Name: 'Node Power Control',
            PowerLimit: { LimitInWatts: 800 },
            Oem: { Cray: { PowerIdleWatts: 250, PowerLimit: { Min: 350, Max: 925 } } },
          },
          { Name: 'Accelerator0 Power Control', PowerLimit: { LimitInWatts: null } },
        ],
        Voltages: [{ Name: 'filler', ReadingVolts: 60, UpperThresholdNonCritical: 60 }],
      },
    })
    const value = valueIn(samples, 'x1000c0s2b0n0')
    assert.equal(value('cray_power_limit_watts', { control: 'NodePowerLimit' }), 800)
    assert.equal(value('cray_power_limit_min_watts', {}), 350)
    assert.equal(value('cray_power_limit_max_watts', {}), 925)
    assert.equal(value('cray_node_idle_power_watts', {}), 250)
    assert.deepEqual(samplesOf(samples, 'cray_server_voltage_volts'), [])
  })

  it('loses only a resource that is nested without end', async () => {
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    const tree: RedfishTree = { ...systems, ...bothSchemas('1', 'HPE') }
    const server = await serveDevice((request, response) => {
      const body = tree[(request.url ?? '').replace(/\/+$/, '')]
      if (request.url?.endsWith('/EnvironmentMetrics')) response.end(deep)
      else answer(response, body === undefined ? 404 : 200, body ?? {})
    })
    const exporter = await startTestExporter({ devices: [{ xname: 'x3000c0s1b0', server }] })
    closing.push(exporter, server)
    const samples = await exporter.scrape('/probe?target=x3000c0s1b0')
    assert.equal(sampleValue(samples, 'cray_server_power_watts', {}), 231)
    assert.equal(sampleValue(samples, 'cray_device_up', {}), 1)
  })

  it('sums up eleven rectifiers that its chassis lists on two pages', async () => {
    const sensors = `${chassis}/Enclosure/Sensors`
    const ids = Array.from({ length: 11 }, (_, index) => `Rectifier${index}OutputPower`)
    const paths = ids.map((id) => link(`${sensors}/${id}`))
    const tree: RedfishTree = {
      ...collectionOf('/redfish/v1/Systems', {}),
      ...collectionOf(chassis, { Enclosure: { Sensors: link(`${sensors}/`) } }),
      ...collectionOf(
        sensors,
        Object.fromEntries(ids.map((Id) => [Id, { Id, Reading: 100, ReadingUnits: 'W' }])),
      ),
      [sensors]: { Members: paths.slice(0, 6), 'Members@odata.nextLink': `${sensors}?$skip=6` },
      [`${sensors}?$skip=6`]: { Members: paths.slice(6) },
    }
    const whole = await probed('x1000c0b0', tree)
    const output = { xname: 'x1000c0', side: 'Output' }
    assert.equal(sampleValue(whole.samples, 'cray_chassis_power_watts', output), 1100)
    const tenth = { xname: 'x1000c0t10', rectifier: '10' }
    assert.equal(sampleValue(whole.samples, 'cray_rectifier_power_watts', tenth), 100)
    const { [`${sensors}/Rectifier10OutputPower`]: _, ...broken } = tree
    const partial = await probed('x1000c0b0', broken)
    assert.deepEqual(samplesOf(partial.samples, 'cray_chassis_power_watts'), [])
  })
})

interface Target {
  labels: Record<string, string>
}

/** One chassis in which most is told twice: in the old resources, the new, and by sensors. */
function bothSchemas(name: string, Manufacturer: string): RedfishTree {
  const path = `${chassis}/${name}`
  const sensors = `${path}/Sensors`
  const supplies = `${path}/PowerSubsystem/PowerSupplies`
  const cooling = `${path}/ThermalSubsystem`
  return {
    ...collectionOf(chassis, {
      [name]: {
        Manufacturer,
        Power: link(`${path}/Power/`),
        Thermal: link(`${path}/Thermal`),
        Sensors: link(sensors),
        PowerSubsystem: link(`${path}/PowerSubsystem`),
        ThermalSubsystem: link(cooling),
        EnvironmentMetrics: link(`${path}/EnvironmentMetrics`),
      },
    }),
    [`${path}/Power`]: {
      PowerControl: [{ MemberId: '0', PowerConsumedWatts: 231 }],
      PowerSupplies: [{ MemberId: '0', LastPowerOutputWatts: 110 }],
    },
    [`${path}/Thermal`]: {
      Temperatures: [
        { Name: 'Inlet', ReadingCelsius: 22 },
        { Name: 'CPU-1', ReadingCelsius: 55 },
        { Name: 'Only here', ReadingCelsius: 41 },
      ],
      Fans: [{ Name: 'Fan 1', Reading: 35, ReadingUnits: 'Percent' }],
    },
    [`${path}/PowerSubsystem`]: { PowerSupplies: link(supplies) },
    ...collectionOf(supplies, { Bay1: { Metrics: link(`${supplies}/Bay1/Metrics`) } }),
    [`${supplies}/Bay1/Metrics`]: {
      InputPowerWatts: excerpt(`${sensors}/PS1InputPower`, 120.5),
      InputCurrentAmps: { Reading: 0.52 },
      EnergykWh: { Reading: 12.5 },
      OutputPowerWatts: { Reading: null },
    },
    [cooling]: {
      Fans: link(`${cooling}/Fans`),
      ThermalMetrics: link(`${cooling}/ThermalMetrics`),
      LeakDetection: link(`${cooling}/LeakDetection`),
    },
    ...collectionOf(`${cooling}/Fans`, {
      F1: { Name: 'Fan 1', SpeedPercent: { Reading: 35, SpeedRPM: 6000 } },
      F2: { Name: 'Fan 2', SpeedPercent: { Reading: 0 }, Status: { State: 'Absent' } },
    }),
    [`${cooling}/ThermalMetrics`]: {
      TemperatureSummaryCelsius: { Intake: excerpt(`${sensors}/Inlet`, 22) },
      TemperatureReadingsCelsius: [excerpt(`${sensors}/Inlet`, 22, { DeviceName: 'Inlet' })],
    },
    [`${cooling}/LeakDetection`]: { LeakDetectors: link(`${cooling}/LeakDetection/LeakDetectors`) },
    ...collectionOf(`${cooling}/LeakDetection/LeakDetectors`, {
      Tray: { DetectorState: 'Warning' },
      Gone: { DetectorState: 'OK', Status: { State: 'Absent' } },
    }),
    [`${path}/EnvironmentMetrics`]: {
      PowerWatts: excerpt(`${sensors}/TotalPower`, 230),
      EnergykWh: { Reading: 1 },
      EnergyJoules: { Reading: 1000 },
      HumidityPercent: { Reading: 41 },
      TemperatureCelsius: excerpt(`${sensors}/Inlet`, 22),
      PowerLimitWatts: { SetPoint: 500, AllowableMin: 100, AllowableMax: 800, Reading: 230 },
    },
    ...collectionOf(sensors, {
      Inlet: { Name: 'Inlet', Reading: 22, ReadingUnits: 'Cel' },
      CPU1: { Name: 'CPU 1', Reading: 55, ReadingType: 'Temperature' },
      TotalPower: { Name: 'Total', Reading: 230, ReadingUnits: 'W' },
      PS1InputPower: { Name: 'PS 1 input', Reading: 120.5, ReadingUnits: 'W' },
      Missing: { Name: 'Slot', Reading: 0, ReadingUnits: 'Cel', Status: { State: 'Absent' } },
    }),
  }
}

function twoChassis(one: RedfishTree, other: RedfishTree): RedfishTree {
  const members = [one, other].flatMap((tree) => (tree[chassis] as { Members: unknown[] }).Members)
  return { ...one, ...other, [chassis]: { Members: members } }
}

function valueIn(samples: readonly Sample[], xname: string) {
  return (name: string, labels: Record<string, string>) =>
    sampleValue(samples, name, { xname, ...labels })
}

/** By name or control, with the value. */
function named(samples: readonly Sample[], metric: string): [string | undefined, number][] {
  return samplesOf(samples, metric).map(({ labels, value }) => [
    labels['name'] ?? labels['control'],
    value,
  ])
}
