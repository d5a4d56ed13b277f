import { randomUUID } from 'node:crypto'
import type { Request } from 'express'
import type { User } from './authorize.ts'
import type { RouteId } from './openapi/routes.ts'
import { parseIdempotencyKey } from './request.ts'

/** A request that has passed the door. */
export interface Call {
  /** Undefined on routes that are open to all. */
  user: User | undefined
  /** Where it came from. */
  address: string | undefined
  /** Ours, or the caller's X-Request-Id where that is a UUID. */
  requestId: string
  idempotencyKey: string | undefined
  params: Readonly<Record<string, unknown>>
  query: unknown
  body: unknown
}

export interface Answer {
  status: number
  /** Undefined: none. */
  body?: object | undefined
  /** Path below the place where the routes are. */
  location?: string
}

export type Handler = (call: Call) => Promise<Answer>
export type Handlers<Id extends RouteId> = Record<Id, Handler>

export function callOf(request: Request, user: User | undefined, requestId: string): Call {
  return {
    user,
    address: request.socket.remoteAddress,
    requestId,
    idempotencyKey: parseIdempotencyKey(request.get('idempotency-key')),
    params: request.params,
    query: request.query,
    body: request.body,
  }
}

export function requestIdOf(request: Request): string {
  const given = request.get('x-request-id') ?? ''
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(given)
    ? given.toLowerCase()
    : randomUUID()
}
