import { derivedReadings } from '../derived/derived.ts'
import type { Device, DeviceKind } from '../inventory/static.ts'
import { parseXname } from '../inventory/xname.ts'
import { collectionIfAny, type Get, ifAny } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { fieldAt, linkAt, listAt, textAt } from '../redfish/parse.ts'
import { ami } from './ami.ts'
import type { Collector } from './collector.ts'
import { crayController } from './cray-controller.ts'
import { isCray } from './cray-signs.ts'
import { hpePdu } from './hpe-pdu.ts'
import { ilo } from './ilo.ts'
import { intel } from './intel.ts'
import { jaws } from './jaws.ts'
import { openbmc } from './openbmc.ts'
import { rackPdu, rackPdus } from './rack-pdu.ts'
import { rts } from './rts.ts'
import { safeReadings } from './safe-readings.ts'
import { standard } from './standard.ts'
import { equipment } from './standard-plan.ts'

export type { Get } from '../redfish/collection.ts'
export type { Collector, Plan } from './collector.ts'

const collectors: Record<DeviceKind, Collector> = {
  'cray-controller': crayController,
  ilo,
  ami,
  intel,
  openbmc,
  redfish: standard,
  jaws,
  rts,
  'hpe-pdu': hpePdu,
  'rack-pdu': rackPdu,
}

/**
 * The collector for a device: by its kind in the settings, else by what it says of itself. What is
 * not known by its chassis, as HPE's hms-smd tells them, is asked for what the standard has.
 * @throws {RedfishError} when it cannot be asked, or has nothing to ask for.
 */
export async function collectorFor(
  device: Pick<Device, 'xname' | 'kind'>,
  get: Get,
): Promise<Collector> {
  return complete(collectors[device.kind ?? (await kindOf(device.xname, get))])
}

/** With what follows from its readings, and without what would spoil the output. */
function complete(collector: Collector): Collector {
  return {
    ...collector,
    readings: (device, resources) => {
      const found = safeReadings(device.xname, collector.readings(device, resources))
      return [...found, ...derivedReadings(found)]
    },
  }
}

async function kindOf(xname: string, get: Get): Promise<DeviceKind> {
  if (parseXname(xname).type === 'CabinetPDUController') return await kindOfPdu(get)
  const path = '/redfish/v1/Chassis'
  const members = await collectionIfAny(path, get)
  const chassis = members.map((member) => member.slice(path.length + 1))
  const kind = kindOfChassis.find(([name]) => chassis.includes(name))?.[1]
  if (kind === 'ilo') return await kindOfFirst(`${path}/1`, get)
  if (kind !== undefined && kind !== 'cray-controller') return kind
  const named = members.filter((member) => member.endsWith('/Enclosure'))
  const looked = kind === undefined ? members.slice(0, mostLooked) : named
  for (const member of looked) if (await isCray(member, get)) return 'cray-controller'
  if ((await collectionIfAny(rackPdus, get)).length > 0) return await kindOfPdu(get)
  if (chassis.length > 0) return await kindOfService(get)
  const root = await ifAny(get('/redfish/v1'))
  if (equipment.some((name) => linkAt(root, name) !== undefined)) return 'redfish'
  const message = 'expected a chassis, a rack PDU or other equipment, got none'
  throw new RedfishError('unsupported', { xname, path }, message)
}

/** Some devices have a hundred chassis; the first few tell what they are. */
const mostLooked = 20

/** In this order: some controllers answer to more than one of these names. */
const kindOfChassis: readonly [name: string, kind: DeviceKind][] = [
  ['Enclosure', 'cray-controller'],
  ['Self', 'ami'],
  ['RackMount', 'intel'],
  ['BMC_0', 'openbmc'],
  ['Baseboard_0', 'openbmc'],
  ['chassis', 'openbmc'],
  ['1', 'ilo'],
]

/** Others than HPE call their chassis 1 too; one that says nothing of itself is taken for iLO. */
async function kindOfFirst(path: string, get: Get): Promise<DeviceKind> {
  const chassis = await ifAny(get(path))
  const maker = textAt(chassis, 'Manufacturer')
  const isHpe = maker === undefined || /^hpe?\b|hewlett/i.test(maker) || ofHpe(chassis)
  return isHpe ? 'ilo' : await kindOfService(get)
}

function ofHpe(body: unknown): boolean {
  return (fieldAt(body, 'Oem', 'Hpe') ?? fieldAt(body, 'Oem', 'Hp')) !== undefined
}

/** By what the makers of the firmware add to the root of their service. */
async function kindOfService(get: Get): Promise<DeviceKind> {
  const root = await ifAny(get('/redfish/v1'))
  if (fieldAt(root, 'Oem', 'Ami') !== undefined) return 'ami'
  return ofHpe(root) ? 'ilo' : 'redfish'
}

/** JAWS tells more than the Redfish of the same PDU, so it goes first. */
async function kindOfPdu(get: Get): Promise<DeviceKind> {
  const units = await ifAny(get('/jaws/monitor/units'))
  if (Array.isArray(units)) return 'jaws'
  const members = await collectionIfAny(rackPdus, get)
  if (members.length === 0) {
    const chassis = await collectionIfAny('/redfish/v1/Chassis', get)
    return chassis.length > 0 ? 'redfish' : 'jaws'
  }
  for (const path of members) {
    const pdu = await ifAny(get(path))
    const maker = textAt(pdu, 'Manufacturer') ?? ''
    if (/^cis$/i.test(maker)) return 'hpe-pdu'
    if (/server\s?tech/i.test(maker)) return 'rts'
    if (pdu !== undefined) return await kindOfOutlets(linkAt(pdu, 'Outlets'), get)
  }
  return 'rack-pdu'
}

/**
 * HPE's PDUs call the members of a collection by its name; the translation layer has the outlets
 * of JAWS, by unit and cord (`AA01`).
 */
async function kindOfOutlets(path: string | undefined, get: Get): Promise<DeviceKind> {
  const list = path === undefined ? undefined : await ifAny(get(path))
  if (listAt(list, 'Outlets').length > 0) return 'hpe-pdu'
  const unit = path?.split('/').at(-2) ?? ''
  const ids = listAt(list, 'Members').map((member) => linkAt(member)?.split('/').at(-1) ?? '')
  const isJaws = /^[A-Z]$/.test(unit) && ids.length > 0
  return isJaws && ids.every((id) => /^[A-Z]{2}\d+$/.test(id) && id.startsWith(unit))
    ? 'rts'
    : 'rack-pdu'
}
