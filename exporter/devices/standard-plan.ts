import {
  collectionIfAny,
  type Get,
  ifAny,
  type Listing,
  listingIfAny,
} from '../redfish/collection.ts'
import { linkAt } from '../redfish/parse.ts'

/** Resources to ask for, so far. */
export interface Wanted {
  fast: string[]
  slow: string[]
}

/**
 * What the standard schemas offer of a chassis, the older (`Power`, `Thermal`) and the newer. Where
 * the chassis itself gives no answer, the older two are asked for all the same: the
 * `Chassis/RackMount` of Intel servers is 404 while its child answers.
 */
export async function planChassis(path: string, get: Get, wanted: Wanted): Promise<void> {
  const chassis = await ifAny(get(path))
  const bare = chassis === undefined
  if (!bare) wanted.slow.push(path)
  add(wanted.fast, linkAt(chassis, 'Power') ?? (bare ? `${path}/Power` : undefined))
  add(wanted.slow, linkAt(chassis, 'Thermal') ?? (bare ? `${path}/Thermal` : undefined))
  add(wanted.fast, linkAt(chassis, 'EnvironmentMetrics'))
  await planSupplies(linkAt(chassis, 'PowerSubsystem'), get, wanted)
  await planCooling(linkAt(chassis, 'ThermalSubsystem'), get, wanted)
  await planSensors(linkAt(chassis, 'Sensors'), get, wanted)
  wanted.slow.push(...(await collectionIfAny(linkAt(chassis, 'Controls'), get)))
}

/** The controllers themselves: what they are, and whether they are well. */
export async function planManagers(get: Get, wanted: Wanted): Promise<void> {
  wanted.slow.push(...(await collectionIfAny('/redfish/v1/Managers', get)))
}

/** Power states, and what processors and accelerators measure of themselves. */
export async function planSystems(get: Get, wanted: Wanted): Promise<void> {
  for (const path of await collectionIfAny('/redfish/v1/Systems', get)) {
    wanted.slow.push(path)
    const system = await ifAny(get(path))
    for (const processor of await collectionIfAny(linkAt(system, 'Processors'), get)) {
      add(wanted.fast, linkAt(await ifAny(get(processor)), 'EnvironmentMetrics'))
    }
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
}

async function planCooling(path: string | undefined, get: Get, wanted: Wanted): Promise<void> {
  if (path === undefined) return
  const subsystem = await ifAny(get(path))
  add(wanted.slow, linkAt(subsystem, 'ThermalMetrics'))
  wanted.slow.push(...(await collectionIfAny(linkAt(subsystem, 'Fans'), get)))
  const leaks = linkAt(subsystem, 'LeakDetection')
  const detection = leaks === undefined ? undefined : await ifAny(get(leaks))
  wanted.slow.push(...(await collectionIfAny(linkAt(detection, 'LeakDetectors'), get)))
}

function add(paths: string[], path: string | undefined): void {
  if (path !== undefined) paths.push(path)
}
