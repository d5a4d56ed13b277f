import type { Device, DeviceKind } from '../inventory/static.ts'
import { parseXname } from '../inventory/xname.ts'
import { collection, type Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { ami } from './ami.ts'
import type { Collector } from './collector.ts'
import { crayController } from './cray-controller.ts'
import { ilo } from './ilo.ts'
import { jaws } from './jaws.ts'

export type { Get } from '../redfish/collection.ts'
export type { Collector, Plan } from './collector.ts'

const collectors: Record<DeviceKind, Collector> = {
  'cray-controller': crayController,
  ilo,
  ami,
  jaws,
}

/**
 * The collector for a device: by its kind in the settings, else an iPDU by its xname, else by the
 * chassis it has, as HPE's hms-smd tells them.
 * @throws {RedfishError} when it cannot be asked, or is of none of our kinds.
 */
export async function collectorFor(
  device: Pick<Device, 'xname' | 'kind'>,
  get: Get,
): Promise<Collector> {
  return collectors[device.kind ?? (await kindOf(device.xname, get))]
}

async function kindOf(xname: string, get: Get): Promise<DeviceKind> {
  if (parseXname(xname).type === 'CabinetPDUController') return 'jaws'
  const path = '/redfish/v1/Chassis'
  const chassis = (await collection(path, get)).map((member) => member.slice(path.length + 1))
  const kind = kindOfChassis.find(([name]) => chassis.includes(name))?.[1]
  if (kind !== undefined) return kind
  throw new RedfishError(
    'unsupported',
    { xname, path },
    `expected a chassis Enclosure, 1 or Self, got ${JSON.stringify(chassis.slice(0, 8))}`,
  )
}

/** In this order: some controllers answer to more than one of these names. */
const kindOfChassis: readonly [name: string, kind: DeviceKind][] = [
  ['Enclosure', 'cray-controller'],
  ['1', 'ilo'],
  ['Self', 'ami'],
]
