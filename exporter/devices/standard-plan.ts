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
 * of the chassis within it that no list names; a cooling unit or power shelf is read like one.
 * Where the chassis itself gives no answer, the older two are tried for all the same: the
 * `Chassis/RackMount` of Intel servers is 404 while its child answers.
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
  await planModules(chassis, get, wanted)
  await planSensors(linkAt(chassis, 'Sensors'), get, wanted)
  for (const list of ['NetworkAdapters', 'PCIeDevices', 'Drives', 'Memory']) {
    await planMeters(linkAt(chassis, list), get, wanted.slow)
  }
  for (const within of linksIn(chassis, 'Contains')) await planChassis(within, get, wanted, planned)
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

/** An iLO's `Power` links to its meter, or has it below itself; some link to limits by zone. */
async function planPower(
  path: string | undefined,
  { get, wanted, isHpe }: { get: Get; wanted: Wanted; isHpe: boolean },
): Promise<void> {
  if (path === undefined) return
  wanted.fast.push(path)
  const links = fieldAt(await ifAny(get(path)), 'Oem', 'Hpe', 'Links')
  const meter = linkAt(links, 'FastPowerMeter') ?? (isHpe ? `${path}/FastPowerMeter` : undefined)
  if (meter !== undefined && (await ifAny(get(meter))) !== undefined) wanted.fast.push(meter)
  const service = linkAt(links, 'AccPowerService')
  const limits = service === undefined ? undefined : await ifAny(get(service))
  add(wanted.slow, linkAt(limits, 'Links', 'PowerLimit') ?? linkAt(links, 'PowerLimit'))
}

function isHpe(chassis: unknown): boolean {
  const oem = fieldAt(chassis, 'Oem', 'Hpe') ?? fieldAt(chassis, 'Oem', 'Hp')
  return oem !== undefined || /^hpe?\b/i.test(textAt(chassis, 'Manufacturer') ?? '')
}

/** What the root of a service may have beside chassis: cooling units, power shelves, .. */
export const equipment = ['ThermalEquipment', 'PowerEquipment']

export async function planEquipment(get: Get, wanted: Wanted, planned: Set<string>): Promise<void> {
  const root = await ifAny(get('/redfish/v1'))
  for (const kind of equipment) {
    const path = linkAt(root, kind)
    if (path === undefined) continue
    const body: unknown = await ifAny(get(path))
    const links = Object.values(Object(body)).flatMap((value) => linkAt(value) ?? [])
    for (const list of links.filter((each) => each.startsWith(`${path}/`))) {
      const members = await collectionIfAny(list, get)
      if (list.endsWith('/LeakDetectors')) wanted.slow.push(...members)
      else for (const member of members) await planChassis(member, get, wanted, planned)
    }
  }
}

/** The controllers: what they are, how they are, what they measure. Gives their chassis. */
export async function planManagers(get: Get, wanted: Wanted): Promise<string[]> {
  const chassis: string[] = []
  for (const path of await collectionIfAny('/redfish/v1/Managers', get)) {
    const manager = await ifAny(get(path))
    wanted.slow.push(path, ...metricsOf(manager))
    chassis.push(...linksIn(manager, 'ManagerForChassis'))
  }
  return chassis
}

function linksIn(body: unknown, name: string): string[] {
  return listAt(body, 'Links', name).flatMap((each) => linkAt(each) ?? [])
}

/** Power states, and what processors, memory and drives measure. Gives the systems' chassis. */
export async function planSystems(get: Get, wanted: Wanted): Promise<string[]> {
  const chassis: string[] = []
  for (const path of await collectionIfAny('/redfish/v1/Systems', get)) {
    wanted.slow.push(path)
    const system = await ifAny(get(path))
    chassis.push(...linksIn(system, 'Chassis'))
    add(wanted.fast, linkAt(system, 'EnvironmentMetrics'))
    for (const processor of await collectionIfAny(linkAt(system, 'Processors'), get)) {
      const body = await ifAny(get(processor))
      add(wanted.fast, linkAt(body, 'EnvironmentMetrics'))
      add(wanted.slow, linkAt(body, 'Metrics'))
    }
    await planMeters(linkAt(system, 'Memory'), get, wanted.slow)
    for (const storage of await collectionIfAny(linkAt(system, 'Storage'), get)) {
      const body = await ifAny(get(storage))
      await planMeters(linkAt(body, 'Controllers'), get, wanted.slow)
      const drives = listAt(body, 'Drives')
      await planMembers(
        drives.flatMap((drive) => linkAt(drive) ?? []),
        get,
        wanted.slow,
      )
    }
  }
  return chassis
}

