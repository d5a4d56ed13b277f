import { createHash } from 'node:crypto'
import { z } from 'zod'
import { compareXnames, isXname, parseXname } from '../exporter/inventory/xname.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import {
  managementStates,
  patchBody,
  powerStatusBody,
  shownPowerStates,
  snapshotBody,
  transitionBody,
} from './openapi/schema.ts'
import type { Action, Operation } from './operation.ts'

/** What every request that changes something may carry besides. */
export interface Care {
  reason: string | undefined
  /** Show what would be done, and do nothing. */
  dryRun: boolean
  /** Protected components too. */
  override: boolean
  /** The number of components that the caller means to ask for. */
  confirm: number | undefined
}

export interface TransitionRequest extends Care {
  operation: Operation
  /** 0: do not confirm; negative: no deadline but the record's end. */
  deadlineMinutes: number
  /** In place of the minutes, for some actions. */
  deadlineSeconds: Readonly<Partial<Record<Action, number>>>
  /** Also what is known within the components, or around them. */
  recursive: boolean
  prereq: boolean
  /** ForceOff may stand for a graceful off that is not offered. */
  forced: boolean
  allowRunningJobs: boolean
  /** Without repeats, in the order of their places; valid ones in their normal form. */
  xnames: readonly string[]
  /** SHA-256 of all that is asked for. */
  digest: Buffer
}

export interface ParseOptions {
  maxTargets: number
  /** Fields that are not known are refused; PCS ignores them. */
  strict: boolean
}

/**
 * The body of POST /transitions. A malformed xname passes, as in PCS: its task fails. A deputy key
 * is for reservations, which there are none of.
 * @throws {RequestError} 400 naming each bad field; 413 for more than `maxTargets` xnames.
 */
export function parseTransitionRequest(body: unknown, options: ParseOptions): TransitionRequest {
  const parsed = parseBody(transitionBody, body, options)
  const xnames = placesIn(parsed.location, 'location', options)
  const asked = {
    operation: parsed.operation,
    deadlineMinutes: parsed.taskDeadlineMinutes,
    deadlineSeconds: parsed.deadlineSeconds ?? {},
    recursive: parsed.recursive ?? false,
    prereq: parsed.prereq ?? false,
    forced: parsed.allowForce ?? false,
    allowRunningJobs: parsed.allowRunningJobs ?? false,
    override: parsed.override ?? false,
    xnames,
  }
  return { ...asked, ...careOf(parsed), digest: digestOf(asked) }
}

export interface CapRequest extends Care {
  type: 'snapshot' | 'patch'
  /** In the order of their places; watts by name of the control, undefined: only read. */
  components: readonly { xname: string; wanted: Readonly<Record<string, number>> | undefined }[]
  digest: Buffer
}

/** The body of POST /power-cap/snapshot. @throws {RequestError} as for a transition. */
export function parseSnapshotRequest(body: unknown, options: ParseOptions): CapRequest {
  const parsed = parseBody(snapshotBody, body, options)
  const xnames = placesIn(
    parsed.xnames.map((xname) => ({ xname })),
    'xnames',
    options,
  )
  const components = xnames.map((xname) => ({ xname, wanted: undefined }))
  const asked = { type: 'snapshot' as const, components }
  return { ...asked, ...careOf(parsed), digest: digestOf(asked) }
}

/**
 * The body of PATCH /power-cap.
 * @throws {RequestError} as for a transition, and 400 for two values for one control.
 */
export function parsePatchRequest(body: unknown, options: ParseOptions): CapRequest {
  const parsed = parseBody(patchBody, body, options)
  const wantedOf = new Map<string, Record<string, number>>()
  for (const { xname, controls } of parsed.components) {
    const place = normal(xname)
    const wanted = wantedOf.get(place) ?? {}
    wantedOf.set(place, wanted)
    for (const { name, value } of controls) {
      if (Object.hasOwn(wanted, name) && wanted[name] !== value) {
        const message = `components: ${xname}: ${name} is to be ${wanted[name]} W and ${value} W`
        throw new RequestError(400, 'bad_request', message)
      }
      wanted[name] = value
    }
  }
  const components = placesIn(parsed.components, 'components', options).map((xname) => ({
    xname,
    wanted: wantedOf.get(xname) ?? {},
  }))
  const asked = { type: 'patch' as const, components, override: parsed.override ?? false }
  return { ...asked, ...careOf(parsed), digest: digestOf(asked) }
}

function placesIn(
  list: readonly { xname: string }[],
  field: string,
  { maxTargets }: ParseOptions,
): string[] {
  const xnames = [...new Set(list.map(({ xname }) => normal(xname)))].sort(compareXnames)
  if (xnames.length <= maxTargets) return xnames
  const message = `${field}: ${xnames.length} components, more than ${maxTargets} in one request`
  throw new RequestError(413, 'too_many_targets', message)
}

function normal(xname: string): string {
  return isXname(xname) ? parseXname(xname).text : xname
}

type GivenCare = { [Key in keyof Care]?: Care[Key] | null | undefined }

