/** A value as it stands in the output: a metric of the table below, its labels, base units. */
export interface Reading {
  metric: MetricName
  /** The metric's own labels; those that do not apply to the component are left out. */
  labels: Record<string, string>
  /** Finite: what has no value has no reading. */
  value: number
}

export interface Metric {
  name: string
  /** A stateset has one series per state in the label `state`, 1 for the one it is in, else 0. */
  type: 'gauge' | 'counter' | 'stateset'
  /** Where the value stands in the device, and how it is converted. */
  help: string
  labels: readonly string[]
}

const common = ['xname', 'bmc', 'source'] as const
const sensor = ['chassis', 'sensor'] as const
const sensorPlace = ['name', 'parent', 'context', 'index', 'side', 'line'] as const
const anySensor = [...common, ...sensor, ...sensorPlace] as const
const outlet = [...common, 'outlet'] as const
const phase = [...common, 'phase'] as const
const device = ['xname', 'bmc'] as const

const nodeSensors = 'Redfish Chassis/NodeN/Sensors/'
const anySensors = 'Redfish Chassis/*/Sensors/*, those without a metric of their own:'

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
      'Oem.Hpe.PowerIdleWatts, W; a 0 there means unknown and is left out.',
    common,
  ),
  counter(
    'cray_domain_energy_joules_total',
    `Energy of all CPUs or all memory of a node; ${nodeSensors}Chassis*Subsystem0OutputEnergy, J.`,
    [...common, 'domain'],
  ),
  gauge(
    'cray_domain_power_watts',
    `Power of all CPUs or all memory of a node; ${nodeSensors}Chassis*Subsystem0OutputPower, W.`,
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
  gauge('cray_sensor_pressure_pascals', `${anySensors} pressure, PSI x 6894.757293168.`, anySensor),
  gauge(
    'cray_sensor_reading_timestamp_seconds',
    'When the device took the reading of a node energy or power sensor, by its own clock; ' +
      'Redfish Chassis/NodeN/Sensors/* ReadingTime, as Unix time.',
    [...common, ...sensor],
  ),
  gauge(
    'cray_sensors_without_reading',
    'Sensors of a device that gave no value: absent (not fitted), no_reading (no value in the ' +
      'answer) or never_read (value 0 with a time of 1970).',
    [...common, 'reason'],
  ),
  gauge(
    'cray_leak_detector_volts',
    'Voltage of a leak detector of a cabinet; Redfish Chassis/Enclosure/Sensors/ChassisNVoltage.',
    [...common, 'position'],
  ),
  stateset(
    'cray_leak_alarm_state',
    'State of a leak alarm; Redfish Chassis/Enclosure/Oem/Alarms/* AlarmState.',
    [...common, 'alarm', 'severity', 'state'],
  ),
  gauge(
    'cray_power_limit_watts',
    'Power limit in force, 0: none; Redfish Chassis/NodeN/Controls/* SetPoint, W.',
    [...common, 'control', 'mode'],
  ),
  gauge(
    'cray_power_limit_min_watts',
    'Lowest power limit that can be set; Redfish Chassis/NodeN/Controls/* SettingRangeMin, W.',
    [...common, 'control', 'mode'],
  ),
  gauge(
    'cray_power_limit_max_watts',
    'Highest power limit that can be set; Redfish Chassis/NodeN/Controls/* SettingRangeMax, W.',
    [...common, 'control', 'mode'],
  ),
  stateset('cray_power_state', 'Power state; Redfish Systems/* and Chassis/* PowerState.', [
    ...common,
    'state',
  ]),
  gauge(
    'cray_server_power_watts',
    'Power of a server; Redfish Chassis/*/Power PowerControl[].PowerConsumedWatts, W.',
    [...common, 'control'],
  ),
  gauge(
    'cray_server_power_window_watts',
    'Mean, least and most power of a server over its last minutes; ' +
      'Redfish Chassis/*/Power PowerControl[].PowerMetrics, W.',
    [...common, 'control', 'stat', 'minutes'],
  ),
  counter(
    'cray_server_energy_joules_total',
    'Energy of a server; Redfish Chassis/Self/Sensors/Energy Reading, J. Known to restart often ' +
      'and to be implausibly small on Gigabyte servers.',
    common,
  ),
  gauge(
    'cray_power_supply_input_volts',
    'Line voltage of a power supply; Redfish Chassis/*/Power PowerSupplies[].LineInputVoltage, V.',
    [...common, 'bay'],
  ),
  gauge(
    'cray_power_supply_output_watts',
    'Output of a power supply; Redfish Chassis/*/Power PowerSupplies[].LastPowerOutputWatts or ' +
      'PowerOutputWatts, W. Some servers give all of their power for each supply: do not add.',
    [...common, 'bay'],
  ),
  gauge(
    'cray_power_supply_input_watts',
    'Input of a power supply; Redfish Chassis/*/Power PowerSupplies[].PowerInputWatts, W.',
    [...common, 'bay'],
  ),
  gauge(
    'cray_server_temperature_celsius',
    'Temperature in a server; Redfish Chassis/*/Thermal Temperatures[].ReadingCelsius, Cel.',
    [...common, 'name', 'context'],
  ),
  gauge(
    'cray_server_voltage_volts',
    'Voltage in a server; Redfish Chassis/*/Power Voltages[].ReadingVolts, V.',
    [...common, 'name', 'context'],
  ),
  gauge(
    'cray_fan_speed_ratio',
    'Speed of a fan, 1 is full; Redfish Chassis/*/Thermal Fans[].Reading, percent x 0.01.',
    [...common, 'name'],
  ),
  gauge(
    'cray_fan_speed_rpm',
    'Speed of a fan in turns a minute; Redfish Chassis/*/Thermal Fans[].Reading, RPM.',
    [...common, 'name'],
  ),
  counter(
    'cray_pdu_outlet_energy_joules_total',
    'Energy of an outlet; JAWS monitor/outlets energy, Wh x 3600.',
    outlet,
  ),
  gauge('cray_pdu_outlet_power_watts', 'JAWS monitor/outlets active_power, W.', outlet),
  gauge('cray_pdu_outlet_current_amperes', 'JAWS monitor/outlets current, A.', outlet),
  gauge('cray_pdu_outlet_voltage_volts', 'JAWS monitor/outlets voltage, V.', outlet),
  stateset('cray_pdu_outlet_state', 'JAWS monitor/outlets state.', [...outlet, 'state']),
  gauge(
    'cray_pdu_outlet_apparent_power_voltamperes',
    'JAWS monitor/outlets apparent_power, VA.',
    outlet,
  ),
  gauge(
    'cray_pdu_outlet_power_factor_ratio',
    'JAWS monitor/outlets power_factor; absent without load.',
    outlet,
  ),
  counter(
    'cray_pdu_phase_energy_joules_total',
    'Energy of a phase; JAWS monitor/phases energy, kWh x 3600000.',
    phase,
  ),
  gauge('cray_pdu_phase_power_watts', 'JAWS monitor/phases active_power, W.', phase),
  gauge('cray_pdu_phase_voltage_volts', 'JAWS monitor/phases voltage, V.', phase),
  gauge('cray_pdu_phase_current_amperes', 'JAWS monitor/phases current, A.', phase),
  gauge(
    'cray_pdu_phase_apparent_power_voltamperes',
    'JAWS monitor/phases apparent_power, VA.',
    phase,
  ),
  gauge(
    'cray_pdu_phase_power_factor_ratio',
    'JAWS monitor/phases power_factor; absent without load.',
    phase,
  ),
  gauge('cray_pdu_line_current_amperes', 'JAWS monitor/lines current, A.', [...common, 'line']),
  gauge('cray_pdu_branch_current_amperes', 'JAWS monitor/branches current, A.', [
    ...common,
    'branch',
  ]),
  gauge(
    'cray_pdu_temperature_celsius',
    'Temperature at a probe; JAWS monitor/sensors/temp temperature_celsius, Cel.',
    [...common, 'probe', 'name'],
  ),
  gauge(
    'cray_pdu_humidity_ratio',
    'Relative humidity at a probe; JAWS monitor/sensors/humidity relative_humidity, % x 0.01.',
    [...common, 'probe', 'name'],
  ),
] as const

