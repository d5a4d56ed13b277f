import type { Device } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import {
  collection,
  collectionIfAny,
  type Get,
  ifAny,
  listingIfAny,
} from '../redfish/collection.ts'
import { linkAt, listAt } from '../redfish/parse.ts'
import type { Collector, Plan } from './collector.ts'
import { newerReadings } from './cray-newer.ts'
import { isOddlyNamed, nodeNames } from './cray-nodes.ts'
import { oldReadings } from './cray-old.ts'
import { type CrayPlace, crayPlace } from './cray-place.ts'
import { isFastSensor, sensorReadings } from './cray-sensors.ts'
import { alarmReadings, controlReadings, triggeredReadings } from './cray-state.ts'
import { partReadings } from './health.ts'
import { powerStateReadings } from './power-state.ts'
import { planModules } from './standard-plan.ts'

/**
 * The controllers of Cray EX hardware, one firmware family: chassis (CMM), node (nC of any blade)
 * and switch (sC). All their values are sensors, one GET each. The old `Power` and `Thermal` of
 * a chassis that has sensors are left alone, but for limits and the names of rectifiers: they fill
 * in thresholds for sensors that were never read. Of the newer schemas it shows what no sensor has.
 */
export const crayController: Collector = {
  kind: 'cray-controller',
  plan,
  readings,
}

async function plan(ask: Get): Promise<Plan> {
  const seen = new Map<string, unknown>()
  const get: Get = async (path) => {
    const body = await ask(path)
    seen.set(path, body)
    return body
  }
  const sensors: string[] = []
  const fast: string[] = []
  const slow: string[] = []
  const wanted = { fast, slow }
  const once: string[] = []
  const components: string[] = []
  for (const path of await collection('/redfish/v1/Chassis', get)) {
    const chassis = await ifAny(get(path))
    const { members, pages } = await listingIfAny(linkAt(chassis, 'Sensors'), get)
    once.push(...pages)
    sensors.push(...members)
    await planModules(chassis, get, wanted)
    const controls = slow.filter((each) => each.startsWith(`${path}/Controls/`))
    slow.push(...(await collectionIfAny(linkAt(chassis, 'Oem', 'Alarms'), get)))
    if (chassis !== undefined) components.push(path)
    const old = await oldPaths(chassis, { members, controls }, get)
    fast.push(...old.fast)
    slow.push(...old.slow)
  }
  components.push(...(await collectionIfAny('/redfish/v1/Systems', get)))
  if (components.some(isOddlyNamed)) {
    for (const path of components.filter((each) => !seen.has(each))) await ifAny(get(path))
  }
  const names = nodeNames(seen)
  slow.push(...components, ...(await collectionIfAny('/redfish/v1/Managers', get)))
  fast.push(...sensors.filter((path) => isFastSensor(path, names)))
  slow.push(...sensors.filter((path) => !isFastSensor(path, names)))
  // Where the nodes are called otherwise, that is to be known before the first reading is shown.
  if (names.size > 0) once.push(...components)
  return { fast: fast.length > 0 ? fast : ['/redfish/v1'], slow, once }
}

/**
 * What is worth reading of a chassis' old `Power` and `Thermal`: all, where it lists no sensors; of
 * one that does, the limits that it has instead of `Controls`, and the names of rectifiers.
 */
async function oldPaths(
  chassis: unknown,
  { members, controls }: Record<'members' | 'controls', readonly string[]>,
  get: Get,
): Promise<{ fast: string[]; slow: string[] }> {
  const power = linkAt(chassis, 'Power')
  if (members.length > 0) {
    const isPowered = members.some((member) => /\/Rectifier\d+\w*$/.test(member))
    const isNode = members.some((member) => nodeSensor.test(member))
    const isWanted = isPowered || (isNode && controls.length === 0)
    return { fast: [], slow: power !== undefined && isWanted ? [power] : [] }
  }
  const body = power === undefined ? undefined : await ifAny(get(power))
  const found = { fast: [] as string[], slow: [] as string[] }
  const isMetering = listAt(body, 'PowerControl').length > 0
  if (power !== undefined && body !== undefined) found[isMetering ? 'fast' : 'slow'].push(power)
  const thermal = linkAt(chassis, 'Thermal')
  if (thermal !== undefined && (await ifAny(get(thermal))) !== undefined) found.slow.push(thermal)
  return found
}

const nodeSensor = /\/Node[ _-]?\d+\/Sensors\/|\/ChassisVoltageRegulator0InputEnergy$/i

function readings(
  device: Pick<Device, 'xname'>,
  resources: ReadonlyMap<string, unknown>,
): Reading[] {
  const names = nodeNames(resources)
  const found = [
    ...sensorReadings(device.xname, resources, names),
    ...oldReadings(device.xname, resources, names),
    ...newerReadings(device.xname, resources, names),
  ]
  for (const [path, body] of resources) {
    const [, component, part = ''] = componentPath.exec(path) ?? []
    if (component === undefined) continue
    const chassis = nameIn(names, component)
    const labels = crayPlace(device.xname, chassis)
    if (part === '') found.push(...componentReadings(labels, chassis, body))
    else if (part.startsWith('/Controls/')) found.push(...controlReadings(labels, body))
    else if (part.startsWith('/Oem/Alarms/')) found.push(...alarmReadings(labels, body))
  }
  return [
    ...found,
    ...partReadings(resources, (path, member) =>
      placeOfPart(device.xname, names, { path, member }),
    ),
  ]
}

/** What `Chassis/c0` or `Systems/Node0` is called. */
function nameIn(names: ReadonlyMap<string, string>, component: string): string {
  return names.get(component) ?? component.slice(component.indexOf('/') + 1)
}

/** A NIC card has a power state too, but no name of its own. */
function componentReadings(labels: CrayPlace, chassis: string, body: unknown): Reading[] {
  const power = /^Mezz[ _-]?\d+$/i.test(chassis) ? [] : powerStateReadings(labels, body)
  return [...power, ...triggeredReadings(labels, body)]
}

/** A manager is the controller itself; a CMM's supplies are its rectifiers (`Rectifier 0`). */
function placeOfPart(
  bmc: string,
  names: ReadonlyMap<string, string>,
  { path, member = '' }: { path: string; member: string | undefined },
): CrayPlace {
  const component = componentPath.exec(path)?.[1]
  return component === undefined
    ? { xname: bmc, bmc, source: 'redfish' }
    : crayPlace(bmc, nameIn(names, component), member.replace(/\s/g, ''))
}

/** A chassis or system, and what lies within it. */
const componentPath = /^\/redfish\/v1\/((?:Chassis|Systems)\/[^/]+)(\/.+)?$/
