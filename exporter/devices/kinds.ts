import { derivedReadings } from '../derived/derived.ts'
import type { Device, DeviceKind } from '../inventory/static.ts'
import { parseXname } from '../inventory/xname.ts'
import { collectionIfAny, type Get, ifAny } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { fieldAt, textAt } from '../redfish/parse.ts'
import { ami } from './ami.ts'
import type { Collector } from './collector.ts'
import { crayController } from './cray-controller.ts'
import { hpePdu } from './hpe-pdu.ts'
import { ilo } from './ilo.ts'
import { intel } from './intel.ts'
import { jaws } from './jaws.ts'
import { openbmc } from './openbmc.ts'
import { rackPdu, rackPdus } from './rack-pdu.ts'
import { rts } from './rts.ts'
import { safeReadings } from './safe-readings.ts'
import { standard } from './standard.ts'

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
      const found = safeReadings(collector.readings(device, resources))
      return [...found, ...derivedReadings(found)]
    },
  }
}

async function kindOf(xname: string, get: Get): Promise<DeviceKind> {
  if (parseXname(xname).type === 'CabinetPDUController') return await kindOfPdu(get)
  const path = '/redfish/v1/Chassis'
  const chassis = (await collectionIfAny(path, get)).map((member) => member.slice(path.length + 1))
  const kind = kindOfChassis.find(([name]) => chassis.includes(name))?.[1]
  if (kind === 'ilo') return await kindOfFirst(`${path}/1`, get)
  if (kind !== undefined) return kind
  if (chassis.length > 0) return 'redfish'
  if ((await collectionIfAny(rackPdus, get)).length > 0) return await kindOfPdu(get)
  const message = 'expected a chassis or a rack PDU, got none'
  throw new RedfishError('unsupported', { xname, path }, message)
}

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
  const ofHpe = fieldAt(chassis, 'Oem', 'Hpe') ?? fieldAt(chassis, 'Oem', 'Hp')
  const isHpe = maker === undefined || /^hpe?\b|hewlett/i.test(maker) || ofHpe !== undefined
  return isHpe ? 'ilo' : 'redfish'
}

/** JAWS tells more than the Redfish of the same PDU, so it goes first. */
async function kindOfPdu(get: Get): Promise<DeviceKind> {
  const units = await ifAny(get('/jaws/monitor/units'))
  if (Array.isArray(units)) return 'jaws'
  const members = await collectionIfAny(rackPdus, get)
  if (members.length === 0) return 'jaws'
  for (const path of members) {
    const maker = textAt(await ifAny(get(path)), 'Manufacturer')
    if (maker !== undefined) return kindOfMaker(maker)
  }
  return 'rack-pdu'
}

function kindOfMaker(maker: string): DeviceKind {
  if (/^cis$/i.test(maker)) return 'hpe-pdu'
  return /server\s?tech/i.test(maker) ? 'rts' : 'rack-pdu'
}
