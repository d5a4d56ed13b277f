import {
  collectionIfAny,
  type Get,
  ifAny,
  type Listing,
  listingIfAny,
} from '../redfish/collection.ts'
import { fieldAt, linkAt, listAt, textAt } from '../redfish/parse.ts'

/** Resources to ask for, so far. */
export interface Wanted {
  fast: string[]
  slow: string[]
}

/**
 * What the standard schemas offer of a chassis, the older (`Power`, `Thermal`) and the newer, and
 * of the chassis within it that no list names. Where the chassis itself gives no answer, the older
 * two are tried for all the same: the `Chassis/RackMount` of Intel servers is 404 while its child
 * answers.
 */
export async function planChassis(
  path: string,
  get: Get,
  wanted: Wanted,
  planned = new Set<string>(),
): Promise<void> {
  if (planned.has(path) || planned.size >= mostChassis) return
  planned.add(path)
  const chassis = await ifAny(get(path))
  if (chassis === undefined) return await planBare(path, get, wanted)
  const isMeasuring = fieldAt(chassis, 'Oem', 'Hpe', 'ChassisPowerWatts') !== undefined
  add(isMeasuring ? wanted.fast : wanted.slow, path)
  await planPower(linkAt(chassis, 'Power'), { get, wanted, isHpe: isHpe(chassis) })
  add(wanted.slow, linkAt(chassis, 'Thermal'))
  add(wanted.fast, linkAt(chassis, 'EnvironmentMetrics'))
  await planSupplies(linkAt(chassis, 'PowerSubsystem'), get, wanted)
  await planCooling(linkAt(chassis, 'ThermalSubsystem'), get, wanted)
  await planSensors(linkAt(chassis, 'Sensors'), get, wanted)
  wanted.slow.push(...(await collectionIfAny(linkAt(chassis, 'Controls'), get)))
  for (const list of ['NetworkAdapters', 'PCIeDevices', 'Drives', 'Memory']) {
    await planMeters(linkAt(chassis, list), get, wanted.slow)
  }
  for (const inner of listAt(chassis, 'Links', 'Contains')) {
    const within = linkAt(inner)
    if (within !== undefined) await planChassis(within, get, wanted, planned)
  }
}

/** A board of eight accelerators has about a hundred. */
const mostChassis = 500

async function planBare(path: string, get: Get, wanted: Wanted): Promise<void> {
  for (const [name, paths] of [
    ['Power', wanted.fast],
    ['Thermal', wanted.slow],
  ] as const) {
    if ((await ifAny(get(`${path}/${name}`))) !== undefined) paths.push(`${path}/${name}`)
  }
}

/** An iLO's `Power` links to its meter, or has it below itself. */
async function planPower(
  path: string | undefined,
  { get, wanted, isHpe }: { get: Get; wanted: Wanted; isHpe: boolean },
): Promise<void> {
  if (path === undefined) return
  wanted.fast.push(path)
  const linked = linkAt(await ifAny(get(path)), 'Oem', 'Hpe', 'Links', 'FastPowerMeter')
  const meter = linked ?? (isHpe ? `${path}/FastPowerMeter` : undefined)
  if (meter !== undefined && (await ifAny(get(meter))) !== undefined) wanted.fast.push(meter)
}

function isHpe(chassis: unknown): boolean {
  const oem = fieldAt(chassis, 'Oem', 'Hpe') ?? fieldAt(chassis, 'Oem', 'Hp')
  return oem !== undefined || /^hpe?\b/i.test(textAt(chassis, 'Manufacturer') ?? '')
}

/** The controllers themselves: what they are, and whether they are well. */
export async function planManagers(get: Get, wanted: Wanted): Promise<void> {
  wanted.slow.push(...(await collectionIfAny('/redfish/v1/Managers', get)))
}

/** Power states, and what processors, memory and drives measure of themselves. */
export async function planSystems(get: Get, wanted: Wanted): Promise<void> {
  for (const path of await collectionIfAny('/redfish/v1/Systems', get)) {
    wanted.slow.push(path)
    const system = await ifAny(get(path))
    for (const processor of await collectionIfAny(linkAt(system, 'Processors'), get)) {
      const body = await ifAny(get(processor))
      add(wanted.fast, linkAt(body, 'EnvironmentMetrics'))
      add(wanted.slow, linkAt(body, 'Metrics'))
    }
    await planMeters(linkAt(system, 'Memory'), get, wanted.slow)
    for (const storage of await collectionIfAny(linkAt(system, 'Storage'), get)) {
      const drives = listAt(await ifAny(get(storage)), 'Drives')
      await planMembers(
        drives.flatMap((drive) => linkAt(drive) ?? []),
        get,
        wanted.slow,
      )
    }
  }
}

/** The metrics of a collection's members, where they have any. */
async function planMeters(path: string | undefined, get: Get, paths: string[]): Promise<void> {
  await planMembers(await collectionIfAny(path, get), get, paths)
}

/** Members are mostly alike: when so many of them measure nothing, the others are not asked. */
const enoughWithout = 4

async function planMembers(members: readonly string[], get: Get, paths: string[]): Promise<void> {
  let found = 0
  let asked = 0
  for (const member of members) {
    if (found === 0 && asked >= enoughWithout) return
    asked++
    const body = await ifAny(get(member))
    const metrics = ['EnvironmentMetrics', 'Metrics'].flatMap((name) => linkAt(body, name) ?? [])
    found += metrics.length
    paths.push(...metrics)
  }
}

/** By the ids of sensors, which mostly tell what they measure; one told wrong is only later. */
export async function planSensors(
  path: string | undefined,
  get: Get,
  wanted: Wanted,
): Promise<Listing> {
  const found = await listingIfAny(path, get)
  for (const sensor of found.members) {
    const isFast = /power|energy|watt|joule/i.test(sensor.slice(sensor.lastIndexOf('/')))
    add(isFast ? wanted.fast : wanted.slow, sensor)
  }
  return found
}

async function planSupplies(path: string | undefined, get: Get, wanted: Wanted): Promise<void> {
  if (path === undefined) return
  const subsystem = await ifAny(get(path))
  for (const supply of await collectionIfAny(linkAt(subsystem, 'PowerSupplies'), get)) {
    const body = await ifAny(get(supply))
    add(wanted.fast, linkAt(body, 'Metrics'))
    if (body !== undefined) wanted.slow.push(supply)
  }
  await planMeters(linkAt(subsystem, 'Batteries'), get, wanted.slow)
}

async function planCooling(path: string | undefined, get: Get, wanted: Wanted): Promise<void> {
  if (path === undefined) return
  const subsystem = await ifAny(get(path))
  add(wanted.slow, linkAt(subsystem, 'ThermalMetrics'))
  for (const list of ['Fans', 'CoolantConnectors', 'Pumps']) {
    wanted.slow.push(...(await collectionIfAny(linkAt(subsystem, list), get)))
  }
  await planMeters(linkAt(subsystem, 'Heaters'), get, wanted.slow)
  const leaks = linkAt(subsystem, 'LeakDetection')
  if (leaks === undefined) return
  const detection = await ifAny(get(leaks))
  if (listAt(detection, 'LeakDetectorGroups').length > 0) wanted.slow.push(leaks)
  wanted.slow.push(...(await collectionIfAny(linkAt(detection, 'LeakDetectors'), get)))
}

function add(paths: string[], path: string | undefined): void {
  if (path !== undefined) paths.push(path)
}
