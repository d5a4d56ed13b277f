import { createHash, timingSafeEqual } from 'node:crypto'
import type { RequestHandler } from 'express'
import { RequestError } from '../exporter/service/request-error.ts'
import { readSecret, type Secret } from '../exporter/service/settings.ts'

/**
 * Lets a request pass that carries the bearer token. The token is read for each request, so a
 * new one counts at once; without one in the settings every request is refused.
 */
export function authorize(token: Secret | undefined, env: NodeJS.ProcessEnv): RequestHandler {
  return async (request, response, next) => {
    const given = /^Bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1]
    const fault = await faultOf(given, token, env)
    if (fault === undefined) return next()
    response.set('www-authenticate', 'Bearer realm="joulebridge control"')
    throw new RequestError(401, 'unauthorized', fault)
  }
}

async function faultOf(
  given: string | undefined,
  token: Secret | undefined,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const wanted = token && (await readSecret(token, env))
  if (!wanted) return 'control.token is not configured: every request is refused'
  if (given === undefined) return 'expected the header Authorization: Bearer TOKEN'
  return timingSafeEqual(digest(given), digest(wanted)) ? undefined : 'the bearer token is wrong'
}

/** Of equal length for texts of any length, so the time of a comparison tells nothing. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
