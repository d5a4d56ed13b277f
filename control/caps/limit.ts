import {
  fieldAt,
  linkAt,
  listAt,
  numberAt,
  numericTextAt,
  textAt,
} from '../../exporter/redfish/parse.ts'

/** What a limit bounds; accelerators are within the node. */
export type LimitScope = 'node' | 'accelerator'

/** One power limit as its device shows it, in watts. */
export interface PowerLimit {
  /** The device's name for it, which PCS's clients use: `Accelerator0 Power Limit`. */
  name: string
  scope: LimitScope
  /** 0: no limit. */
  watts: number
  /** Undefined where the device tells none. */
  min: number | undefined
  max: number | undefined
  /** What the device needs at power up. */
  powerUp: number | undefined
  place: LimitPlace
}

/** Where and how a limit is set. */
type LimitPlace =
  | { form: 'control'; path: string; deep: string | undefined }
  | { form: 'environment'; path: string }
  | {
      form: 'power'
      path: string
      /** Its position in PowerControl, and how many there are. */
      index: number
      /** What stands for no limit. */
      none: 0 | null
      /** Where a Gigabyte server's limits are switched on. */
      trigger: string | undefined
    }
  /** `target`: the action that sets limits by zone. */
  | { form: 'zone'; target: string; zone: number }

/** A request that sets limits. */
export interface LimitWrite {
  method: 'PATCH' | 'POST'
  path: string
  body: unknown
}

/** Watts by name of the control; 0 removes the limit. */
export type WantedLimits = Readonly<Record<string, number>>

/** What PCS calls the limit of a node where the device has no name for it. */
const nodeLimit = 'Node Power Limit'

/**
 * A Control (DMTF Control schema) of a power limit; undefined for any other. Cray EX controllers
 * refuse several PATCHes of single controls at once: theirs are set by one of `Controls.Deep`.
 */
export function parseControl(
  controls: string,
  path: string,
  body: unknown,
): PowerLimit | undefined {
  const name = textAt(body, 'Name')
  const type = textAt(body, 'ControlType') ?? 'Power'
  if (name === undefined || type !== 'Power' || textAt(body, 'SetPointUnits') === '%')
    return undefined
  const isOff = textAt(body, 'ControlMode') === 'Disabled'
  const isCray = fieldAt(body, 'Oem', 'Hpe') !== undefined
  return {
    name,
    scope: scopeOf(textAt(body, 'PhysicalContext') ?? name),
    watts: isOff ? 0 : (numberAt(body, 'SetPoint') ?? 0),
    min: numberAt(body, 'SettingRangeMin') ?? numberAt(body, 'AllowableMin'),
    max: bound(numberAt(body, 'SettingRangeMax') ?? numberAt(body, 'AllowableMax')),
    powerUp: numericTextAt(body, 'Oem', 'Hpe', 'PowerResetWatts'),
    place: { form: 'control', path, deep: isCray ? `${controls}.Deep` : undefined },
  }
}

/** `PowerLimitWatts` of EnvironmentMetrics (DMTF EnvironmentMetrics 1.1); none: no limits. */
export function parseEnvironment(path: string, body: unknown): PowerLimit[] {
  const limit = fieldAt(body, 'PowerLimitWatts')
  if (typeof limit !== 'object' || limit === null) return []
  const isOff = textAt(limit, 'ControlMode') === 'Disabled'
  return [
    {
      name: nodeLimit,
      scope: 'node',
      watts: isOff ? 0 : (numberAt(limit, 'SetPoint') ?? 0),
      min: numberAt(limit, 'AllowableMin') ?? numberAt(limit, 'SettingRangeMin'),
      max: bound(numberAt(limit, 'AllowableMax') ?? numberAt(limit, 'SettingRangeMax')),
      powerUp: undefined,
      place: { form: 'environment', path },
    },
  ]
}

/**
 * `PowerControl[]` of a Power resource: older Cray EX, iLO, Gigabyte, Intel. An entry without a
 * PowerLimit cannot be limited; a capacity of 0 is not known (Gigabyte).
 */
