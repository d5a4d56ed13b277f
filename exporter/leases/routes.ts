import { json, Router } from 'express'
import { z } from 'zod'
import { requireBearer } from '../service/bearer.ts'
import { RequestError } from '../service/request-error.ts'
import type { Secret } from '../service/settings.ts'
import type { Leases } from './leases.ts'

export interface LeaseRoutesOptions {
  leases: Leases
  /** The bearer token of now; undefined: the settings have none. */
  token: () => Secret | undefined
  env: NodeJS.ProcessEnv
}

/** More than the components of a full system. */
const mostXnames = 100_000

/** A transition renews its hold; a caller that dies leaves none for longer than this. */
const longestHoldSeconds = 600

const xnames = z.array(z.string().min(1).max(64)).min(1).max(mostXnames)
const holdRequest = z.strictObject({ xnames, seconds: z.number().min(0).max(longestHoldSeconds) })
const pollRequest = z.strictObject({ xnames })

/** `POST /hold` and `/poll`: what control and the batch scheduler's side ask of the polling. */
export function leaseRoutes({ leases, token, env }: LeaseRoutesOptions): Router {
  const router = Router()
  const setting = 'exporter.token'
  const guard = requireBearer({ token, setting, realm: 'joulebridge exporter', env })
  const body = json({ limit: '8mb' })
  router.post('/hold', guard, body, (request, response) => {
    const { xnames, seconds } = parsed(holdRequest, request.body)
    response.json(leases.hold(xnames, seconds))
  })
  router.post('/poll', guard, body, (request, response) => {
    const { xnames } = parsed(pollRequest, request.body)
    response.status(202).json(leases.poll(xnames))
  })
  return router
}

/** @throws {RequestError} 400 naming what is wrong with it. */
function parsed<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const { data, error } = schema.safeParse(body ?? {})
  if (error === undefined) return data
  const [issue] = error.issues
  const place = issue?.path.join('.') || 'the body'
  throw new RequestError(400, 'bad_request', `${place}: ${issue?.message}`)
}
