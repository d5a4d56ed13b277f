import { dirname } from 'node:path'

/**
 * Finds the readings in the JSON of a device by the names of its fields alone. Knows nothing of how
 * the exporter reads them, so that the two can be compared.
 */
export interface RawReading {
  quantity: string
  /** In base units. */
  value: number
  /** The component that has it. */
  xname: string
}

interface Leaf {
  kind: string
  /** Of the resource. */
  path: string
  /** Within it, without the places in lists: `PowerSupplies.Oem.Hpe.BayNumber`. */
  field: string
  value: number
  /** Objects around it, innermost first. */
  around: readonly Record<string, unknown>[]
  /** Whether the chassis that it is of has sensors. */
  sensed: boolean
}

const ratings = [
  /Threshold/,
  /ReadingRange(Min|Max)?$/,
  /[Cc]apacity/,
  /nominal_|Rated|TDP|_utilized$/,
  /PowerAllocat/,
]
const settings = [
  /SNMPPowerThresholdAlert/,
  /PowerLimit\.(Factor|CorrectionInMs)|PowerLimitFactor/,
  /FanPercentMinimum|PowerResetWatts/,
]
const counts = [
  /IntervalInMin|DurationInMin|PowerOnMinutes|Seconds$/,
  /SensorNumber|BayNumber|Index$|[Cc]ount$/,
  /Location[XY]mm|MinNumNeeded|MaxConcurrent|Firmware\.Current/,
]

/** What looks like a reading and is none, or is none of its own. */
export const exclusions: readonly { reason: string; is(leaf: Leaf): boolean }[] = [
  {
    reason: 'a threshold, rating or range: what the hardware could, not what it does',
    is: ({ path, field }) =>
      ratings.some((rating) => rating.test(field)) || /\/jaws\/config\//.test(path),
  },
  {
    reason: 'the older resource of a Cray controller: a copy of its sensors, with fillers',
    is: ({ kind, path, sensed, value, around: [member] }) =>
      /^(CMM|EX\w+|Slingshot)$/.test(kind) &&
      /\/Chassis\/[^/]+\/(Power|Thermal)$/.test(path) &&
      (sensed || value === member?.['UpperThresholdNonCritical']),
  },
  {
    reason: 'a copy of a sensor that is shown itself',
    is: ({ path, field }) => /\/Controls\//.test(path) && field === 'Sensor.Reading',
  },
  {
    reason: 'a sensor that is not fitted, sent as 0',
    is: ({ around }) =>
      around.some(({ Status }) => (Status as { State?: string } | undefined)?.State === 'Absent'),
  },
  {
    reason: 'the past: means of intervals that are over; the newest shares are readings',
    is: ({ path, field, around }) =>
      /\/(PowerMeter|SlowPowerMeter)$/.test(path) ||
      (/\/FastPowerMeter$/.test(path) && !(/(Cpu|Dimm|Gpu)Watts$/.test(field) && isNewest(around))),
  },
  {
    reason: 'the settings of a group of servers, not of this one',
    is: ({ path }) => path.endsWith('/FederatedGroupCapping'),
  },
  {
    reason: 'a share of 0: there is no such part',
    is: ({ path, field, value }) =>
      /\/FastPowerMeter$/.test(path) && /GpuWatts$/.test(field) && value === 0,
  },
  {
    reason: 'twice the same in one device: the energy sensor and the most of the window say it too',
    is: ({ field }) => /AccumulatedEnergyJoules$|^PeakReading$/.test(field),
  },
  {
    reason: 'a setting of the alert or of the limit, not watts drawn or allowed',
    is: ({ field }) => settings.some((setting) => setting.test(field)),
  },
  {
    reason: 'a count, a place or a span of time',
    is: ({ field }) => counts.some((count) => count.test(field)),
  },
  {
    reason: 'idle power that a blade does not know: 0',
    is: ({ field, value }) => /PowerIdleWatts$/.test(field) && value === 0,
  },
  {
    reason: 'the shape of a wave, which is no power',
    is: ({ field }) => /crest_factor|reactance|voltage_deviation/.test(field),
  },
]

