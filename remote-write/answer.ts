import type { Request, Response } from 'express'
import type { Counter } from 'prom-client'
import { RequestError, UnavailableError } from '../exporter/service/request-error.ts'

/** Counts the request, once it is answered, by its status. */
export function countAnswer(response: Response, counter: Counter<'code'>): void {
  response.once('finish', () => counter.inc({ code: String(response.statusCode) }))
}

/** Counts a failure by the code that its answer has, and passes it on. */
export async function countRefusal<T>(work: Promise<T>, counter: Counter<'reason'>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const told = error instanceof RequestError || error instanceof UnavailableError
    counter.inc({ reason: told ? error.code : 'internal' })
    throw error
  }
}

/** For every method but POST, which a route before this takes. */
export function refuseMethod(request: Request, response: Response): never {
  response.set('allow', 'POST')
  throw new RequestError(405, 'method', `${request.path} takes POST, not ${request.method}`)
}
