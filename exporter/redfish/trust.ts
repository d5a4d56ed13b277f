import { readFile } from 'node:fs/promises'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'

/** What to trust besides the system's certificates: the PEM file of a credential. */
export type Trust = (caFile: string) => Promise<SecureContext>

/** Reads each file once, since a parsed list of authorities takes half a megabyte. */
export function createTrust(): Trust {
  const known = new Map<string, Promise<SecureContext>>()
  return (caFile) => {
    const found = known.get(caFile)
    if (found) return found
    const context = readTrust(caFile)
    known.set(caFile, context)
    context.catch(() => known.delete(caFile))
    return context
  }
}

async function readTrust(caFile: string): Promise<SecureContext> {
  return createSecureContext({ ca: [...rootCertificates, await readFile(caFile, 'utf8')] })
}
