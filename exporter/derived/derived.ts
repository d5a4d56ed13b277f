import type { MetricName, Reading } from '../metrics.ts'
import { dewPointCelsius } from './dew-point.ts'

/**
 * What follows from a device's readings and no device measures: under names of its own, and only
 * when all that it follows from is there.
 */
export function derivedReadings(readings: readonly Reading[]): Reading[] {
  return [...efficiencies(readings), ...dewPoints(readings)]
}

/** How much of a chassis' AC input its rectifiers give out as DC. */
function efficiencies(readings: readonly Reading[]): Reading[] {
  const power = 'cray_chassis_power_watts'
  const sides = readings.filter(({ metric }) => metric === power)
  const outputs = byPlace(sides, ({ side }) => side === 'Output')
  const metric = 'cray_chassis_conversion_efficiency_ratio'
  return sides.flatMap(({ labels, value: input }) => {
    const output = labels['side'] === 'Input' ? outputs.get(placeOf(labels)) : undefined
    if (output === undefined || !(input > 0)) return []
    const { side: _, ...place } = labels
    return [{ metric, labels: place, value: output / input }]
  })
}

/** Temperature and humidity of a probe are two sensors in one housing, under one id. */
function dewPoints(readings: readonly Reading[]): Reading[] {
  const only = (metric: MetricName) => readings.filter((reading) => reading.metric === metric)
  const humidities = byPlace(only('cray_pdu_humidity_ratio'), () => true)
  return only('cray_pdu_temperature_celsius').flatMap(({ labels, value: celsius }) => {
    const ratio = humidities.get(placeOf(labels))
    const value = ratio === undefined ? undefined : dewPointCelsius(celsius, ratio)
    if (value === undefined) return []
    const { name: _, ...place } = labels
    return [{ metric: 'cray_pdu_dew_point_celsius', labels: place, value }]
  })
}

/** Values by place; of two in one place the first, as in the exposition. */
function byPlace(
  readings: readonly Reading[],
  wanted: (labels: Reading['labels']) => boolean,
): Map<string, number> {
  const found = new Map<string, number>()
  for (const { labels, value } of readings) {
    const place = placeOf(labels)
    if (wanted(labels) && !found.has(place)) found.set(place, value)
  }
  return found
}

function placeOf({ xname, bmc, source, chassis, probe }: Reading['labels']): string {
  return JSON.stringify([xname, bmc, source, chassis, probe])
}
