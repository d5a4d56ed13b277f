import { collectionIfAny, type Get, ifAny } from '../redfish/collection.ts'
import { fieldAt, linkAt, textAt } from '../redfish/parse.ts'

/**
 * Whether a chassis is of Cray's firmware, whatever it is called and whoever sells it: by its
 * alarms, else by the form of its sensors. One called `Enclosure` that has neither is taken for
 * it, unless another maker is named.
 */
export async function isCray(path: string, get: Get): Promise<boolean> {
  const chassis = await ifAny(get(path))
  const oem = ['Alarms', 'TriggeredAlarms', 'CrayVoltageMargins']
  if (oem.some((name) => fieldAt(chassis, 'Oem', name) !== undefined)) return true
  const [first] = await collectionIfAny(linkAt(chassis, 'Sensors'), get)
  if (first !== undefined && isCraySensor(await ifAny(get(first)))) return true
  const maker = textAt(chassis, 'Manufacturer')
  return path.endsWith('/Enclosure') && (maker === undefined || /hpe|cray|hewlett/i.test(maker))
}

/** Its `Id` ends in what it measures, its time has nine digits, and it has no `Status`. */
function isCraySensor(sensor: unknown): boolean {
  const oem = ['ParentalContext', 'ParentalIndex', 'ReferenceDesignator', 'Index']
  if (oem.some((name) => fieldAt(sensor, 'Oem', name) !== undefined)) return true
  const type = textAt(sensor, 'ReadingType')?.replace(/^Energy.*/, 'Energy')
  const isNamed = type !== undefined && textAt(sensor, 'Id')?.endsWith(type) === true
  const time = textAt(sensor, 'ReadingTime')
  return isNamed && fieldAt(sensor, 'Status') === undefined && /\.\d{9}Z$/.test(time ?? '')
}
