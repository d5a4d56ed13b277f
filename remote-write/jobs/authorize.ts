import { BlockList, isIP } from 'node:net'
import type { Request, RequestHandler } from 'express'
import { requireBearer } from '../../exporter/service/bearer.ts'
import { RequestError } from '../../exporter/service/request-error.ts'
import type { Secret } from '../../exporter/service/settings.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')
loopback.addSubnet('::ffff:127.0.0.0', 104, 'ipv6')

/**
 * Lets a request pass that tells of jobs. With a token it must carry it: as a bearer token, or as
 * the password of basic authentication, for senders that know no other. Without one it must come
 * from this machine, and not through a proxy on it.
 */
export function mayTellJobs(token: Secret | undefined, env: NodeJS.ProcessEnv): RequestHandler {
  const setting = 'remote_write.token'
  if (token === undefined) {
    return (request, _response, next) => {
      if (isLocal(request)) return next()
      const message = `${setting} is not configured: only this machine may tell of jobs`
      throw new RequestError(403, 'no_token', message)
    }
  }
  const realm = 'joulebridge remote-write'
  const guard = requireBearer({ token: () => token, setting, realm, env })
  return (request, response, next) => {
    const password = passwordOf(request)
    if (password !== undefined) request.headers.authorization = `Bearer ${password}`
    return guard(request, response, next)
  }
}

function isLocal({ socket, headers }: Request): boolean {
  const address = socket.remoteAddress ?? ''
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  const proxied = ['forwarded', 'x-forwarded-for', 'via'].some((name) => name in headers)
  return isIP(address) !== 0 && loopback.check(address, family) && !proxied
}

function passwordOf(request: Request): string | undefined {
  const basic = /^Basic +([\w+/=]+) *$/i.exec(request.get('authorization') ?? '')?.[1]
  return basic && /^[^:]*:(\S+)$/.exec(Buffer.from(basic, 'base64').toString())?.[1]
}
