import { z } from 'zod'
import { RequestError } from '../exporter/service/request-error.ts'
import { databaseError } from './postgres/sqlstate.ts'

/** A time in a URL, with its offset from UTC. */
export const instant = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2026-11-22T10:00:00Z' })
  .transform((text) => new Date(text))

/** @throws {RequestError} 400 that names each parameter at fault. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new RequestError(400, 'bad_parameter', faults.join('; '))
}

/** What the database answers; its errors as those that a client is told, see `databaseError`. */
export function query<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    if (error instanceof RequestError) throw error
    throw databaseError(error)
  })
}
