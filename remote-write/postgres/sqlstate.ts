import { AssertionError } from 'node:assert'
import pg from 'pg'
import { RequestError, UnavailableError } from '../../exporter/service/request-error.ts'

/**
 * The one place that judges PostgreSQL's errors (its Appendix A): bad data is the sender's fault
 * and answered 400; anything else, a lost connection included, passes with time: 503. What was
 * judged already and what is a fault of the program comes back as it is.
 */
export function databaseError(cause: unknown): Error {
  if (isJudged(cause)) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  if (isBadData(cause)) {
    return new RequestError(400, 'bad_data', `the database refused the data: ${reason}`, { cause })
  }
  return new UnavailableError('database_unavailable', `the database: ${reason}`, { cause })
}

function isJudged(error: unknown): error is Error {
  const kinds = [RequestError, UnavailableError, AssertionError, TypeError, RangeError]
  return kinds.some((kind) => error instanceof kind)
}

/** Class 22, data exception, and class 23, integrity constraint violation. */
function isBadData(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '') && !isNoPartition(error)
}

/** No partition of the table takes the row (ExecFindPartition): ours to make. */
export function isNoPartition(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23514' && !error.constraint
}

/** What enter_epoch raises (functions/forget.sql): some ids of series may hold no more. */
export function isEpochOver(error: unknown): boolean {
  return sqlState(error) === 'JB001'
}

/**
 * No connection came about or it was lost, for now: the network said so (an error of a system call
 * has no severity), or the server, which is starting, stopping or full (57P, 53300), or `pg`, which
 * has only words for it. Whatever wraps such an error is one too.
 */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const state = sqlState(error)
  if (state !== undefined) return /^(08|57P|53300)/.test(state)
  if (isNetworkError(error) || error instanceof AggregateError) return true
  return lostConnection.test(error.message) || isUnreachable(error.cause)
}

/** A system call of the network failed: those of files have other names and codes. */
function isNetworkError(error: NodeJS.ErrnoException): boolean {
  return (
    /^(connect|getaddrinfo)$/.test(error.syscall ?? '') ||
    /^(ECONNRESET|EPIPE)$/.test(error.code ?? '')
  )
}

const lostConnection =
  /^Connection terminated|is not queryable$|^timeout exceeded when trying to connect$/

/** lock_not_available, deadlock_detected: somebody uses what we wanted for ourselves. */
export function isLocked(error: unknown): boolean {
  return ['55P03', '40P01'].includes(sqlState(error) ?? '')
}

/** Class 28, invalid authorization specification: another try with the same login is in vain. */
export function isWrongLogin(error: unknown): boolean {
  return /^28/.test(sqlState(error) ?? '')
}

function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}