/** The metrics of a collection's members, where they have any. */
async function planMeters(path: string | undefined, get: Get, paths: string[]): Promise<void> {
  await planMembers(await collectionIfAny(path, get), get, paths)
}

/** Members are mostly alike: when so many that are fitted measure nothing, no other is asked. */
const enoughWithout = 4
/** Nor when so many places for memory or cards are empty. */
const enoughEmpty = 64

async function planMembers(members: readonly string[], get: Get, paths: string[]): Promise<void> {
  let found = 0
  let fitted = 0
  for (const [asked, member] of members.entries()) {
    if (found === 0 && (fitted >= enoughWithout || asked >= enoughEmpty)) return
    const body = await ifAny(get(member))
    if (textAt(body, 'Status', 'State') !== 'Absent') fitted++
    const metrics = metricsOf(body)
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

/** What a chassis has by the newer schemas, but for sensors. */
export async function planModules(chassis: unknown, get: Get, wanted: Wanted): Promise<void> {
  wanted.fast.push(...metricsOf(chassis))
  await planSubsystem(linkAt(chassis, 'PowerSubsystem'), get, wanted)
  await planSubsystem(linkAt(chassis, 'ThermalSubsystem'), get, wanted)
  await planParts(chassis, get, wanted)
}

async function planSubsystem(path: string | undefined, get: Get, wanted: Wanted): Promise<void> {
  if (path !== undefined) await planParts(await ifAny(get(path)), get, wanted)
}

async function planLeaks(path: string | undefined, get: Get, wanted: Wanted): Promise<void> {
  if (path === undefined) return
  const detection = await ifAny(get(path))
  if (listAt(detection, 'LeakDetectorGroups').length > 0) wanted.slow.push(path)
  wanted.slow.push(...(await collectionIfAny(linkAt(detection, 'LeakDetectors'), get)))
}

/** The lists of parts that a chassis, its subsystems or a piece of equipment have. */
async function planParts(holder: unknown, get: Get, wanted: Wanted): Promise<void> {
  for (const supply of await collectionIfAny(linkAt(holder, 'PowerSupplies'), get)) {
    const body = await ifAny(get(supply))
    wanted.fast.push(...metricsOf(body))
    if (body !== undefined) wanted.slow.push(supply)
  }
  add(wanted.slow, linkAt(holder, 'ThermalMetrics'))
  for (const list of circuits) {
    wanted.fast.push(...(await collectionIfAny(linkAt(holder, list), get)))
  }
  for (const list of slowParts) {
    wanted.slow.push(...(await collectionIfAny(linkAt(holder, list), get)))
  }
  for (const list of ['Batteries', 'Heaters']) {
    await planMeters(linkAt(holder, list), get, wanted.slow)
  }
  await planLeaks(linkAt(holder, 'LeakDetection'), get, wanted)
}

const circuits = ['Mains', 'Branches', 'Feeders', 'Subfeeds', 'Outlets', 'OutletGroups']
const slowParts = [
  'Fans',
  'CoolantConnectors',
  'PrimaryCoolantConnectors',
  'SecondaryCoolantConnectors',
  'Pumps',
  'Controls',
  'LeakDetectors',
]

function metricsOf(body: unknown): string[] {
  return ['EnvironmentMetrics', 'Metrics'].flatMap((name) => linkAt(body, name) ?? [])
}

function add(paths: string[], path: string | undefined): void {
  if (path !== undefined) paths.push(path)
}
