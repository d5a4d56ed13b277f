import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type Response,
} from 'express'
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client'
import manifest from '../../package.json' with { type: 'json' }
import type { Logger } from './log.ts'
import { RequestError, UnavailableError } from './request-error.ts'

/** A part that is up: its base URL (no trailing slash) and how to close it. */
export interface Service {
  url: string
  /** Reads its settings again; absent where it cannot. */
  reload?(): Promise<void>
  close(): Promise<void>
}

export interface ShellOptions {
  log: Logger
  /** Own metrics of the service. */
  registry: Registry
  /** Resolves when requests can be served; its rejection is the reason that `/-/ready` gives. */
  ready: () => Promise<void>
  /** Answers `/metrics`; without it the registry alone is shown. */
  metrics?: (openMetrics: boolean) => Promise<string | Rendered>
}

/** A body that is ready in either form, so that only the one asked for is made. */
export interface Rendered {
  plain(): Buffer
  gzip(): Buffer
}

/**
 * An express app with what every service has: `/-/healthy` (the process runs), `/-/ready` (it can
 * serve, else 503 with the reason) and `/metrics`. Add the service's routes, then `finish` it.
 */
export function createApp({ log, registry, ready, metrics }: ShellOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.get('/-/healthy', (_request, response) => {
    response.type('text/plain').send('healthy\n')
  })
  app.get('/-/ready', async (_request, response) => {
    const reason = await ready().then(
      () => undefined,
      (error: unknown) => String(error instanceof Error ? error.message : error),
    )
    if (reason !== undefined) log.debug({ reason }, 'not ready')
    response
      .status(reason === undefined ? 200 : 503)
      .type('text/plain')
      .send(`${reason ?? 'ready'}\n`)
  })
  app.get('/metrics', async (request, response) => {
    if (metrics) await sendMetrics(request, response, metrics)
    else response.set('content-type', textType).send(await registry.metrics())
  })
  return app
}

/** Answers with metrics in the format that the scraper prefers, compressed if it takes that. */
export async function sendMetrics(
  request: Request,
  response: Response,
  render: (openMetrics: boolean) => Promise<string | Rendered>,
): Promise<void> {
  const openMetrics = request.get('accept')?.includes('application/openmetrics-text') ?? false
  const body = await render(openMetrics)
  response.vary('accept, accept-encoding')
  response.set('content-type', openMetrics ? openMetricsType : textType)
  const packed = request.acceptsEncodings('gzip') !== false
  if (packed) response.set('content-encoding', 'gzip')
  // Not `send`: that would take a checksum of megabytes for an ETag that nobody asks for.
  const bytes = await bytesOf(body, packed)
  response.set('content-length', String(bytes.length)).end(bytes)
}

async function bytesOf(body: string | Rendered, packed: boolean): Promise<Buffer> {
  if (typeof body !== 'string') return packed ? body.gzip() : body.plain()
  return packed ? await compress(body, { level: 1 }) : Buffer.from(body)
}

const compress = promisify(gzip)

const textType = 'text/plain; version=0.0.4; charset=utf-8'
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** Adds the last routes: 404, and errors as `application/problem+json` (RFC 9457). */
export function finishApp(app: Express, log: Logger): Express {
  app.use((request) => {
    throw new RequestError(404, 'not_found', `no route ${request.method} ${request.path}`)
  })
  const warn = oncePerMinute((fields) => log.warn(fields, 'requests cannot be served'))
  const onError: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (response.headersSent) return next(error)
    const status = statusOf(error)
    const unavailable = error instanceof UnavailableError
    if (unavailable) {
      response.set('retry-after', String(error.retryAfterSeconds))
      warn(error.code, { error, method: request.method, path: request.path })
    } else if (status >= 500) {
      log.error({ error, method: request.method, path: request.path }, 'request failed')
    }
    const detail = status === 500 ? 'internal error, see the log' : String((error as Error).message)
    const code = error instanceof RequestError || unavailable ? error.code : undefined
    response
      .status(status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: 'about:blank',
          title: titles[status] ?? 'Error',
          status,
          detail,
          code,
        }),
      )
  }
  return app.use(onError)
}

/** `tell`, but for each key at most once a minute, since a sender tries again and again. */
function oncePerMinute(tell: (fields: object) => void) {
  const toldAt = new Map<string, number>()
  return (key: string, fields: object): void => {
    const now = performance.now()
    if (now - (toldAt.get(key) ?? Number.NEGATIVE_INFINITY) < 60_000) return
    toldAt.set(key, now)
    tell(fields)
  }
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** Express's own parsers mark the caller's faults with a 4xx `status`; anything else is ours. */
function statusOf(error: unknown): number {
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}

/**
 * Listens on `host:port` (port 0: any free one) and closes idle connections when asked to close.
 * @throws {Error} `cannot listen on 127.0.0.1:28010: the port is in use`, or with another cause.
 */
export async function listen(listener: RequestListener, address: string): Promise<Service> {
  const { host, port } = parseAddress(address)
  const server = createServer(listener)
  // A request on a connection that we just close is lost. Prometheus closes idle ones itself, after
  // 5 minutes (prometheus/common, config/http_config.go).
  server.keepAliveTimeout = 360_000
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    throw cannotListen(address, cause)
  }
  const bound = server.address() as AddressInfo
  const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address
  return {
    url: `http://${shown}:${bound.port}`,
    async close() {
      server.close()
      server.closeIdleConnections()
      const force = setTimeout(() => server.closeAllConnections(), 2000)
      await once(server, 'close')
      clearTimeout(force)
    },
  }
}

/** What to throw when listening on `host:port` failed. */
export function cannotListen(address: string, cause: unknown): Error {
  const inUse = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
  if (inUse) return new Error(`cannot listen on ${address}: the port is in use`)
  return new Error(`cannot listen on ${address}`, { cause })
}

/** Where a listener of this machine on `address` can be asked. */
export function localUrl(address: string): string {
  const { host = '127.0.0.1', port } = parseAddress(address)
  if (host === '0.0.0.0' || host === '::') return `http://127.0.0.1:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Splits `host:port`, `[v6]:port` or `:port` (all addresses), as Prometheus's flag has it. */
export function parseAddress(address: string): { host: string | undefined; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address)
  const port = Number(match?.[3])
  if (!match || port > 65535) {
    throw new Error(`listen address ${JSON.stringify(address)}: expected host:port`)
  }
  const host = match[1] ?? match[2]
  return { host: host === '' ? undefined : host, port }
}

/** Process metrics and `joulebridge_build_info`, the same in every service. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
  for (const name of [...misnamed, openFiles]) registry.removeSingleMetric(name)
  new Gauge({
    name: openFiles,
    help: 'Number of open file descriptors.',
    registers: [registry],
    async collect() {
      const found = await readdir('/proc/self/fd').catch(() => undefined)
      // But for the one that it is read with.
      this.set(found ? found.length - 1 : Number.NaN)
    },
  })
  new Gauge({
    name: 'joulebridge_build_info',
    help: 'Always 1; the version of Joulebridge and of Node in its labels.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version: manifest.version, node: process.version }, 1)
}

/** Of thousands of connections; prom-client's own gauge keeps the process waiting meanwhile. */
const openFiles = 'process_open_fds'

/** Gauges that are called like counters; what they say stands in the metrics without `_total`. */
const misnamed = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]
