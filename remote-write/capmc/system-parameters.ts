import { z } from 'zod'

const watts = z.number().min(0).optional()

/** The section `remote_write.capmc` of the settings: a site's limits. Nobody enforces them here. */
export const systemParameterSettings = z
  .strictObject({
    /** What the site wants the system to stay below. */
    powerCapTargetWatts: watts,
    /** From where on the site is warned. */
    powerThresholdWatts: watts,
    /** What the system draws besides what its meters tell. */
    staticPowerWatts: watts,
    /** How fast power may change, each minute. */
    rampLimitWattsPerMinute: watts,
    powerBandMinWatts: watts,
    powerBandMaxWatts: watts,
  })
  .refine(({ powerBandMinWatts: min, powerBandMaxWatts: max }) => (min ?? 0) <= (max ?? Infinity), {
    path: ['powerBandMinWatts'],
    error: 'is more than power_band_max_watts',
  })
  .prefault({})

export type SystemParameters = z.output<typeof systemParameterSettings>

/** What get_system_parameters answers, in watts and watts a minute; null: the site has none. */
export function systemParameters(site: SystemParameters) {
  return {
    power_cap_target: site.powerCapTargetWatts ?? null,
    power_threshold: site.powerThresholdWatts ?? null,
    static_power: site.staticPowerWatts ?? null,
    ramp_limited: site.rampLimitWattsPerMinute !== undefined,
    ramp_limit: site.rampLimitWattsPerMinute ?? null,
    power_band_min: site.powerBandMinWatts ?? null,
    power_band_max: site.powerBandMaxWatts ?? null,
  }
}
