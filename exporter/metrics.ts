import { healthMetrics } from './health-metrics.ts'
import { common, counter, gauge, type Metric, stateset } from './metric.ts'
import { pduMetrics } from './pdu-metrics.ts'
import { pollMetrics } from './poll-metrics.ts'

export type { Metric } from './metric.ts'

/** A value as it stands in the output: a metric of the table below, its labels, base units. */
export interface Reading {
  metric: MetricName
  /** The metric's own labels; those that do not apply to the component are left out. */
  labels: Record<string, string>
  /** Finite: what has no value has no reading. */
  value: number
}

const sensor = ['chassis', 'sensor'] as const
const sensorPlace = ['name', 'parent', 'context', 'index', 'side', 'line'] as const
const anySensor = [...common, ...sensor, ...sensorPlace] as const
const powerLimit = [...common, 'chassis', 'processor', 'control', 'mode'] as const
const supply = [...common, 'chassis', 'bay'] as const
const processor = [...common, 'processor'] as const
const domain = [...common, 'domain'] as const
const fan = [...anySensor, 'member'] as const
const named = [...common, 'chassis', 'name', 'member', 'context'] as const

const supplyMetrics = 'Redfish Chassis/*/PowerSubsystem/PowerSupplies/*/Metrics'
const processors = 'Redfish Systems/*/Processors/*/EnvironmentMetrics'
const inBand = 'a domain of the node as it sees itself; /sys/cray/pm_counters/*'
const nodeSensors = 'Redfish Chassis/NodeN/Sensors/'
const anySensors =
  'Redfish Chassis/*/Sensors/*, and copies of sensors in other resources (sensor is their path), ' +
  'those without a metric of their own:'