function careOf({ reason, dryRun, override, confirm }: GivenCare): Care {
  return {
    reason: reason ?? undefined,
    dryRun: dryRun ?? false,
    override: override ?? false,
    confirm: confirm ?? undefined,
  }
}

function digestOf(asked: object): Buffer {
  return createHash('sha256').update(JSON.stringify(asked)).digest()
}

export type ShownPowerState = (typeof shownPowerStates)[number]
export type ManagementState = (typeof managementStates)[number]

export interface PowerStatusRequest {
  /** Empty: all components. */
  xnames: readonly string[]
  powerState: ShownPowerState | undefined
  managementState: ManagementState | undefined
}

/**
 * The query of GET and the body of POST /power-status.
 * @throws {RequestError} 400 for a bad filter or malformed xnames, in the words of PCS.
 */
export function parsePowerStatusRequest(input: unknown): PowerStatusRequest {
  const { xname, powerStateFilter, managementStateFilter } = parse(powerStatusBody, input)
  const malformed = xname.filter((text) => !isXname(text)).slice(0, 10)
  if (malformed.length > 0) {
    throw new RequestError(400, 'bad_xname', `invalid xnames detected: ${malformed.join(' ')}`)
  }
  return {
    xnames: [...new Set(xname.map(normal))],
    powerState: filter('powerStateFilter', powerStateFilter, shownPowerStates),
    managementState: filter('managementStateFilter', managementStateFilter, managementStates),
  }
}

function filter<T extends string>(
  name: string,
  text: string | null | undefined,
  values: readonly T[],
): T | undefined {
  if (!text) return undefined
  const found = values.find((value) => value === text.toLowerCase())
  if (found !== undefined) return found
  throw new RequestError(400, 'bad_filter', `invalid ${name} type: ${text.slice(0, 64)}`)
}

/** The id in a path. @throws {RequestError} 400 when it is no UUID, in the words of PCS. */
export function parseId(text: unknown): string {
  const id = z.guid().safeParse(text)
  if (id.success) return id.data.toLowerCase()
  const { length } = String(text)
  const message = length === 36 ? 'invalid UUID format' : `invalid UUID length: ${length}`
  throw new RequestError(400, 'bad_id', message)
}

/** The header Idempotency-Key. @throws {RequestError} 400 when it is not of 1 to 255 characters. */
export function parseIdempotencyKey(text: string | undefined): string | undefined {
  if (text === undefined || (text.length >= 1 && text.length <= 255)) return text
  const message = 'Idempotency-Key: expected 1 to 255 characters'
  throw new RequestError(400, 'bad_idempotency_key', message)
}

/** The place of a row in a list that is sorted by time, then id. */
export interface Position {
  at: Date
  id: string
}

/** What a client gets to ask for the next page. */
export function formatCursor({ at, id }: Position): string {
  return Buffer.from(`${at.toISOString()} ${id}`).toString('base64url')
}

/** @throws {RequestError} 400 for what is no cursor of ours. */
export function parseCursor(text: string | undefined): Position | undefined {
  if (text === undefined) return undefined
  const [time = '', id] = Buffer.from(text, 'base64url').toString().split(' ')
  const at = new Date(time)
  if (!Number.isNaN(at.getTime()) && z.guid().safeParse(id).success) return { at, id: id ?? '' }
  throw new RequestError(400, 'bad_cursor', 'cursor: expected the nextCursor of an answer')
}

function parseBody<S extends z.ZodObject>(
  schema: S,
  body: unknown,
  { strict }: ParseOptions,
): z.output<S> {
  const named = renameFields(body)
  if (strict) refuseUnknown(schema, named)
  return parse(schema, named)
}

/** @throws {RequestError} 400 naming each bad field. */
export function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  const faults = result.error.issues.slice(0, 10).map((issue) => {
    return `${issue.path.join('.') || 'the body'}: ${issue.message}`
  })
  throw new RequestError(400, 'bad_request', faults.join('; '))
}

/**
 * Fields count in any case, as PCS's JSON parser takes them: a `dryrun` that was overlooked would
 * switch power.
 */
function renameFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renameFields)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      return [fieldNames.get(key.toLowerCase()) ?? key, renameFields(inner)]
    }),
  )
}

const fieldNames = new Map(
  [
    ...Object.keys(transitionBody.shape),
    ...Object.keys(snapshotBody.shape),
    ...Object.keys(patchBody.shape),
    'xname',
    'deputyKey',
    'controls',
    'name',
    'value',
  ].map((name) => [name.toLowerCase(), name]),
)

/** @throws {RequestError} 400 naming the unknown fields. */
function refuseUnknown(schema: z.ZodObject, body: unknown): void {
  if (typeof body !== 'object' || body === null) return
  const unknown = Object.keys(body).filter((key) => !Object.hasOwn(schema.shape, key))
  if (unknown.length === 0) return
  const message = unknown.slice(0, 10).map((key) => `${key.slice(0, 64)}: unknown field`)
  throw new RequestError(400, 'unknown_field', message.join('; '))
}
