import { common, counter, gauge, stateset } from './metric.ts'

/** The part of the table of metrics that tells of PDUs. */
export const pduMetrics = [
  ...partMetrics('outlet', {
    jaws: 'monitor/outlets',
    redfish: 'Outlets/*',
    labels: [...common, 'outlet', 'line'],
  }),
  stateset('cray_pdu_outlet_state', 'JAWS monitor/outlets state; Redfish Outlets/* PowerState.', [
    ...common,
    'outlet',
    'state',
  ]),
  ...partMetrics('phase', {
    jaws: 'monitor/phases',
    redfish: 'Mains/* PolyPhase*.LineNToLineM',
    labels: [...common, 'mains', 'phase'],
  }),
  ...partMetrics('line', {
    jaws: 'monitor/lines',
    redfish: 'Mains/* PolyPhase*.LineN',
    labels: [...common, 'mains', 'line'],
  }),
  ...partMetrics('branch', {
    jaws: 'monitor/branches',
    redfish: 'Branches/*',
    labels: [...common, 'branch', 'line'],
  }),
  ...partMetrics('mains', { redfish: 'Mains/*', labels: [...common, 'mains'] }),
  gauge(
    'cray_pdu_power_watts',
    'Power of a PDU; Redfish RackPDUs/*/Metrics PowerWatts, W.',
    common,
  ),
  counter(
    'cray_pdu_energy_joules_total',
    'Energy of a PDU; Redfish RackPDUs/*/Metrics EnergykWh, kWh x 3600000.',
    common,
  ),
  gauge(
    'cray_pdu_apparent_power_voltamperes',
    'Apparent power of a PDU; Redfish RackPDUs/*/Metrics PowerWatts.ApparentVA, VA.',
    common,
  ),
  gauge(
    'cray_pdu_power_factor_ratio',
    'Power factor of a PDU; Redfish RackPDUs/*/Metrics PowerWatts.PowerFactor.',
    common,
  ),
  gauge(
    'cray_pdu_temperature_celsius',
    'Temperature at a probe; JAWS monitor/sensors/temp temperature_celsius, Redfish ' +
      'RackPDUs/*/Sensors/* and Metrics, Cel.',
    [...common, 'chassis', 'probe', 'name'],
  ),
  gauge(
    'cray_pdu_humidity_ratio',
    'Relative humidity at a probe; JAWS monitor/sensors/humidity relative_humidity, Redfish ' +
      'RackPDUs/*/Sensors/* and Metrics, % x 0.01.',
    [...common, 'chassis', 'probe', 'name'],
  ),
  gauge(
    'cray_pdu_dew_point_celsius',
    'Derived: dew point at a probe, from its cray_pdu_temperature_celsius and ' +
      "cray_pdu_humidity_ratio by Magnus' formula (WMO-No. 8: 17.62, 243.12 Cel), within 0.1 Cel " +
      'of that air; absent while one of them is.',
    [...common, 'chassis', 'probe'],
  ),
] as const

/** What outlets and circuits of a PDU measure. */
function partMetrics<const P extends string>(
  part: P,
  { jaws, redfish, labels }: { jaws?: string; redfish: string; labels: readonly string[] },
) {
  const of = (field: string, other: string) => {
    const own = `Redfish RackPDUs/*/${redfish} ${other}`
    return jaws === undefined ? `${own}.` : `JAWS ${jaws} ${field}; ${own}.`
  }
  const kilowattHours = part === 'outlet' ? 'energy, Wh x 3600' : 'energy, kWh x 3600000'
  return [
    counter(
      `cray_pdu_${part}_energy_joules_total`,
      of(kilowattHours, 'EnergykWh x 3600000, or EnergySensor (translated JAWS: Wh x 3600)'),
      labels,
    ),
    gauge(`cray_pdu_${part}_power_watts`, of('active_power, W', 'power, W'), labels),
    gauge(`cray_pdu_${part}_current_amperes`, of('current, A', 'current, A'), labels),
    gauge(`cray_pdu_${part}_voltage_volts`, of('voltage, V', 'voltage, V'), labels),
    gauge(
      `cray_pdu_${part}_apparent_power_voltamperes`,
      of('apparent_power, VA', 'ApparentVA, VA'),
      labels,
    ),
    gauge(
      `cray_pdu_${part}_power_factor_ratio`,
      of('power_factor, absent without load', 'PowerFactor'),
      labels,
    ),
  ] as const
}
