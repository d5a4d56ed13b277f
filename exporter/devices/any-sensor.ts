import type { MetricName, Reading } from '../metrics.ts'
import type { Sensor } from '../redfish/sensor.ts'
import type { Quantity } from '../redfish/units.ts'

/**
 * A Redfish Sensor that has no metric of its own; `labels` name its component and the sensor.
 * Shares that are neither humidity nor a fan's speed (loads, utilisation) are none of our readings.
 */
export function anySensorReadings(labels: Record<string, string>, sensor: Sensor): Reading[] {
  if (sensor.reading === undefined || sensor.quantity === undefined) return []
  const metric = metricOf[sensor.quantity]
  if (metric === undefined) return []
  return [{ metric, labels: { ...labels, ...sensor.place }, value: sensor.reading.value }]
}

/** For what has no metric of its own, by what it measures. */
export const metricOf: Record<Quantity, MetricName | undefined> = {
  power: 'cray_sensor_power_watts',
  energy: 'cray_sensor_energy_joules_total',
  voltage: 'cray_sensor_voltage_volts',
  current: 'cray_sensor_current_amperes',
  temperature: 'cray_sensor_temperature_celsius',
  pressure: 'cray_sensor_pressure_pascals',
  humidity: 'cray_sensor_humidity_ratio',
  fan: 'cray_fan_speed_ratio',
  rotation: 'cray_fan_speed_rpm',
  ratio: undefined,
}
