import type { Sample } from './exporter.ts'

/** `x1000c0s0b0n0 watts 747`: a reading as it is compared, whichever way it was found. */
export function readingKey(reading: { quantity: string; xname: string; value: number }): string {
  return `${reading.xname} ${reading.quantity} ${Number(reading.value.toPrecision(11))}`
}

/** What a scrape shows of the quantities, without what is derived or tells of the polling. */
export function measured(samples: readonly Sample[], bmc: string): string[] {
  return samples
    .filter(({ labels }) => labels['bmc'] === bmc)
    .flatMap(({ name, labels, value }) => {
      const quantity = quantityOf(name)
      const xname = labels['xname'] ?? ''
      return quantity === undefined ? [] : [readingKey({ quantity, xname, value })]
    })
    .sort()
}

/** A chassis' power is the sum of its rectifiers; no device of the recordings has the others. */
export const derived = [
  'cray_chassis_power_watts',
  'cray_chassis_conversion_efficiency_ratio',
  'cray_pdu_dew_point_celsius',
]

function quantityOf(metric: string): string | undefined {
  if (derived.includes(metric)) return undefined
  const unit = /_(joules_total|watts|volts|amperes|celsius|pascals|rpm|voltamperes|ratio)$/.exec(
    metric,
  )
  return unit?.[1]
}