/**
 * Every reading of a device, but for the exclusions; `onExcluded` learns which of them were of use.
 * @throws {Error} for a number that looks like a reading and has no known unit.
 */
export function rawReadings(
  kind: string,
  bmc: string,
  resources: ReadonlyMap<string, unknown>,
  onExcluded: (reason: string) => void = () => {},
): RawReading[] {
  const sensed = new Set(
    [...resources.keys()].flatMap((path) => /^(.+)\/Sensors\/[^/]+$/.exec(path)?.[1] ?? []),
  )
  return [...resources].flatMap(([path, body]) =>
    leaves({ kind, path, sensed: sensed.has(dirname(path)) }, body).flatMap((leaf) => {
      if (!looksLikeReading.test(leaf.field)) return []
      const excluded = exclusions.filter(({ is }) => is(leaf))
      for (const { reason } of excluded) onExcluded(reason)
      if (excluded.length > 0) return []
      const unit = unitOf(kind, leaf)
      if (unit === undefined) throw new Error(`${kind} ${path}: ${leaf.field}: unit unknown`)
      return [
        {
          quantity: unit.quantity,
          value: leaf.value * unit.factor,
          xname: placeOf(kind, bmc, leaf),
        },
      ]
    }),
  )
}

const words =
  'watt power energy joule kwh volt amp current celsius temperature pressure humid fan reading ' +
  'leak setpoint settingrange apparent rpm kpa'
const looksLikeReading = new RegExp(words.replaceAll(' ', '|'), 'i')

function leaves(
  of: Pick<Leaf, 'kind' | 'path' | 'sensed'>,
  value: unknown,
  field = '',
  around: readonly Record<string, unknown>[] = [],
): Leaf[] {
  if (Array.isArray(value)) return value.flatMap((each) => leaves(of, each, field, around))
  if (typeof value === 'object' && value !== null) {
    const inside = [value as Record<string, unknown>, ...around]
    return Object.entries(value).flatMap(([name, each]) =>
      leaves(of, each, field === '' ? name : `${field}.${name}`, inside),
    )
  }
  const number = /Watts$/.test(field) && typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number)
    ? [{ ...of, field, value: number, around }]
    : []
}

function isNewest(around: Leaf['around']): boolean {
  const details = (around[1]?.['PowerDetail'] ?? []) as { Time: string }[]
  const newest = details
    .map(({ Time }) => Time)
    .sort()
    .at(-1)
  return around[0]?.['Time'] === newest
}

interface Unit {
  quantity: string
  factor: number
}

function unitOf(kind: string, { path, field, around: [body] }: Leaf): Unit | undefined {
  if (path.startsWith('/jaws/')) return unitOfJaws(path, field)
  if (field.endsWith('EnergySensor.Reading') && kind === 'PDU-ServerTech-RTS') {
    return { quantity: 'joules_total', factor: 3600 }
  }
  const stated = String(body?.['ReadingUnits'] ?? body?.['ReadingType'])
  const unit = /Reading$/.test(field) ? units[stated] : undefined
  return unit ?? byName.find(([pattern]) => pattern.test(field))?.[1]
}

const units: Record<string, Unit> = {
  W: { quantity: 'watts', factor: 1 },
  Power: { quantity: 'watts', factor: 1 },
  J: { quantity: 'joules_total', factor: 1 },
  EnergyJoules: { quantity: 'joules_total', factor: 1 },
  V: { quantity: 'volts', factor: 1 },
  A: { quantity: 'amperes', factor: 1 },
  Cel: { quantity: 'celsius', factor: 1 },
  C: { quantity: 'celsius', factor: 1 },
  PSI: { quantity: 'pascals', factor: 6894.757293168 },
  kPa: { quantity: 'pascals', factor: 1000 },
  PressurekPa: { quantity: 'pascals', factor: 1000 },
  'kW.h': { quantity: 'joules_total', factor: 3.6e6 },
  EnergykWh: { quantity: 'joules_total', factor: 3.6e6 },
  Voltage: { quantity: 'volts', factor: 1 },
  Current: { quantity: 'amperes', factor: 1 },
  Temperature: { quantity: 'celsius', factor: 1 },
  RPM: { quantity: 'rpm', factor: 1 },
  '{rev}/min': { quantity: 'rpm', factor: 1 },
  Rotational: { quantity: 'rpm', factor: 1 },
  Humidity: { quantity: 'ratio', factor: 0.01 },
  '%': { quantity: 'ratio', factor: 0.01 },
  Percent: { quantity: 'ratio', factor: 0.01 },
}

