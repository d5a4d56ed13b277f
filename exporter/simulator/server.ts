import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { cannotListen, type Service } from '../service/http.ts'
import { errorText } from '../service/log.ts'
import type { Certificate } from './certificate.ts'
import type { Seconds } from './load.ts'
import { type Reset, redfishError, type SimulatedDevice } from './resources.ts'
import type { ResetType } from './timeline.ts'

export interface DeviceServerOptions {
  /** 0: any free one. */
  port: number
  certificate: Certificate
  username: string
  password: string
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  /** Takes a reset into the story; it has been kept when this resolves. */
  reset: (xname: string, type: ResetType) => Promise<void>
}

/**
 * A device on a port of loopback, over HTTPS with Basic authentication.
 * @throws {Error} naming the device and the port when it is in use.
 */
export async function serveDevice(
  device: SimulatedDevice,
  options: DeviceServerOptions,
): Promise<Service> {
  const { key, cert } = options.certificate
  const expected = digest(`Basic ${btoa(`${options.username}:${options.password}`)}`)
  const server = createServer({ key, cert }, (request, response) => {
    answer(device, options, expected, request).then(
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

async function answer(
  device: SimulatedDevice,
  options: DeviceServerOptions,
  expected: Buffer,
  request: IncomingMessage,
): Promise<Reply> {
  if (!timingSafeEqual(digest(request.headers.authorization ?? ''), expected)) return unauthorized
  const path = pathOf(request)
  const reset = device.resets.get(path)
  if (request.method === 'POST' && reset) return await answerReset(reset, options, request)
  const read = device.resources.get(path)
  if (read === undefined) return notFound(path)
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, headers: { Allow: 'GET, HEAD' } }
  }
  return { status: 200, body: read(options.asOf()) }
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
