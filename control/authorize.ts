import { createHash, timingSafeEqual } from 'node:crypto'
import { TLSSocket } from 'node:tls'
import type { Request } from 'express'
import { errorText } from '../exporter/service/log.ts'
import { RequestError, UnavailableError } from '../exporter/service/request-error.ts'
import { readSecret, type Secret } from '../exporter/service/settings.ts'
import { type Right, rights } from './openapi/routes.ts'
import type { Operation } from './operation.ts'
import type { ControlSettings } from './settings.ts'

/** Who asks, and what they may do. */
export interface User {
  name: string
  rights: ReadonlySet<Right>
}

type Users = Pick<ControlSettings, 'token' | 'users'>

/**
 * Who a request comes from: the owner of its bearer token, or of the client certificate of its
 * connection. Tokens are read for each request, so a new one counts at once.
 * @throws {RequestError} 401 when it is nobody that is known.
 * @throws {UnavailableError} when it may be somebody whose token cannot be read.
 */
export async function authenticate(
  request: Request,
  { token, users }: Users,
  env: NodeJS.ProcessEnv,
): Promise<User> {
  const known = [
    ...(token ? [{ name: 'token', token, certificate: undefined, rights: [...rights] }] : []),
    ...users,
  ]
  if (known.length === 0) {
    throw unauthorized('neither control.token nor control.users is configured')
  }
  const given = /^Bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1]
  if (given !== undefined) {
    const owners = await Promise.allSettled(known.map(({ token: own }) => owns(own, given, env)))
    const owner = known.find((_, index) => {
      const found = owners[index]
      return found?.status === 'fulfilled' && found.value
    })
    if (owner) return { name: owner.name, rights: new Set(owner.rights) }
    // A token that cannot be read shuts out its owner only.
    const broken = owners.find(({ status }) => status === 'rejected')
    if (broken?.status !== 'rejected') throw unauthorized('the bearer token is wrong')
    throw new UnavailableError('token_unreadable', errorText(broken.reason))
  }
  const subject = certificateSubject(request)
  if (subject === undefined) throw unauthorized('expected the header Authorization: Bearer TOKEN')
  refuseOtherSites(request)
  const owner = users.find(({ certificate }) => certificate === subject)
  if (owner) return { name: owner.name, rights: new Set(owner.rights) }
  throw unauthorized(`the client certificate of ${JSON.stringify(subject)} is nobody's`)
}

/** A browser shows its user's certificate by itself, whoever's page sends the request. */
function refuseOtherSites(request: Request): void {
  const site = request.get('sec-fetch-site') ?? 'none'
  if (site === 'none' || site === 'same-origin') return
  throw new RequestError(403, 'cross_site', `a page of another site (${site}) sent this request`)
}

function unauthorized(fault: string): RequestError {
  return new RequestError(401, 'unauthorized', `${fault}: the request is refused`)
}

/** The common name of a client certificate that our authority has signed. */
function certificateSubject({ socket }: Request): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const name = socket.getPeerCertificate().subject?.CN
  return Array.isArray(name) ? name[0] : name
}

async function owns(
  token: Secret | undefined,
  given: string,
  env: NodeJS.ProcessEnv,
): Promise<boolean> {
  const wanted = token && (await readSecret(token, env))
  return wanted ? timingSafeEqual(digest(given), digest(wanted)) : false
}

/** Of equal length for texts of any length, so the time of a comparison tells nothing. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** @throws {RequestError} 403 naming the right that is missing. */
export function requireRight({ name, rights: has }: User, right: Right): void {
  if (has.has(right)) return
  throw new RequestError(403, 'forbidden', `${name} lacks the right ${right}`)
}

/** What an operation needs: `force` where it may end in a ForceOff. */
export function rightFor(operation: Operation): 'soft' | 'force' {
  return operation === 'On' || operation === 'Soft-Off' ? 'soft' : 'force'
}
