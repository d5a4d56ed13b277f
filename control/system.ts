import { fieldAt, listAt, textAt } from '../exporter/redfish/parse.ts'

/** DMTF Redfish, `Resource.PowerState`. */
export const powerStates = ['On', 'Off', 'PoweringOn', 'PoweringOff', 'Paused'] as const
export type PowerState = (typeof powerStates)[number]

/** What a system, chassis, manager or outlet says of its power. */
export interface System {
  path: string
  /** Undefined when the device gives none, or one that Redfish does not know. */
  powerState: PowerState | undefined
  /** Undefined when it cannot be reset. */
  reset: ResetAction | undefined
  /** When it was last restarted, as it says; undefined where it does not. */
  lastRestart?: string | undefined
}

export interface ResetAction {
  /** Where a reset is sent to. */
  target: string
  /** The ResetTypes that are allowed, in the device's spelling. */
  allowed: readonly string[]
  /** Path of the ActionInfo that lists them where `allowed` is empty (DSP0266, "Actions"). */
  actionInfo: string | undefined
  /** What carries the ResetType; absent: `ResetType`, by POST. */
  form?: ResetForm
}

/** An outlet takes a PowerState, one of JAWS a `control_action` by PATCH. */
export type ResetForm = 'ResetType' | 'PowerState' | 'control_action'

/** Where the action of each kind of component stands. */
const resetActions = ['#ComputerSystem.Reset', '#Chassis.Reset', '#Manager.Reset'] as const

/** The body of a ComputerSystem or Chassis; undefined when it says nothing of power. */
export function parseSystem(path: string, body: unknown): System | undefined {
  const state = textAt(body, 'PowerState')
  const reset = resetActions.flatMap((name) => parseReset(body, name) ?? [])[0]
  if (state === undefined && reset === undefined) return undefined
  return { path, powerState: knownState(state), reset, lastRestart: restartTime(body) }
}

/** A manager that answers is on: few have a PowerState, and none another one. */
export function parseManager(path: string, body: unknown): System {
  const reset = parseReset(body, '#Manager.Reset')
  return { path, powerState: 'On', reset, lastRestart: restartTime(body) }
}

/** An outlet (DMTF `Outlet`; the draft of 2019 has `Target` with a capital letter). */
export function parseOutlet(path: string, body: unknown): System {
  const action = fieldAt(body, 'Actions', '#Outlet.PowerControl')
  const target = textAt(action, 'target') ?? textAt(action, 'Target')
  const allowed = texts(listAt(action, 'PowerState@Redfish.AllowableValues'))
  const reset: ResetAction | undefined =
    target === undefined
      ? undefined
      : {
          target,
          allowed: allowed.length > 0 ? allowed : ['On', 'Off'],
          actionInfo: undefined,
          form: 'PowerState',
        }
  return { path, powerState: knownState(textAt(body, 'PowerState')), reset }
}

/** An outlet of JAWS, ServerTech's interface: one of `/jaws/monitor/outlets`. */
export function parseJawsOutlet(id: string, body: unknown): System {
  return {
    path: `/jaws/monitor/outlets/${id}`,
    powerState: knownState(textAt(body, 'state')),
    reset: {
      target: `/jaws/control/outlets/${id}`,
      allowed: ['on', 'off'],
      actionInfo: undefined,
      form: 'control_action',
    },
  }
}

function knownState(text: string | undefined): PowerState | undefined {
  return powerStates.find((known) => known === text)
}

/** `ComputerSystem.LastResetTime` and `Manager.LastResetTime`, where the service has them. */
function restartTime(body: unknown): string | undefined {
  return textAt(body, 'LastResetTime') ?? textAt(body, 'BootProgress', 'LastStateTime')
}

function parseReset(body: unknown, name: string): ResetAction | undefined {
  const action = fieldAt(body, 'Actions', name)
  const target = textAt(action, 'target')
  if (target === undefined) return undefined
  return {
    target,
    allowed: texts(listAt(action, 'ResetType@Redfish.AllowableValues')),
    actionInfo: textAt(action, '@Redfish.ActionInfo'),
  }
}

/** The ResetTypes that an ActionInfo allows; empty when it names none. */
export function parseResetTypes(body: unknown): readonly string[] {
  const parameters = listAt(body, 'Parameters')
  const resetType = parameters.find((parameter) => textAt(parameter, 'Name') === 'ResetType')
  return texts(listAt(resetType, 'AllowableValues'))
}

function texts(values: readonly unknown[]): string[] {
  return values.filter((value) => typeof value === 'string')
}

/**
 * The systems of a controller by the number of their node. Cray controllers number them (`Node0`,
 * `Node1`); others have names of their own (`1`, `Self`), which count by their order.
 */
export function numberSystems(paths: readonly string[]): Map<number, string> {
  const inOrder = [...paths].sort((a, b) => collator.compare(a, b))
  return new Map(
    inOrder.map((path, index) => [Number(/\/Node(\d+)$/.exec(path)?.[1] ?? index), path]),
  )
}

const collator = new Intl.Collator('en', { numeric: true })
