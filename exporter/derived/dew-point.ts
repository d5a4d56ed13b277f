/**
 * The dew point over water of air at `celsius` with the relative humidity `ratio`, in degrees
 * Celsius: Magnus' formula with the constants of the WMO (WMO-No. 8, "Guide to Instruments and
 * Methods of Observation", annex 4.B), for -45 to 60 degrees. From 0 degrees and 5 % up it
 * is within 0.1 degrees of the vapour pressure of Hyland and Wexler (1983), far less than a probe's
 * own error. Undefined outside those temperatures, and for what is no humidity of air: dry air has
 * no dew point.
 */
export function dewPointCelsius(celsius: number, ratio: number): number | undefined {
  if (!(celsius >= lowest && celsius <= highest && ratio > 0 && ratio <= 1)) return undefined
  const gamma = Math.log(ratio) + (slope * celsius) / (offset + celsius)
  return (offset * gamma) / (slope - gamma)
}

const slope = 17.62
/** Degrees Celsius. */
const offset = 243.12
const lowest = -45
const highest = 60
