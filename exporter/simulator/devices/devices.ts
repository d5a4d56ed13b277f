import type { Plant } from '../physics.ts'
import type { SimulatedDevice } from '../resources.ts'
import { nodeControllers, pdus, switchControllers } from '../system.ts'
import { cmmDevice } from './cmm.ts'
import { gigabyteDevice } from './gigabyte-server.ts'
import { iloDevice } from './ilo-server.ts'
import { jawsPdu } from './jaws-pdu.ts'
import { nodeController } from './node-controller.ts'
import { Slots } from './slots.ts'
import { switchController } from './switch-controller.ts'

/** Every device of the simulated system, in the order of their ports. */
export function createDevices(plant: Plant, slots = new Slots([])): SimulatedDevice[] {
  const devices = [
    cmmDevice(plant, slots),
    ...nodeControllers.map((controller) => nodeController(controller, plant)),
    ...switchControllers.map((xname, index) => switchController(xname, index, plant)),
    ...pdus.map((xname) => jawsPdu(xname, plant)),
    iloDevice(plant),
    gigabyteDevice(plant),
  ]
  return devices.map((device) => ({ ...device, isUp: (at) => slots.isUp(device.xname, at) }))
}
