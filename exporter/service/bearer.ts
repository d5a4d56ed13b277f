import { createHash, timingSafeEqual } from 'node:crypto'
import type { RequestHandler } from 'express'
import { RequestError } from './request-error.ts'
import { readSecret, type Secret } from './settings.ts'

export interface BearerOptions {
  /** Asked at each request, and read then: a new one counts at once. Undefined: there is none. */
  token: () => Secret | undefined
  /** The setting that it stands in, for the refusal without one. */
  setting: string
  realm: string
  env: NodeJS.ProcessEnv
}

/**
 * Lets a request pass that carries the bearer token: 403 where the settings have none, 401 for a
 * wrong one.
 */
export function requireBearer({ token, setting, realm, env }: BearerOptions): RequestHandler {
  return async (request, response, next) => {
    const place = token()
    const wanted = place && (await readSecret(place, env))
    if (!wanted) {
      const message = `${setting} is not configured: this request is refused`
      throw new RequestError(403, 'no_token', message)
    }
    const given = /^Bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1]
    if (given !== undefined && timingSafeEqual(digest(given), digest(wanted))) return next()
    response.set('www-authenticate', `Bearer realm="${realm}"`)
    const expected = 'expected the header Authorization: Bearer TOKEN'
    const fault = given === undefined ? expected : 'the bearer token is wrong'
    throw new RequestError(401, 'unauthorized', fault)
  }
}

/** Of equal length for texts of any length, so the time of a comparison tells nothing. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
