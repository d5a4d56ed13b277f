import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { cannotListen, parseAddress, type Service } from '../service/http.ts'
import type { Logger } from '../service/log.ts'
import { type Certificate, type CertificateFiles, watchCertificate } from './certificate.ts'

/** Why a request was not taken. */
export type RequestFault =
  | 'method'
  | 'not_ours'
  | 'too_large'
  | 'encoding'
  | 'busy'
  | 'malformed'
  | 'repeated'

export interface ReceiverOptions {
  listenAddress: string
  /** Read again when they change; absent: plain HTTP. */
  tls: CertificateFiles | undefined
  /** Whom a path is for; undefined: nobody of ours, or the secret in it is wrong. */
  addressee(path: string): string | undefined
  /** Takes a body of that device; or says what is wrong with it. */
  take(addressee: string, body: Buffer): RequestFault | undefined
  refused(fault: RequestFault): void
  log: Logger
}

/** The largest of a controller with 737 sensors, at five samples each, is below 1 MB. */
const largestBody = 4 * 1024 * 1024
/** Of all bodies that are on their way. */
const mostBytes = 64 * 1024 * 1024
const mostConnections = 4096

/** A repeated body has been taken: the device shall not send it a third time. */
const statusOf: Record<RequestFault, number> = {
  method: 405,
  not_ours: 403,
  too_large: 413,
  encoding: 415,
  busy: 503,
  malformed: 400,
  repeated: 204,
}

/**
 * Listens for the events of devices, which want a quick answer and else try again a minute later.
 * A request for nobody of ours is refused before its body is read.
 * @throws {Error} as `listen` does, and when the certificate cannot be read.
 */
export async function startReceiver(options: ReceiverOptions): Promise<Service> {
  const { listenAddress, tls, log } = options
  const bytes = { waiting: 0 }
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    receive(request, options, bytes).then(
      (fault) => answer(response, fault, options),
      (error: unknown) => {
        // A device that hangs up half-way has nothing to be told.
        if (!request.complete) log.debug({ error }, 'event was cut off')
        else log.error({ error }, 'event broke')
        response.destroy()
      },
    )
  }
  const { server, endWatch } = await serverOf(tls, listener, log)
  const { host, port } = parseAddress(listenAddress)
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    endWatch()
    throw cannotListen(listenAddress, cause)
  }
  const bound = server.address() as AddressInfo
  const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${shown}:${bound.port}`,
    async close() {
      endWatch()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function serverOf(
  tls: CertificateFiles | undefined,
  listener: RequestListener,
  log: Logger,
): Promise<{ server: Server; endWatch: () => void }> {
  if (tls === undefined) return { server: bounded(createServer(listener)), endWatch: () => {} }
  const server = bounded(createTlsServer(listener))
  const changed = (next: Certificate) => server.setSecureContext(next)
  const { first, close } = await watchCertificate(tls, { changed, log })
  changed(first)
  return { server, endWatch: close }
}

function bounded<S extends Server>(server: S): S {
  server.maxConnections = mostConnections
  server.headersTimeout = 10_000
  server.requestTimeout = 30_000
  server.keepAliveTimeout = 65_000
  return server
}

async function receive(
  request: IncomingMessage,
  { addressee, take }: ReceiverOptions,
  bytes: { waiting: number },
): Promise<RequestFault | undefined> {
  if (request.method !== 'POST') return 'method'
  const device = addressee((request.url ?? '').replace(/[?#].*$/s, ''))
  if (device === undefined) return 'not_ours'
  if (Number(request.headers['content-length'] ?? 0) > largestBody) return 'too_large'
  const encoding = (request.headers['content-encoding'] ?? 'identity').toLowerCase()
  if (encoding !== 'identity' && encoding !== 'gzip') return 'encoding'
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request) {
      length += chunk.length
      bytes.waiting += chunk.length
      if (length > largestBody) return 'too_large'
      if (bytes.waiting > mostBytes) return 'busy'
      chunks.push(chunk)
    }
    const body = Buffer.concat(chunks)
    if (encoding !== 'gzip') return take(device, body)
    const whole = await inflate(body, { maxOutputLength: largestBody }).catch(() => undefined)
    return whole === undefined ? 'malformed' : take(device, whole)
  } finally {
    bytes.waiting -= length
  }
}

const inflate = promisify(gunzip)

function answer(
  response: ServerResponse,
  fault: RequestFault | undefined,
  { refused }: ReceiverOptions,
): void {
  if (fault !== undefined) refused(fault)
  const status = fault === undefined ? 204 : statusOf[fault]
  // What was not read of a body goes with its connection.
  const close = status === 204 ? {} : { connection: 'close' }
  const retry = fault === 'busy' ? { 'retry-after': '5' } : {}
  response.writeHead(status, { ...close, ...retry }).end()
}
