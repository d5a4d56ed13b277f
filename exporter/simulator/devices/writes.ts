import { fieldAt, listAt, numberAt, textAt } from '../../redfish/parse.ts'
import { redfishError, type Write, type WriteContext, type WriteReply } from '../resources.ts'

/** Undefined: 204. */
type MaybeReply = WriteReply | undefined

/** An action with one parameter, obeyed by `act` when its value is allowed. */
export function action(
  parameter: string,
  allowed: readonly string[],
  act: (value: string, context: WriteContext) => MaybeReply | Promise<MaybeReply>,
): Write {
  return {
    method: 'POST',
    async answer(body, context) {
      const value = textAt(body, parameter)
      if (value === undefined) {
        const message = `The action requires the parameter ${parameter}.`
        return refused('ActionParameterMissing', message, [parameter])
      }
      if (!allowed.includes(value)) {
        const message = `The value ${value} for the parameter ${parameter} is not allowed.`
        return refused('ActionParameterNotSupported', message, [value, parameter])
      }
      return (await act(value, context)) ?? { status: 204 }
    },
  }
}

export function refused(code: string, message: string, args: readonly string[] = []): WriteReply {
  return { status: 400, body: redfishError(code, message, args) }
}

/** A power limit that can be set, W; 0 or null: none. */
export interface SetLimit {
  watts: number
  readonly min: number
  readonly max: number
}

/** Cray EX: one PATCH of `Controls.Deep` sets several controls, all or none. */
export function deepControls(limits: ReadonlyMap<string, SetLimit>): Write {
  return {
    method: 'PATCH',
    answer(body) {
      const members = listAt(body, 'Members')
      const wanted: [SetLimit, number][] = []
      for (const member of members) {
        const path = textAt(member, '@odata.id') ?? ''
        const limit = limits.get(path)
        const isOff = textAt(member, 'ControlMode') === 'Disabled'
        const watts = isOff ? 0 : numberAt(member, 'SetPoint')
        if (limit === undefined || watts === undefined) {
          return refused('PropertyMissing', `The control ${path} needs a SetPoint.`, ['SetPoint'])
        }
        if (isOutOfRange(limit, watts)) return outOfRange(watts, 'SetPoint')
        wanted.push([limit, watts])
      }
      if (wanted.length === 0) return refused('PropertyMissing', 'Members is missing.', ['Members'])
      for (const [limit, watts] of wanted) limit.watts = watts
      return { status: 204 }
    },
  }
}

/** A server's `PowerControl[0].PowerLimit.LimitInWatts`; null takes the limit away. */
export function powerLimit(limit: SetLimit): Write {
  return {
    method: 'PATCH',
    answer(body) {
      const [control] = listAt(body, 'PowerControl')
      const given = fieldAt(control, 'PowerLimit', 'LimitInWatts')
      const watts = given === null ? 0 : given
      if (typeof watts !== 'number') {
        return refused('PropertyMissing', 'LimitInWatts is missing.', ['LimitInWatts'])
      }
      if (isOutOfRange(limit, watts)) return outOfRange(watts, 'LimitInWatts')
      limit.watts = watts
      return { status: 200, body: {} }
    },
  }
}

function isOutOfRange({ min, max }: SetLimit, watts: number): boolean {
  return watts !== 0 && (watts < min || watts > max)
}

function outOfRange(watts: number, property: string): WriteReply {
  const message = `The value ${watts} for the property ${property} is not in the range allowed.`
  return refused('PropertyValueNotInList', message, [String(watts), property])
}