const byName: readonly [RegExp, Unit][] = [
  [/kWh(\.Reading)?$/, { quantity: 'joules_total', factor: 3.6e6 }],
  [/Joules(\.Reading)?$/, { quantity: 'joules_total', factor: 1 }],
  [/Watts?(\.\w+)?(\.Reading)?$/, { quantity: 'watts', factor: 1 }],
  [/Amps(\.\w+)?(\.Reading)?$/, { quantity: 'amperes', factor: 1 }],
  [/(Voltages?|Volts)(\.\w+)?(\.Reading)?$/, { quantity: 'volts', factor: 1 }],
  [/ApparentVA$/, { quantity: 'voltamperes', factor: 1 }],
  [/PowerFactor$/, { quantity: 'ratio', factor: 1 }],
  [/Celsius(\.\w+)?(\.Reading)?$/, { quantity: 'celsius', factor: 1 }],
  [/RPM$/, { quantity: 'rpm', factor: 1 }],
  [/kPa(\.Reading)?$/, { quantity: 'pascals', factor: 1000 }],
  [/Percent(\.Reading)?$/, { quantity: 'ratio', factor: 0.01 }],
  [/SetPoint$|SettingRange(Min|Max)$|PowerLimit\.(Min|Max)$/, { quantity: 'watts', factor: 1 }],
]

function unitOfJaws(path: string, field: string): Unit | undefined {
  const kilowattHours = path.endsWith('/phases')
  const names: Record<string, Unit> = {
    active_power: { quantity: 'watts', factor: 1 },
    apparent_power: { quantity: 'voltamperes', factor: 1 },
    power_factor: { quantity: 'ratio', factor: 1 },
    current: { quantity: 'amperes', factor: 1 },
    voltage: { quantity: 'volts', factor: 1 },
    energy: { quantity: 'joules_total', factor: kilowattHours ? 3.6e6 : 3600 },
    temperature_celsius: { quantity: 'celsius', factor: 1 },
    relative_humidity: { quantity: 'ratio', factor: 0.01 },
  }
  return names[field]
}

/** By docs-csm, "Component Names (xnames)". */
function placeOf(kind: string, bmc: string, { path, around }: Leaf): string {
  if (kind.startsWith('PDU-'))
    return `${bmc}${pduPlaceOf(path, String(around.at(-1)?.['id'] ?? ''))}`
  if (kind === 'DL325' || kind === 'Gigabyte') return `${bmc}n0`
  const node = /\/Node(\d+)\//.exec(path)?.[1]
  if (node !== undefined) return `${bmc}n${node}`
  const cage = /\/NetworkingDevice(\d+)(?:Temperature|Voltage)$/.exec(path)?.[1]
  if (cage !== undefined) return `${bmc.replace(/b\d+$/, '')}j${cage}`
  if (kind !== 'CMM') return bmc
  const chassis = bmc.replace(/b\d+$/, '')
  const rectifier = /\/Rectifier(\d+)/.exec(path)?.[1]
  return rectifier === undefined ? chassis : `${chassis}t${rectifier}`
}

function pduPlaceOf(path: string, id: string): string {
  const [, unit = id, outlet] = /RackPDUs\/([^/]+)\/(?:Outlets\/([^/]+))?/.exec(path) ?? []
  const pdu = unit.startsWith('B') ? 'p1' : 'p0'
  const number = outlet ?? (path.endsWith('/outlets') ? id : undefined)
  return number === undefined ? pdu : `${pdu}v${Number(/\d+$/.exec(number)?.[0])}`
}
