import { createHash } from 'node:crypto'
import { z } from 'zod'
import { compareXnames, isXname, parseXname, type XnameType } from '../exporter/inventory/xname.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import { type Operation, operations, parseOperation } from './operation.ts'
import { notAchieved } from './transition.ts'

export interface TransitionRequest {
  operation: Operation
  /** 0: do not confirm; negative: no deadline but the record's end. */
  deadlineMinutes: number
  /** Without repeats, in the order of their places; valid ones in their normal form. */
  xnames: readonly string[]
  /** SHA-256 of all the above. */
  digest: Buffer
}

/** PCS leaves it out, or null, for its default; more than a year is a mistake. */
const deadlineMinutes = z.int().min(-525_600).max(525_600).nullish()

const transitionBody = z.object({
  operation: z.string().transform((text, context) => {
    const operation = parseOperation(text)
    if (operation !== undefined) return operation
    const message = `${JSON.stringify(text)} is no operation; there are ${operations.join(', ')}`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }),
  taskDeadlineMinutes: deadlineMinutes.transform((minutes) => minutes ?? 5),
  location: z
    .array(z.object({ xname: z.string().max(64), deputyKey: z.string().nullish() }))
    .nullish()
    .transform((location) => location ?? []),
})

/**
 * The body of POST /transitions. Unknown fields are ignored and a malformed xname passes, as in
 * PCS: its task fails. A deputy key is for reservations, which there are none of.
 * @throws {RequestError} 400 naming each bad field; 413 for more than `maxTargets` xnames.
 */
export function parseTransitionRequest(body: unknown, maxTargets: number): TransitionRequest {
  const { operation, taskDeadlineMinutes, location } = parse(transitionBody, body)
  const xnames = [...new Set(location.map(({ xname }) => normal(xname)))].sort(compareXnames)
  if (xnames.length > maxTargets) {
    const message = `location: ${xnames.length} components, more than ${maxTargets} in one request`
    throw new RequestError(413, 'too_many_targets', message)
  }
  const content = JSON.stringify([operation, taskDeadlineMinutes, xnames])
  const digest = createHash('sha256').update(content).digest()
  return { operation, deadlineMinutes: taskDeadlineMinutes, xnames, digest }
}

function normal(xname: string): string {
  return isXname(xname) ? parseXname(xname).text : xname
}

/** A task as it is first stored: to be done, or ended at once since it cannot be. */
export interface PlannedTask {
  xname: string
  /** xname of the controller. */
  device: string | undefined
  state: 'new' | 'failed' | 'unsupported'
  description: string
  error: string | undefined
}

/** The task for one xname; `deviceOf` gives the controller of a component, if it is known. */
export function planTask(
  xname: string,
  deviceOf: (xname: string) => string | undefined,
): PlannedTask {
  const refuse = (state: 'failed' | 'unsupported', error: string): PlannedTask => ({
    xname,
    device: undefined,
    state,
    description: notAchieved,
    error,
  })
  if (!isXname(xname)) return refuse('failed', 'Invalid xname')
  const { type } = parseXname(xname)
  if (!powerTypes.has(type)) {
    return refuse('unsupported', `No power control for component type ${type}`)
  }
  const device = deviceOf(xname)
  if (device === undefined) return refuse('failed', 'Missing xname')
  return { xname, device, state: 'new', description: 'Gathering data', error: undefined }
}

/** The types whose power can be changed. */
const powerTypes: ReadonlySet<XnameType> = new Set(['Node'])

export const shownPowerStates = ['on', 'off', 'undefined'] as const
export type ShownPowerState = (typeof shownPowerStates)[number]
export const managementStates = ['available', 'unavailable'] as const
export type ManagementState = (typeof managementStates)[number]

export interface PowerStatusRequest {
  /** Empty: all components. */
  xnames: readonly string[]
  powerState: ShownPowerState | undefined
  managementState: ManagementState | undefined
}

function filter<const T extends readonly string[]>(values: T) {
  return z
    .string()
    .transform((text) => text.toLowerCase())
    .pipe(z.enum(['', ...values], `expected one of ${values.join(', ')}`))
    .nullish()
}

const powerStatusBody = z.object({
  xname: z
    .union([z.string().transform((xname) => [xname]), z.array(z.string())])
    .nullish()
    .transform((xnames) => xnames ?? []),
  powerStateFilter: filter(shownPowerStates),
  managementStateFilter: filter(managementStates),
})

/**
 * The query of GET and the body of POST /power-status.
 * @throws {RequestError} 400 naming a bad filter or each malformed xname.
 */
export function parsePowerStatusRequest(input: unknown): PowerStatusRequest {
  const { xname, powerStateFilter, managementStateFilter } = parse(powerStatusBody, input)
  const malformed = xname.filter((text) => !isXname(text))
  if (malformed.length > 0) {
    const shown = malformed.slice(0, 10).map((text) => JSON.stringify(text))
    throw new RequestError(400, 'bad_xname', `xname: ${shown.join(', ')}: no xname`)
  }
  return {
    xnames: [...new Set(xname.map(normal))],
    powerState: powerStateFilter || undefined,
    managementState: managementStateFilter || undefined,
  }
}

/** The id in a path. @throws {RequestError} 400 when it is no UUID. */
export function parseTransitionId(text: unknown): string {
  const result = z.guid().safeParse(text)
  if (result.success) return result.data.toLowerCase()
  throw new RequestError(400, 'bad_id', `transition ${JSON.stringify(text)}: expected a UUID`)
}

/** The header Idempotency-Key. @throws {RequestError} 400 when it is not of 1 to 255 characters. */
export function parseIdempotencyKey(text: string | undefined): string | undefined {
  if (text === undefined || (text.length >= 1 && text.length <= 255)) return text
  throw new RequestError(
    400,
    'bad_idempotency_key',
    'Idempotency-Key: expected 1 to 255 characters',
  )
}

function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  const faults = result.error.issues.slice(0, 10).map((issue) => {
    return `${issue.path.join('.') || 'the body'}: ${issue.message}`
  })
  throw new RequestError(400, 'bad_request', faults.join('; '))
}
