import { type Reading, stateReadings } from '../metrics.ts'
import { fieldAt, listAt, textAt } from '../redfish/parse.ts'
import { memberId } from './power-thermal.ts'

type Labels = Record<string, string>

/** Redfish Resource schema, `Health`. */
export const healths = ['OK', 'Warning', 'Critical']

/** Redfish Resource schema, `State`. */
const states = [
  'Enabled',
  'Disabled',
  'StandbyOffline',
  'StandbySpare',
  'InTest',
  'Starting',
  'Absent',
  'UnavailableOffline',
  'Deferring',
  'Quiesced',
  'Updating',
  'Qualified',
  'Degraded',
]

/**
 * Health, state and identity of the parts among a Redfish device's resources: chassis, systems,
 * managers, PDUs, and supplies and fans by either schema. `labelsOf` names the component that a
 * part belongs to; of the older schema, also by the name of the member. They change rarely: for
 * this, nothing is asked for at the fast pace.
 */
export function partReadings(
  resources: ReadonlyMap<string, unknown>,
  labelsOf: (path: string, member?: string) => Labels,
): Reading[] {
  return [...resources].flatMap(([path, body]) => {
    const resource = path.replace(/^\/redfish\/v1\//, '')
    if (isPart.test(resource)) {
      const name = withinParts.test(resource) ? textAt(body, 'Name') : undefined
      return onePart({ ...labelsOf(path), resource }, body, name)
    }
    const list = oldLists.find(([end]) => path.endsWith(end))?.[1]
    return listAt(body, list ?? '').flatMap((member) => {
      const name = textAt(member, 'Name') ?? textAt(member, 'FanName')
      const own = `${resource}/${list}/${memberId(member)}`
      return onePart({ ...labelsOf(path, name), resource: own }, member, name)
    })
  })
}

const isPart = new RegExp(
  [
    '^(Chassis|Systems|Managers)/[^/]+$',
    '^Chassis/[^/]+/Baseboard$',
    '^(Chassis|(Power|Thermal)Equipment)/.+/(PowerSupplies|Fans|LeakDetectors|Pumps)/[^/]+$',
    '^(Power|Thermal)Equipment/[^/]+/[^/]+$',
    '^PowerEquipment/RackPDUs/[^/]+/(Outlets|Branches|Feeders|Subfeeds|Mains|Sensors)/[^/]+$',
  ].join('|'),
)
const withinParts = /\/(?:PowerSupplies|Fans|LeakDetectors|Pumps)\//

/** Members of the older resources, which have no path of their own. */
const oldLists: readonly [end: string, list: string][] = [
  ['/Power', 'PowerSupplies'],
  ['/Thermal', 'Fans'],
]

function onePart(labels: Labels, body: unknown, name: string | undefined): Reading[] {
  const own = name === undefined ? labels : { ...labels, name }
  return [...statusReadings(own, fieldAt(body, 'Status')), ...infoReadings(own, body)]
}

/** What is not fitted is well and does nothing, whatever it says. */
function statusReadings(labels: Labels, status: unknown): Reading[] {
  const state = textAt(status, 'State')
  const found: Reading[] = []
  if (state !== undefined) {
    const shown = ['Enabled', 'Absent']
    found.push(...stateReadings('cray_status_state', labels, state, shown, states))
  }
  if (state === 'Absent') return found
  for (const [metric, field] of [
    ['cray_health_state', 'Health'],
    ['cray_health_rollup_state', 'HealthRollup'],
  ] as const) {
    const health = textAt(status, field)
    if (health !== undefined) found.push(...stateReadings(metric, labels, health, healths))
  }
  return found
}

/** Identity; one that names nothing but a manufacturer is none. */
function infoReadings(labels: Labels, body: unknown): Reading[] {
  if (textAt(body, 'Status', 'State') === 'Absent') return []
  return componentInfo(labels, {
    manufacturer: textAt(body, 'Manufacturer'),
    model: textAt(body, 'Model'),
    serial: textAt(body, 'SerialNumber'),
    part_number: textAt(body, 'PartNumber'),
    version: textAt(body, 'FirmwareVersion') ?? textAt(body, 'BiosVersion'),
  })
}

export interface Identity {
  manufacturer?: string | undefined
  model: string | undefined
  serial: string | undefined
  part_number?: string | undefined
  version?: string | undefined
}

export function componentInfo(labels: Labels, identity: Identity): Reading[] {
  const known = Object.entries(identity).filter(
    (each): each is [string, string] => each[1] !== undefined && !nothing.test(each[1]),
  )
  if (!known.some(([name]) => name !== 'manufacturer')) return []
  const own = { ...labels, ...Object.fromEntries(known) }
  return [{ metric: 'cray_component_info', labels: own, value: 1 }]
}

/** What firmware writes where it knows nothing. */
const nothing = /^(nil|null|n\/?a|none|unknown|not specified|default string|to be filled.*)$/i