const readingMetrics = [
  counter(
    'cray_node_energy_joules_total',
    `Energy at the 380 V input of a node; ${nodeSensors}ChassisVoltageRegulator0InputEnergy, J.`,
    common,
  ),
  gauge(
    'cray_node_power_watts',
    `Power at the 380 V input of a node; ${nodeSensors}ChassisVoltageRegulator0InputPower, W.`,
    common,
  ),
  gauge(
    'cray_node_idle_power_watts',
    'Power of a node without load; Redfish Chassis/NodeN/Controls/NodePowerLimit ' +
      'Oem.Hpe.PowerIdleWatts or Chassis/Self/Power Oem.Vendor.PowerIdleWatts, W; a 0 there ' +
      'means unknown and is left out.',
    common,
  ),
  counter(
    'cray_domain_energy_joules_total',
    `Energy of all CPUs or all memory of a node; ${nodeSensors}Chassis*Subsystem0OutputEnergy, J.`,
    [...common, 'domain'],
  ),
  gauge(
    'cray_domain_power_watts',
    'Power of all CPUs, all memory or all accelerators of a node; ' +
      `${nodeSensors}Chassis*Subsystem0OutputPower, or the newest of an iLO's Chassis/1/Power/` +
      'FastPowerMeter PowerDetail[] (CpuWatts, DimmWatts, GpuWatts; 0 there is left out), W.',
    [...common, 'domain'],
  ),
  gauge(
    'cray_accelerator_power_watts',
    `Power of an accelerator module; ${nodeSensors}GPUSubsystem{Accelerator,GPU}NPower, W.`,
    [...common, 'accelerator'],
  ),
  gauge(
    'cray_rectifier_power_watts',
    'AC input or DC output of a rectifier; ' +
      'Redfish Chassis/Enclosure/Sensors/RectifierN{Input,Output}Power, W.',
    [...common, 'rectifier', 'side'],
  ),
  gauge(
    'cray_chassis_power_watts',
    'AC input or DC output of all rectifiers of a chassis, sum of cray_rectifier_power_watts, ' +
      'absent while any of them has no reading; W.',
    [...common, 'side'],
  ),
  gauge(
    'cray_chassis_conversion_efficiency_ratio',
    'Derived: DC output of a chassis as a share of its AC input, both cray_chassis_power_watts, ' +
      'absent while one of them is.',
    common,
  ),
  gauge(
    'cray_rectifier_current_amperes',
    'Current of a rectifier; Redfish Chassis/Enclosure/Sensors/RectifierN*Current, A.',
    [...common, 'rectifier', 'side', 'line'],
  ),
  gauge(
    'cray_rectifier_voltage_volts',
    'Voltage of a rectifier; Redfish Chassis/Enclosure/Sensors/RectifierN*Voltage, V.',
    [...common, 'rectifier', 'side', 'line'],
  ),
  gauge('cray_sensor_power_watts', `${anySensors} power, W.`, anySensor),
  counter('cray_sensor_energy_joules_total', `${anySensors} energy, J.`, anySensor),
  gauge('cray_sensor_voltage_volts', `${anySensors} voltage, V.`, anySensor),
  gauge('cray_sensor_current_amperes', `${anySensors} current, A.`, anySensor),
  gauge('cray_sensor_temperature_celsius', `${anySensors} temperature, Cel.`, anySensor),
  gauge(
    'cray_sensor_pressure_pascals',
    `${anySensors} pressure, PSI x 6894.757293168, kPa x 1000, bar x 100000.`,
    anySensor,
  ),
  gauge('cray_sensor_humidity_ratio', `${anySensors} humidity, % x 0.01.`, anySensor),
  gauge(
    'cray_sensor_reading_timestamp_seconds',
    'When the device took the reading of a node energy or power sensor, by its own clock; ' +
      'Redfish Chassis/NodeN/Sensors/* ReadingTime, as Unix time.',
    [...common, ...sensor],
  ),
  gauge(
    'cray_sensors_without_reading',
    'Sensors of a device that gave no value: absent (not fitted), no_reading (no value in the ' +
      'answer), never_read (value 0 with a time of 1970) or implausible (an outlier of a meter, ' +
      'the line of a supply outside 30 to 500 V, what no air or metal has).',
    [...common, 'reason'],
  ),
  gauge(
    'cray_leak_detector_volts',
    'Voltage of a leak detector of a cabinet; Redfish Chassis/Enclosure/Sensors/ChassisNVoltage.',
    [...common, 'position'],
  ),
  stateset(
    'cray_leak_detector_state',
    'State of a leak detector; Redfish Chassis/*/ThermalSubsystem/LeakDetection/LeakDetectors/* ' +
      'and ThermalEquipment/*/*/LeakDetection/LeakDetectors/* DetectorState.',
    [...common, 'chassis', 'detector', 'state'],
  ),
  stateset(
    'cray_leak_alarm_state',
    'State of a leak alarm; Redfish Chassis/Enclosure/Oem/Alarms/* AlarmState.',
    [...common, 'alarm', 'severity', 'state'],
  ),
  gauge(
    'cray_power_limit_watts',
    'Power limit in force, 0: none; Redfish Chassis/*/Controls/* SetPoint, ' +
      'Power PowerControl[].PowerLimit.LimitInWatts, EnvironmentMetrics PowerLimitWatts.SetPoint ' +
      'or Power/AccPowerService/PowerLimit ActualPowerLimits[], W.',
    powerLimit,
  ),
  gauge(
    'cray_power_limit_min_watts',
    'Lowest power limit that can be set; Redfish Chassis/*/Controls/* SettingRangeMin, ' +
      'Power PowerControl[].Oem.Vendor.PowerLimit.Min, EnvironmentMetrics ' +
      'PowerLimitWatts.AllowableMin or Power/AccPowerService/PowerLimit PowerLimitRanges[], W.',
    powerLimit,
  ),
  gauge(
    'cray_power_limit_max_watts',
    'Highest power limit that can be set; Redfish Chassis/*/Controls/* SettingRangeMax, ' +
      'Power PowerControl[].Oem.Vendor.PowerLimit.Max, EnvironmentMetrics ' +
      'PowerLimitWatts.AllowableMax or Power/AccPowerService/PowerLimit PowerLimitRanges[], W.',
    powerLimit,
  ),
  stateset('cray_power_state', 'Power state; Redfish Systems/* and Chassis/* PowerState.', [
    ...common,
    'state',
  ]),
  ...healthMetrics,
  gauge(
    'cray_server_power_watts',
    'Power of a server; Redfish Chassis/*/Power PowerControl[].PowerConsumedWatts, else ' +
      'Chassis/*/EnvironmentMetrics PowerWatts, or of a cooling unit or power shelf (chassis is ' +
      'CDUs/1), W. Where a server has several (its processors, its memory), name tells them ' +
      'apart: do not add.',
    [...common, 'chassis', 'control', 'name'],
  ),
  gauge(
    'cray_server_power_window_watts',
    'Mean, least and most power of a server over its last minutes; ' +
      'Redfish Chassis/*/Power PowerControl[].PowerMetrics, W.',
    [...common, 'chassis', 'control', 'name', 'stat', 'minutes'],
  ),
  gauge(
    'cray_server_enclosure_power_watts',
    'Power of the enclosure that a server is in, and of the server by the enclosure; Redfish ' +
      'Chassis/EnclosureChassis Oem.Hpe.ChassisPowerWatts and NodePowerWatts, W.',
    [...common, 'part'],
  ),
  counter(
    'cray_server_energy_joules_total',
    'Energy of a server; Redfish Chassis/Self/Sensors/Energy Reading or its copy in ' +
      'Chassis/Self/Power AccumulatedEnergyJoules, J, which restarts often and is implausibly ' +
      'small on Gigabyte servers; elsewhere Chassis/*/EnvironmentMetrics EnergyJoules, or ' +
      'EnergykWh x 3600000.',
    [...common, 'chassis'],
  ),
  gauge(
    'cray_power_supply_input_volts',
    'Line voltage of a power supply; Redfish Chassis/*/Power PowerSupplies[].LineInputVoltage, ' +
      'or PowerSupplies/*/Metrics InputVoltage, V.',
    supply,
  ),
  gauge(
    'cray_power_supply_output_watts',
    'Output of a power supply; Redfish Chassis/*/Power PowerSupplies[].LastPowerOutputWatts or ' +
      'PowerOutputWatts, or PowerSupplies/*/Metrics OutputPowerWatts, W. Some servers give all ' +
      'of their power for each supply: do not add.',
    supply,
  ),
  gauge(
    'cray_power_supply_input_watts',
    'Input of a power supply; Redfish Chassis/*/Power PowerSupplies[].PowerInputWatts, ' +
      'or PowerSupplies/*/Metrics InputPowerWatts, W.',
    supply,
  ),
  gauge(
    'cray_power_supply_output_window_watts',
    'Mean and most output of a power supply of late; Redfish Chassis/*/Power PowerSupplies[]' +
      '.Oem.Hpe.{Average,Max}PowerOutputWatts, or LastPowerOutputWatts beside another ' +
      'PowerOutputWatts, W.',
    [...supply, 'stat'],
  ),
  gauge(
    'cray_power_supply_input_amperes',
    `Line current of a power supply; ${supplyMetrics} InputCurrentAmps, A.`,
    supply,
  ),
  counter(
    'cray_power_supply_energy_joules_total',
    `Energy of a power supply; ${supplyMetrics} EnergykWh, kWh x 3600000.`,
    supply,
  ),
  gauge(
    'cray_power_supply_rail_watts',
    `Power of a rail of a power supply; ${supplyMetrics} RailPowerWatts[], W.`,
    [...supply, 'name'],
  ),
  gauge(
    'cray_power_supply_rail_amperes',
    `Current of a rail of a power supply; ${supplyMetrics} RailCurrentAmps[], A.`,
    [...supply, 'name'],
  ),
  gauge(
    'cray_processor_power_watts',
    `Power of a processor or accelerator; ${processors} PowerWatts, else ProcessorMetrics ` +
      'ConsumedPowerWatt, W.',
    processor,
  ),
  counter(
    'cray_processor_energy_joules_total',
    `Energy of a processor or accelerator; ${processors} EnergyJoules, else EnergykWh x 3600000.`,
    processor,
  ),
  gauge(
    'cray_processor_temperature_celsius',
    `Temperature of a processor or accelerator; ${processors} TemperatureCelsius, else ` +
      'ProcessorMetrics, Cel.',
    processor,
  ),
  gauge(
    'cray_server_temperature_celsius',
    'Temperature in a server; Redfish Chassis/*/Thermal Temperatures[].ReadingCelsius, or ' +
      'ThermalSubsystem/ThermalMetrics, PowerSupplies/*/Metrics, EnvironmentMetrics, Cel.',
    named,
  ),
  gauge(
    'cray_server_voltage_volts',
    'Voltage in a server; Redfish Chassis/*/Power Voltages[].ReadingVolts, or ' +
      'PowerSupplies/*/Metrics RailVoltage[], V.',
    named,
  ),
  gauge(
    'cray_server_humidity_ratio',
    'Relative humidity in a server; Redfish Chassis/*/EnvironmentMetrics HumidityPercent, ' +
      '% x 0.01.',
    [...common, 'chassis'],
  ),
  gauge(
    'cray_fan_speed_ratio',
    'Speed of a fan, 1 is full; Redfish Chassis/*/Thermal Fans[].Reading, ' +
      'ThermalSubsystem/Fans/* SpeedPercent, EnvironmentMetrics FanSpeedsPercent[] or Sensors/*, ' +
      'percent x 0.01.',
    fan,
  ),
  gauge(
    'cray_fan_speed_rpm',
    'Speed of a fan or pump in turns a minute; Redfish Chassis/*/Thermal Fans[].Reading, ' +
      'ThermalSubsystem/Fans/* SpeedPercent.SpeedRPM or Sensors/*, RPM.',
    fan,
  ),
  ...pduMetrics,
  counter('cray_pm_energy_joules_total', `Energy of ${inBand}_energy and energy, J.`, domain),
  gauge('cray_pm_power_watts', `Power of ${inBand}_power and power, W.`, domain),
  gauge(
    'cray_pm_power_cap_watts',
    `Power limit, 0: none, of ${inBand}_power_cap and power_cap, W.`,
    domain,
  ),
  gauge('cray_pm_temperature_celsius', `Temperature of ${inBand}_temp, C.`, domain),
  counter(
    'cray_pm_freshness_total',
    'Updates of the counters, about ten a second; /sys/cray/pm_counters/freshness.',
    common,
  ),
  gauge(
    'cray_pm_startup_info',
    'Changes when the controller restarts, and its energies with it; ' +
      '/sys/cray/pm_counters/startup.',
    [...common, 'startup'],
  ),
] as const

export type MetricName = (typeof readingMetrics | typeof pollMetrics)[number]['name']

/** Every metric of devices that the exporter can show. */
export const metrics: readonly (Metric & { name: MetricName })[] = [
  ...readingMetrics.map((metric) => ({
    ...metric,
    help: `${metric.help} Cached: as of the device's last answer.`,
  })),
  ...pollMetrics,
]

/**
 * One reading per state, 1 for `state` and 0 for the others of `states`. A state that is not among
 * them is shown too if it is one of `known`, and as `Other` if not: a device cannot add states of
 * its own.
 */
export function stateReadings(
  metric: MetricName,
  labels: Record<string, string>,
  state: string,
  states: readonly string[],
  known: readonly string[] = [],
): Reading[] {
  const shown = states.includes(state) || known.includes(state) ? state : 'Other'
  return [...new Set([...states, shown])].map((each) => ({
    metric,
    labels: { ...labels, state: each },
    value: each === shown ? 1 : 0,
  }))
}
