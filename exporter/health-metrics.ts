import { common, gauge, stateset } from './metric.ts'

const resource = [...common, 'resource', 'name'] as const
const parts =
  'Redfish Chassis/*, Systems/*, Managers/*, RackPDUs/* and the supplies, fans, leak detectors, ' +
  'outlets and circuits within, '

/** The part of the table of metrics that tells what a part is and whether it is well. */
export const healthMetrics = [
  stateset(
    'cray_health_state',
    `Health of a part; ${parts}Status.Health. JAWS status of outlets, phases, lines, branches ` +
      'probes and units: a Normal is OK, a Warning Warning, an Alarm Critical. A part that is ' +
      'not fitted has none.',
    [...resource, 'state'],
  ),
  stateset(
    'cray_health_rollup_state',
    `Worst health of a part and all within it; ${parts}Status.HealthRollup.`,
    [...resource, 'state'],
  ),
  stateset(
    'cray_status_state',
    `Whether a part is in service; ${parts}Status.State: Enabled, Absent and the state it is in.`,
    [...resource, 'state'],
  ),
  gauge(
    'cray_triggered_alarms',
    'Alarms that a controller lists as triggered; Redfish Chassis/Enclosure ' +
      'Oem.TriggeredAlarms[], their number.',
    common,
  ),
  gauge(
    'cray_component_info',
    `Always 1; what a part is, in its labels; ${parts}Manufacturer, Model, SerialNumber, ` +
      'PartNumber, FirmwareVersion or else BiosVersion; JAWS config/info/units. A component can ' +
      'have several parts: join by xname and resource.',
    [...resource, 'manufacturer', 'model', 'serial', 'part_number', 'version'],
  ),
] as const
