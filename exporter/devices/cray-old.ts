import type { Reading } from '../metrics.ts'
import { listedMembers } from '../redfish/collection.ts'
import { fieldAt, listAt, numberAt, textAt } from '../redfish/parse.ts'
import { crayPlace } from './cray-place.ts'
import { isOldLimit, oldLimitReadings } from './cray-state.ts'
import { powerThermalReadings } from './power-thermal.ts'
import { newWithout } from './without-reading.ts'

type Resources = ReadonlyMap<string, unknown>

/**
 * The old `Power` and `Thermal` of a Cray controller's chassis: limits, and all that they measure
 * where the chassis lists no sensors. Fillers are no readings: for a sensor that was never read,
 * these resources give its upper caution threshold, or a temperature that no coolant has. `names`:
 * see `nodeNames`.
 */
export function oldReadings(
  bmc: string,
  resources: Resources,
  names: ReadonlyMap<string, string>,
): Reading[] {
  const chassis = new Set([...resources.keys()].flatMap((path) => oldPath.exec(path)?.[1] ?? []))
  return [...chassis].flatMap((name) => {
    const of = `/redfish/v1/Chassis/${name}`
    const place = crayPlace(bmc, names.get(`Chassis/${name}`) ?? name)
    const power = resources.get(`${of}/Power`)
    const limits = oldLimitReadings(place, power)
    if (hasSensors(of, resources)) return limits
    const old = {
      labels: { ...place, chassis: name },
      power: { ...withoutLimits(power), Voltages: known(power, 'Voltages') },
      thermal: {
        Temperatures: known(resources.get(`${of}/Thermal`), 'Temperatures'),
        Fans: known(resources.get(`${of}/Thermal`), 'Fans'),
      },
    }
    return [...limits, ...powerThermalReadings({ ...old, without: newWithout() })]
  })
}

function hasSensors(chassis: string, resources: Resources): boolean {
  const list = `${chassis}/Sensors`
  if (listedMembers(list, resources).length > 0) return true
  return [...resources.keys()].some((path) => path.startsWith(`${list}/`))
}

const oldPath = /^\/redfish\/v1\/Chassis\/([^/]+)\/(?:Power|Thermal)$/

/** What `oldLimitReadings` tells under the names of newer firmware. */
function withoutLimits(power: unknown): object {
  const controls = listAt(power, 'PowerControl').map((member) =>
    isOldLimit(member) ? { ...Object(member), PowerLimit: undefined } : member,
  )
  return { ...Object(power), PowerControl: controls }
}

/** Those that are no fillers; some have no name and measure nothing. */
function known(body: unknown, list: string): unknown[] {
  return listAt(body, list).filter((member) => {
    const value = ['ReadingVolts', 'ReadingCelsius', 'Reading']
      .map((field) => numberAt(member, field))
      .find((each) => each !== undefined)
    if (value === undefined || textAt(member, 'Name') === undefined) return false
    const isCold = fieldAt(member, 'ReadingCelsius') !== undefined && value < coldestCelsius
    return !isCold && value !== numberAt(member, 'UpperThresholdNonCritical')
  })
}

/** No coolant is so cold; an EX420 fills in -58.2. */
const coldestCelsius = -40
