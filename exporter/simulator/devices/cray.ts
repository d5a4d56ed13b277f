import {
  addCollection,
  addFixed,
  addRoot,
  healthy,
  type Resources,
  root,
  type Write,
} from '../resources.ts'
import { action } from './writes.ts'

/** The `Server` header of HPE's Cray controllers. */
export const crayHeaders = { Server: 'Cray Embedded Software Redfish Service' }

const managerResets = ['ForceRestart', 'StatefulReset']
const managerTarget = `${root}/Managers/BMC/Actions/Manager.Reset`

/** The controller takes it and goes on: what it has to tell does not change by a restart. */
export const managerReset: readonly [string, Write] = [
  managerTarget,
  action('ResetType', managerResets, () => undefined),
]

/** Adds what all Cray controllers have: the service root and the controller itself. */
export function addCrayService(
  resources: Resources,
  chassis: readonly string[],
  systems: readonly string[],
): void {
  const present = systems.length > 0 ? ['Systems'] : []
  const collections = ['Chassis', ...present, 'Managers', 'EventService']
  addRoot(resources, collections, { RedfishVersion: '1.2.0' })
  addCollection(resources, `${root}/Chassis`, 'Chassis', chassis)
  if (systems.length > 0) addCollection(resources, `${root}/Systems`, 'ComputerSystem', systems)
  addCollection(resources, `${root}/Managers`, 'Manager', ['BMC'])
  addFixed(resources, `${root}/Managers/BMC`, 'Manager.v1_3_2.Manager', {
    Actions: {
      '#Manager.Reset': {
        'ResetType@Redfish.AllowableValues': managerResets,
        target: managerTarget,
      },
    },
    Description: 'Shasta Manager',
    Id: 'BMC',
    ManagerType: 'EnclosureManager',
    Name: 'BMC',
    Status: healthy,
  })
}

/** Adds leak alarms, which are armed: nothing leaks here. */
export function addAlarms(
  resources: Resources,
  alarms: readonly { id: string; severity: 'Warning' | 'Critical' }[],
): void {
  const path = `${root}/Chassis/Enclosure/Oem/Alarms`
  addCollection(
    resources,
    path,
    'Alarm',
    alarms.map(({ id }) => id),
  )
  for (const { id, severity } of alarms) {
    addFixed(resources, `${path}/${id}`, 'Alarm.v0_9_0.Alarm', {
      AlarmState: 'Armed',
      AutomaticReArm: true,
      Id: id,
      Name: `Enclosure ${id} Alarm`,
      Severity: severity,
    })
  }
}