/** How the exporter fares with each device. */
const pollMetrics = [
  gauge(
    'cray_device_up',
    'Whether the device answered any request of its last poll of power and energy.',
    device,
  ),
  gauge(
    'cray_device_scrape_duration_seconds',
    'How long the last poll of power and energy took.',
    device,
  ),
  gauge(
    'cray_device_last_success_timestamp_seconds',
    'Unix time of the last poll that the device answered: the age of what is shown of it.',
    device,
  ),
  counter('cray_device_requests_total', 'Requests sent to the device.', device),
  counter(
    'cray_device_errors_total',
    'Requests that failed: unreachable, timeout, unauthorized, unsupported or malformed.',
    [...device, 'reason'],
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
 * One reading per state, 1 for `state` and 0 for the others of `states`; a state that is not
 * among them is shown too.
 */
export function stateReadings(
  metric: MetricName,
  labels: Record<string, string>,
  state: string,
  states: readonly string[],
): Reading[] {
  return [...new Set([...states, state])].map((each) => ({
    metric,
    labels: { ...labels, state: each },
    value: each === state ? 1 : 0,
  }))
}

function gauge<const N extends string>(name: N, help: string, labels: readonly string[]) {
  return { name, type: 'gauge', help, labels } as const
}

function counter<const N extends `${string}_total`>(
  name: N,
  help: string,
  labels: readonly string[],
) {
  return { name, type: 'counter', help, labels } as const
}

function stateset<const N extends string>(name: N, help: string, labels: readonly string[]) {
  return { name, type: 'stateset', help, labels } as const
}
