import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { generate } from 'selfsigned'

/** A device on a port of loopback: HTTPS with its own certificate, Basic auth root:initial0. */
export interface TestDevice {
  url: string
  /** PEM of its certificate. */
  certificate: string
  /** Paths asked for, with their method, in order. */
  requests: string[]
  close(): Promise<void>
}

export const login = { username: 'root', password: 'initial0' }

/** Answers requests that are logged in with `listener`, others with 401. */
export function serveDevice(listener: RequestListener): Promise<TestDevice> {
  return serveAnyone((request, response) => {
    if (isLoggedIn(request)) listener(request, response)
    else answer(response, 401, { error: { message: 'no login' } })
  })
}

/** Answers all requests with `listener`, logged in or not. */
export async function serveAnyone(listener: RequestListener): Promise<TestDevice> {
  const { private: key, cert } = await certificate
  const requests: string[] = []
  const server = createServer({ key, cert }, (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: cert,
    requests,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** A device of these resources, by path; what is not among them is 404. */
export function serveResources(resources: Record<string, unknown>): Promise<TestDevice> {
  return serveDevice((request, response) => {
    const path = (request.url ?? '').replace(/\/+$/, '')
    const body = resources[path]
    if (body === undefined) answer(response, 404, { error: { message: 'no such resource' } })
    else answer(response, 200, body)
  })
}

export function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** Made once: a key takes a tenth of a second. */
const certificate = generate([{ name: 'commonName', value: '127.0.0.1' }], {
  keyType: 'ec',
  extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
})

function isLoggedIn(request: IncomingMessage): boolean {
  const token = Buffer.from(`${login.username}:${login.password}`).toString('base64')
  return request.headers.authorization === `Basic ${token}`
}
