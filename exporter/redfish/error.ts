import type { Refusal } from './refusal.ts'

/**
 * unreachable: no connection, or the device says that it is busy; timeout: no answer in time;
 * unauthorized: login refused; unsupported: it has no such resource; malformed: an answer that
 * is not what was asked for.
 */
export const redfishErrorKinds = [
  'unreachable',
  'timeout',
  'unauthorized',
  'unsupported',
  'malformed',
] as const
export type RedfishErrorKind = (typeof redfishErrorKinds)[number]

/** A request to a device that failed; for the operator. Also for the JAWS of an iPDU. */
export class RedfishError extends Error {
  override readonly name = 'RedfishError'
  readonly kind: RedfishErrorKind
  readonly xname: string
  readonly path: string
  /** What the device answered; undefined when it gave no answer. */
  readonly refusal: Refusal | undefined

  /** `message` says what happened; the device and the path are put before it. */
  constructor(
    kind: RedfishErrorKind,
    where: { xname: string; path: string },
    message: string,
    options?: ErrorOptions & { refusal?: Refusal },
  ) {
    super(`${where.xname}: ${where.path}: ${message}`, options)
    this.kind = kind
    this.xname = where.xname
    this.path = where.path
    this.refusal = options?.refusal
  }
}

/** Whether the fault lies with one resource, so that others of the device may well answer. */
export function isResourceFault(error: unknown): boolean {
  return (
    error instanceof RedfishError && (error.kind === 'unsupported' || error.kind === 'malformed')
  )
}
