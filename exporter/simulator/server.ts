import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { cannotListen, type Service } from '../service/http.ts'
import { errorText } from '../service/log.ts'
import type { Certificate } from './certificate.ts'
import { EventService } from './devices/event-service.ts'
import type { Seconds } from './load.ts'
import { type Reset, redfishError, type SimulatedDevice } from './resources.ts'
import { Sessions, sessionsPath } from './sessions.ts'
import type { ResetType } from './timeline.ts'

export interface DeviceServerOptions {
  /** 0: any free one. */
  port: number
  certificate: Certificate
  username: string
  password: string
  /** From one push of a controller's telemetry to the next. */
  pushSeconds: number
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  /** Takes a reset into the story; it has been kept when this resolves. */
  reset: (xname: string, type: ResetType) => Promise<void>
  /** Resolves when the story is kept. */
  save: () => Promise<void>
}

/**
 * A device on a port of loopback, over HTTPS with Basic authentication or Redfish sessions.
 * @throws {Error} naming the device and the port when it is in use.
 */
export async function serveDevice(
  device: SimulatedDevice,
  options: DeviceServerOptions,
): Promise<Service> {
  const { key, cert } = options.certificate
  const expected = digest(`Basic ${btoa(`${options.username}:${options.password}`)}`)
  const sessions = device.kind === 'jaws' ? undefined : new Sessions(device.resources)
  const events =
    device.kind === 'cray-controller'
      ? new EventService(device, { asOf: options.asOf, intervalSeconds: options.pushSeconds })
      : undefined
  const context = { device, options, expected, sessions, events }
  const server = createServer({ key, cert }, (request, response) => {
    if (device.isUp?.(options.asOf()) === false) {
      request.destroy()
      return
    }
    answer(context, request).then(
      (reply) => send(device, reply, response),
      () => response.destroy(),
    )
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening').catch((cause: unknown) => {
    const reason = cannotListen(`127.0.0.1:${options.port}`, cause)
    throw new Error(`${device.xname}: ${errorText(reason)}`)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `https://127.0.0.1:${port}`,
    async close() {
      events?.close()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

interface Reply {
  status: number
  body?: unknown
  headers?: Record<string, string>
}

interface Context {
  device: SimulatedDevice
  options: DeviceServerOptions
  /** Digest of the header that Basic authentication asks for. */
  expected: Buffer
  /** Undefined: the device has no such service. */
  sessions: Sessions | undefined
  events: EventService | undefined
}

async function answer(context: Context, request: IncomingMessage): Promise<Reply> {
  const { device, options, sessions, events } = context
  const path = pathOf(request)
  if (sessions && request.method === 'POST' && path === sessionsPath) {
    return await openSession(context, sessions, request)
  }
  if (!isLoggedIn(context, request)) return unauthorized
  if (sessions && path.startsWith(`${sessionsPath}/`)) {
    return answerSession(sessions, path, request)
  }
  if (events?.takes(request.method, path)) {
    return events.answer(request.method, path, parsedJson(await bodyOf(request)))
  }
  const reset = device.resets.get(path)
  if (request.method === 'POST' && reset) return await answerReset(reset, options, request)
  const write = device.writes?.get(path)
  if (write !== undefined && write.method === request.method) {
    return await write.answer(parsedJson(await bodyOf(request)), options)
  }
  const read = device.resources.get(path)
  if (read === undefined) return notFound(path)
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, headers: { Allow: 'GET, HEAD' } }
  }
  return { status: 200, body: read(options.asOf()) }
}

function isLoggedIn({ expected, options, sessions }: Context, request: IncomingMessage): boolean {
  const { authorization = '', 'x-auth-token': token } = request.headers
  if (sessions && typeof token === 'string') return sessions.knows(token, options.asOf())
  return timingSafeEqual(digest(authorization), expected)
}

const loginBody = z.object({ UserName: z.string(), Password: z.string() })

async function openSession(
  { options, expected }: Context,
  sessions: Sessions,
  request: IncomingMessage,
): Promise<Reply> {
  const login = loginBody.safeParse(parsedJson(await bodyOf(request)))
  if (!login.success) {
    const message = 'A session requires UserName and Password.'
    return { status: 400, body: redfishError('PropertyMissing', message, ['UserName']) }
  }
  const { UserName, Password } = login.data
  if (!timingSafeEqual(digest(`Basic ${btoa(`${UserName}:${Password}`)}`), expected)) {
    return unauthorized
  }
  const session = sessions.open(UserName, options.asOf())
  if (session === undefined) {
    const message = 'The session establishment failed due to the number of simultaneous sessions.'
    return { status: 503, body: redfishError('SessionLimitExceeded', message, []) }
  }
  const headers = { 'X-Auth-Token': session.token, Location: session.path }
  return { status: 201, body: session.body, headers }
}

function answerSession(sessions: Sessions, path: string, { method }: IncomingMessage): Reply {
  if (method === 'DELETE') return sessions.end(path) ? { status: 204 } : notFound(path)
  const body = sessions.read(path)
  return body === undefined ? notFound(path) : { status: 200, body }
}

const unauthorized: Reply = {
  status: 401,
  headers: { 'WWW-Authenticate': 'Basic realm="simulator"' },
}

function notFound(path: string): Reply {
  const message = `The resource at the URI ${path} was not found.`
  return { status: 404, body: redfishError('ResourceMissingAtURI', message, [path]) }
}

const resetBody = z.object({ ResetType: z.string() })

async function answerReset(
  { xname, allowed }: Reset,
  { asOf, reset }: DeviceServerOptions,
  request: IncomingMessage,
): Promise<Reply> {
  const text = await bodyOf(request)
  const body = resetBody.safeParse(parsedJson(text))
  if (!body.success) {
    const message = 'The action ComputerSystem.Reset requires the parameter ResetType.'
    return { status: 400, body: redfishError('ActionParameterMissing', message, ['ResetType']) }
  }
  const type = allowed.find((candidate) => candidate === body.data.ResetType)
  if (type === undefined) {
    const wanted = body.data.ResetType
    const message = `The value ${wanted} for the parameter ResetType is not one of those allowed.`
    const args = [wanted, 'ResetType']
    return { status: 400, body: redfishError('ActionParameterNotSupported', message, args) }
  }
  asOf()
  await reset(xname, type)
  return { status: 204 }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const longestBody = 16 * 1024

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > longestBody) throw new Error(`request body over ${longestBody} characters`)
  }
  return text
}

/** Without query and trailing slash. */
function pathOf({ url = '/' }: IncomingMessage): string {
  return url.replace(/\?.*$/s, '').replace(/\/+$/, '')
}

function send(device: SimulatedDevice, { status, body, headers }: Reply, response: ServerResponse) {
  const all = { ...device.headers, ...headers }
  const text = body === undefined ? '' : JSON.stringify(body)
  if (body !== undefined) response.setHeader('Content-Type', 'application/json')
  if (device.kind !== 'jaws') response.setHeader('OData-Version', '4.0')
  for (const [name, value] of Object.entries(all)) response.setHeader(name, value)
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(text) }).end(text)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
