import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { generate } from 'selfsigned'

/** What came in, with its body, in order. */
export interface SeenRequest {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: unknown
}

export interface TlsServer {
  url: string
  /** PEM of its certificate. */
  certificate: string
  expiresAt: Date
  seen: SeenRequest[]
  close(): Promise<void>
}

export type Reply = (request: SeenRequest) => {
  status: number
  body?: unknown
  headers?: Record<string, string>
}

/** An HTTPS server on loopback with a certificate of its own; nobody needs to log in. */
export async function serveTls(
  reply: Reply,
  { expiresAt = new Date(Date.now() + 86_400_000) } = {},
): Promise<TlsServer> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    notBeforeDate: new Date('2020-01-01T00:00:00Z'),
    notAfterDate: expiresAt,
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  const seen: SeenRequest[] = []
  const server = createServer({ key, cert }, (request, response) => {
    readRequest(request).then(
      (each) => {
        seen.push(each)
        send(response, reply(each))
      },
      () => response.destroy(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: cert,
    expiresAt,
    seen,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The name and password of a request's Basic authentication, `root:initial0`. */
export function basicLogin({ headers }: SeenRequest): string | undefined {
  const [, code] = /^Basic (.*)$/.exec(headers.authorization ?? '') ?? []
  return code === undefined ? undefined : Buffer.from(code, 'base64').toString()
}

async function readRequest(request: IncomingMessage): Promise<SeenRequest> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  const { method = '', url: path = '', headers } = request
  return { method, path, headers, body: text === '' ? undefined : JSON.parse(text) }
}

function send(response: ServerResponse, { status, body, headers }: ReturnType<Reply>): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}