export function parsePower(path: string, body: unknown): PowerLimit[] {
  const trigger = textAt(body, 'Actions', 'Oem', '#PowerLimitTrigger', 'target')
  return listAt(body, 'PowerControl').flatMap((control, index) => {
    const cray = fieldAt(control, 'Oem', 'Cray')
    const oem = cray ?? fieldAt(control, 'Oem', 'Vendor')
    const limit = fieldAt(control, 'PowerLimit') ?? fieldAt(oem, 'PowerLimit')
    if (typeof limit !== 'object' || limit === null) return []
    // As PCS calls that of an iLO, which is known by its path (hms-power-control, power-cap.go).
    const isHpe = index === 0 && path.endsWith('/Chassis/1/Power')
    const name = isHpe ? nodeLimit : (textAt(control, 'Name') ?? 'Node Power Control')
    const none = cray === undefined ? null : 0
    return {
      name,
      scope: scopeOf(name),
      watts: numberAt(control, 'PowerLimit', 'LimitInWatts') ?? 0,
      min: numberAt(oem, 'PowerLimit', 'Min'),
      max: bound(numberAt(oem, 'PowerLimit', 'Max') ?? numberAt(control, 'PowerCapacityWatts')),
      powerUp: numberAt(oem, 'PowerResetWatts'),
      place: { form: 'power' as const, path, index, none, trigger },
    }
  })
}

/**
 * Limits by zone of an `HpeServerAccPowerLimit` resource, as of an HPE Apollo 6500; its whole node
 * is zone 0, the only one that PCS sets.
 */
export function parseZones(path: string, body: unknown): PowerLimit[] {
  const action = 'HpeServerAccPowerLimit.ConfigurePowerLimit'
  const target = textAt(body, 'Actions', `#${action}`, 'target') ?? `${path}/Actions/${action}`
  return listAt(body, 'PowerLimits').map((limit) => {
    const zone = numberAt(limit, 'ZoneNumber') ?? 0
    const ranges = listAt(body, 'PowerLimitRanges')
    const range = ranges.find((each) => (numberAt(each, 'ZoneNumber') ?? 0) === zone)
    return {
      name: zone === 0 ? nodeLimit : `Zone${zone} Power Limit`,
      scope: 'node',
      watts: numberAt(limit, 'PowerLimitInWatts') ?? 0,
      min: numberAt(range, 'MinimumPowerLimit'),
      max: bound(numberAt(range, 'MaximumPowerLimit')),
      powerUp: undefined,
      place: { form: 'zone', target, zone },
    }
  })
}

function scopeOf(text: string): LimitScope {
  return /accel|gpu/i.test(text) ? 'accelerator' : 'node'
}

function bound(watts: number | undefined): number | undefined {
  return watts === 0 ? undefined : watts
}

/** The paths under a Chassis where its power limits may stand. */
export function limitLinks(chassis: unknown) {
  return {
    controls: linkAt(chassis, 'Controls'),
    environment: linkAt(chassis, 'EnvironmentMetrics'),
    power: linkAt(chassis, 'Power'),
  }
}

/** Where a Power resource's limits by zone stand, or what links to them; undefined: nowhere. */
export function zoneLinks(power: unknown) {
  const links = fieldAt(power, 'Oem', 'Hpe', 'Links')
  return { limits: linkAt(links, 'PowerLimit'), service: linkAt(links, 'AccPowerService') }
}

/** Why the limits cannot be set as wanted on a node that has these; empty: they can. */
export function limitFaults(limits: readonly PowerLimit[], wanted: WantedLimits): string[] {
  const faults = Object.entries(wanted).flatMap(([name, watts]) => {
    const limit = limits.find((each) => each.name === name)
    if (limit === undefined) return `Skipping undefined control '${name}'`
    if (watts === 0) return []
    const { min = 0, max = Number.POSITIVE_INFINITY } = limit
    if (watts < min) return `${name}: ${watts} W is less than its minimum, ${min} W`
    return watts > max ? `${name}: ${watts} W is more than its maximum, ${max} W` : []
  })
  return faults.length > 0 ? faults : sumFaults(limits, wanted)
}

/**
 * A node's limit holds for its accelerators too: theirs must fit into it together. A change that
 * makes an excess smaller which was there before passes.
 */
function sumFaults(limits: readonly PowerLimit[], wanted: WantedLimits): string[] {
  const [before, after] = [sumOf(limits, {}), sumOf(limits, wanted)]
  if (after.excess <= 0 || after.excess < before.excess) return []
  const { accelerators, node } = after
  return [`the accelerators' limits are ${accelerators} W together, the node's is ${node} W`]
}

