import type { Device } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import {
  collection,
  collectionIfAny,
  type Get,
  ifAny,
  listingIfAny,
} from '../redfish/collection.ts'
import { linkAt } from '../redfish/parse.ts'
import type { Collector, Plan } from './collector.ts'
import { type CrayPlace, crayPlace } from './cray-place.ts'
import { isFastSensor, sensorReadings } from './cray-sensors.ts'
import {
  alarmReadings,
  controlReadings,
  oldLimitReadings,
  triggeredReadings,
} from './cray-state.ts'
import { partReadings } from './health.ts'
import { powerStateReadings } from './power-state.ts'

/**
 * The controllers of Cray EX hardware, one firmware family: chassis (CMM), node (nC of any blade)
 * and switch (sC). All their values are sensors, one GET each. The old `Power` and `Thermal` of
 * the same chassis are left alone, but for limits and the names of rectifiers: they fill in
 * thresholds for sensors that were never read.
 */
export const crayController: Collector = {
  kind: 'cray-controller',
  plan,
  readings,
}

async function plan(get: Get): Promise<Plan> {
  const sensors: string[] = []
  const slow: string[] = []
  const once: string[] = []
  for (const path of await collection('/redfish/v1/Chassis', get)) {
    const chassis = await ifAny(get(path))
    const list = linkAt(chassis, 'Sensors')
    const { members, pages } = await listingIfAny(list, get)
    once.push(...pages)
    sensors.push(...members)
    slow.push(...(await limitPaths(path, chassis, get)))
    slow.push(...(await collectionIfAny(linkAt(chassis, 'Oem', 'Alarms'), get)))
    if (chassis !== undefined) slow.push(path)
    const isPowered = members.some((member) => /\/Rectifier\d+\w*$/.test(member))
    const rectifiers = isPowered ? linkAt(chassis, 'Power') : undefined
    if (rectifiers !== undefined) slow.push(rectifiers)
  }
  slow.push(...(await collectionIfAny('/redfish/v1/Systems', get)))
  slow.push(...(await collectionIfAny('/redfish/v1/Managers', get)))
  const fast = sensors.filter(isFastSensor)
  slow.push(...sensors.filter((path) => !isFastSensor(path)))
  return { fast: fast.length > 0 ? fast : ['/redfish/v1'], slow, once }
}

/** The power limits of a node: `Controls`, or in older firmware its `Power`. */
async function limitPaths(path: string, chassis: unknown, get: Get): Promise<string[]> {
  const controls = await collectionIfAny(linkAt(chassis, 'Controls'), get)
  if (controls.length > 0) return controls
  const power = linkAt(chassis, 'Power')
  return power !== undefined && /\/Node[ _-]?\d+$/i.test(path) ? [power] : []
}

function readings(
  device: Pick<Device, 'xname'>,
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const found = sensorReadings(device.xname, resources)
  for (const [path, body] of resources) {
    const [, chassis, part = ''] = componentPath.exec(path) ?? []
    if (chassis === undefined) continue
    const labels = crayPlace(device.xname, chassis)
    if (part === '') found.push(...componentReadings(labels, chassis, body))
    else if (part === '/Power') found.push(...oldLimitReadings(labels, body))
    else if (part.startsWith('/Controls/')) found.push(...controlReadings(labels, body))
    else if (part.startsWith('/Oem/Alarms/')) found.push(...alarmReadings(labels, body))
  }
  return [
    ...found,
    ...partReadings(resources, (path, member) => placeOfPart(device.xname, path, member)),
  ]
}

/** A NIC card has a power state too, but no name of its own. */
function componentReadings(labels: CrayPlace, chassis: string, body: unknown): Reading[] {
  const power = /^Mezz[ _-]?\d+$/i.test(chassis) ? [] : powerStateReadings(labels, body)
  return [...power, ...triggeredReadings(labels, body)]
}

/** A manager is the controller itself; a CMM's supplies are its rectifiers (`Rectifier 0`). */
function placeOfPart(bmc: string, path: string, member = ''): CrayPlace {
  const chassis = componentPath.exec(path)?.[1]
  return chassis === undefined
    ? { xname: bmc, bmc, source: 'redfish' }
    : crayPlace(bmc, chassis, member.replace(/\s/g, ''))
}

/** A chassis or system, and what lies within it. */
const componentPath = /^\/redfish\/v1\/(?:Chassis|Systems)\/([^/]+)(\/.+)?$/
