import { fieldAt, listAt, textAt } from '../exporter/redfish/parse.ts'

/** DMTF Redfish, `Resource.PowerState`. */
export const powerStates = ['On', 'Off', 'PoweringOn', 'PoweringOff', 'Paused'] as const
export type PowerState = (typeof powerStates)[number]

/** What a ComputerSystem says of its power. */
export interface System {
  path: string
  /** Undefined when the device gives none, or one that Redfish does not know. */
  powerState: PowerState | undefined
  /** Undefined when the system cannot be reset. */
  reset: ResetAction | undefined
}

export interface ResetAction {
  /** Where a reset is posted to. */
  target: string
  /** The ResetTypes that are allowed, in the device's spelling. */
  allowed: readonly string[]
  /** Path of the ActionInfo that lists them where `allowed` is empty (DSP0266, "Actions"). */
  actionInfo: string | undefined
}

/** A ComputerSystem's body; undefined when it says nothing of power. */
export function parseSystem(path: string, body: unknown): System | undefined {
  const state = textAt(body, 'PowerState')
  const reset = parseReset(body)
  if (state === undefined && reset === undefined) return undefined
  return { path, powerState: powerStates.find((known) => known === state), reset }
}

function parseReset(body: unknown): ResetAction | undefined {
  const action = fieldAt(body, 'Actions', '#ComputerSystem.Reset')
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