function sumOf(limits: readonly PowerLimit[], wanted: WantedLimits) {
  const watts = ({ name, watts }: PowerLimit) => wanted[name] ?? watts
  const of = (scope: LimitScope) => limits.filter((limit) => limit.scope === scope).map(watts)
  const accelerators = of('accelerator').reduce((sum, each) => sum + each, 0)
  const node = Math.max(0, ...of('node'))
  return { accelerators, node, excess: node === 0 ? 0 : accelerators - node }
}

/** The limits that are not as wanted, in words; empty: all are. */
export function unmetLimits(limits: readonly PowerLimit[], wanted: WantedLimits): string[] {
  return Object.entries(wanted).flatMap(([name, watts]) => {
    const has = limits.find((each) => each.name === name)?.watts
    if (has === watts) return []
    const shown = has === undefined ? 'shows none' : `has ${has} W`
    return `${name}: asked for ${watts} W, the device ${shown}`
  })
}

/** The requests that set what is not as wanted; to be called with limits that have no faults. */
export function limitWrites(limits: readonly PowerLimit[], wanted: WantedLimits): LimitWrite[] {
  const changed = limits.flatMap((limit) => {
    const watts = wanted[limit.name]
    return watts === undefined || watts === limit.watts ? [] : { watts, place: limit.place }
  })
  const deep = new Map<string, unknown[]>()
  const zones = new Map<string, unknown[]>()
  const power = new Map<string, PowerChange>()
  const writes: LimitWrite[] = []
  for (const { watts, place } of changed) {
    if (place.form === 'environment') {
      const body = { PowerLimitWatts: setting(watts) }
      writes.push({ method: 'PATCH', path: place.path, body })
    } else if (place.form === 'power') {
      const change = power.get(place.path) ?? { trigger: place.trigger, entries: [], watts }
      change.entries[place.index] = { PowerLimit: { LimitInWatts: watts || place.none } }
      power.set(place.path, change)
    } else if (place.form === 'zone') {
      const PowerLimits = zones.get(place.target) ?? []
      zones.set(place.target, PowerLimits)
      PowerLimits.push({ PowerLimitInWatts: watts, ZoneNumber: place.zone })
    } else if (place.deep === undefined) {
      writes.push({ method: 'PATCH', path: place.path, body: setting(watts) })
    } else {
      const members = deep.get(place.deep) ?? []
      deep.set(place.deep, members)
      members.push({ '@odata.id': place.path, ...setting(watts) })
    }
  }
  for (const [path, Members] of deep) writes.push({ method: 'PATCH', path, body: { Members } })
  for (const [path, PowerLimits] of zones) {
    writes.push({ method: 'POST', path, body: { PowerLimits } })
  }
  for (const [path, change] of power) writes.push(...powerWrites(path, change))
  return writes
}

interface PowerChange {
  trigger: string | undefined
  /** With holes for entries that stay as they are. */
  entries: unknown[]
  watts: number
}

/** Position tells which entry is meant: those that stay are empty (DSP0266, "PATCH on arrays"). */
function powerWrites(path: string, { trigger, entries, watts }: PowerChange): LimitWrite[] {
  const PowerControl = Array.from(entries, (entry) => entry ?? {})
  const write: LimitWrite = { method: 'PATCH', path, body: { PowerControl } }
  if (trigger === undefined) return [write]
  const PowerLimitTrigger = watts === 0 ? 'Deactivate' : 'Activate'
  return [{ method: 'POST', path: trigger, body: { PowerLimitTrigger } }, write]
}

function setting(watts: number) {
  return watts === 0 ? { ControlMode: 'Disabled' } : { SetPoint: watts, ControlMode: 'Automatic' }
}

/** Limits as PCS shows them; what the device does not tell is left out. */
export function shownLimits(limits: readonly PowerLimit[]) {
  const node = limits.find(({ scope }) => scope === 'node')
  const { max: hostLimitMax, min: hostLimitMin, powerUp: powerupPower } = node ?? {}
  return {
    limits: { hostLimitMax, hostLimitMin, powerupPower },
    powerCapLimits: limits.map(({ name, watts, max, min }) => ({
      name,
      currentValue: watts,
      maximumValue: max,
      minimumValue: min,
    })),
  }
}

/** `Node Power Limit 900 W, Accelerator0 Power Limit none`, for the audit. */
export function limitsText(limits: readonly PowerLimit[]): string {
  return limits
    .map(({ name, watts }) => `${name} ${watts === 0 ? 'none' : `${watts} W`}`)
    .join(', ')
}
