import { readFile, stat } from 'node:fs/promises'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { Duplex } from 'node:stream'
import { createSecureContext, rootCertificates, type SecureContext, TLSSocket } from 'node:tls'

/** What to trust besides the system's certificates: the PEM file of a credential. */
export type Trust = (caFile: string) => Promise<SecureContext>

interface Known {
  /** Tells whether the file has changed since. */
  version: string
  context: Promise<SecureContext>
}

/** Reads a file again only when it has changed: parsed, its authorities take half a megabyte. */
export function createTrust(): Trust {
  const known = new Map<string, Known>()
  return async (caFile) => {
    const { mtimeMs, size, ino } = await stat(caFile)
    const version = `${mtimeMs} ${size} ${ino}`
    const found = known.get(caFile)
    if (found?.version === version) return await found.context
    const context = readTrust(caFile)
    known.set(caFile, { version, context })
    context.catch(() => known.delete(caFile))
    return await context
  }
}

async function readTrust(caFile: string): Promise<SecureContext> {
  return createSecureContext({ ca: [...rootCertificates, await readFile(caFile, 'utf8')] })
}

export interface AgentOptions {
  url: string
  /** Absent: the system's certificates. */
  caFile?: string | undefined
  insecureSkipVerify?: boolean
  trust: Trust
  /** Called at each handshake with the end of the server's certificate, trusted or not. */
  onCertificate?: (validTo: Date) => void
}

/** Connections to one server, kept alive. @throws {Error} when its CA file cannot be read. */
export async function createAgent(options: AgentOptions): Promise<HttpAgent> {
  const { url, caFile, insecureSkipVerify = false, trust, onCertificate } = options
  if (!url.startsWith('https:')) return new HttpAgent({ keepAlive: true })
  const secureContext = caFile === undefined ? undefined : await trust(caFile)
  const agent = new HttpsAgent({
    keepAlive: true,
    rejectUnauthorized: !insecureSkipVerify,
    ...(secureContext && { secureContext }),
  })
  if (onCertificate) watchCertificates(agent, onCertificate)
  return agent
}

/**
 * At `secureConnect` a server that is not trusted has been dropped already, and one whose
 * certificate has expired is the one that we want to hear of: `secure` comes before the verdict.
 */
function watchCertificates(agent: HttpsAgent, tell: (validTo: Date) => void): void {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (...args): Duplex | null | undefined => {
    const socket = connect(...args)
    if (socket instanceof TLSSocket) {
      socket.prependOnceListener('secure', () => {
        const validTo = new Date(socket.getPeerCertificate().valid_to)
        if (!Number.isNaN(validTo.getTime())) tell(validTo)
      })
    }
    return socket
  }
}

/** Whether a connection failed for the server's certificate: what is trusted may have changed. */
export function isCertificateFault(code: string | undefined): boolean {
  return code !== undefined && /CERT|UNABLE_TO_|SELF_SIGNED|ISSUER/.test(code)
}
