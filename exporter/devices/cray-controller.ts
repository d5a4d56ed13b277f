import type { Device } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import {
  collection,
  collectionIfAny,
  type Get,
  ifAny,
  listingIfAny,
} from '../redfish/collection.ts'
import { linkAt, textAt } from '../redfish/parse.ts'
import type { Collector, Plan } from './collector.ts'
import { crayPlace } from './cray-place.ts'
import { isFastSensor, sensorReadings } from './cray-sensors.ts'
import { alarmReadings, controlReadings, oldLimitReadings } from './cray-state.ts'
import { powerStateReadings } from './power-state.ts'

/**
 * The controllers of Cray EX hardware, one firmware family: chassis (CMM), node (nC of any blade)
 * and switch (sC). All their values are sensors, one GET each. The old `Power` and `Thermal` of
 * the same chassis are left alone, but for limits: they fill in thresholds for sensors that were
 * never read.
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
    if (hasPowerState(path, chassis)) slow.push(path)
  }
  slow.push(...(await collectionIfAny('/redfish/v1/Systems', get)))
  const fast = sensors.filter(isFastSensor)
  slow.push(...sensors.filter((path) => !isFastSensor(path)))
  return { fast: fast.length > 0 ? fast : ['/redfish/v1'], slow, once }
}

/** The power limits of a node: `Controls`, or in older firmware its `Power`. */
async function limitPaths(path: string, chassis: unknown, get: Get): Promise<string[]> {
  const controls = linkAt(chassis, 'Controls')
  if (controls !== undefined) return await collectionIfAny(controls, get)
  const power = linkAt(chassis, 'Power')
  return power !== undefined && /\/Node\d+$/.test(path) ? [power] : []
}

/** A NIC card has one too, but no name of its own. */
function hasPowerState(path: string, chassis: unknown): boolean {
  return textAt(chassis, 'PowerState') !== undefined && !/\/Mezz\d+$/.test(path)
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
    if (part === '') found.push(...powerStateReadings(labels, body))
    else if (part === '/Power') found.push(...oldLimitReadings(labels, body))
    else if (part.startsWith('/Controls/')) found.push(...controlReadings(labels, body))
    else if (part.startsWith('/Oem/Alarms/')) found.push(...alarmReadings(labels, body))
  }
  return found
}

/** A chassis or system, and what lies within it. */
const componentPath = /^\/redfish\/v1\/(?:Chassis|Systems)\/([^/]+)(\/.+)?$/
