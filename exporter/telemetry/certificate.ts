import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Logger } from '../service/log.ts'

/** Where a listener's certificate stands, PEM. */
export interface CertificateFiles {
  certFile: string
  keyFile: string
}

export interface Certificate {
  cert: string
  key: string
}

export interface CertificateWatch {
  /** As of the start. */
  first: Certificate
  close(): void
}

/** Renewed certificates are no hurry, and two looks at files cost nothing. */
const lookMs = 1000

/**
 * Tells of each change of the files. A pair that does not fit, as while the one is replaced and the
 * other not yet, is not told of: what there was stays.
 * @throws {Error} when they cannot be read, or do not fit, at the start.
 */
export async function watchCertificate(
  files: CertificateFiles,
  { changed, log }: { changed: (next: Certificate) => void; log: Logger },
): Promise<CertificateWatch> {
  const first = await readPair(files)
  let known = await versionOf(files)
  let looking = false
  const look = async () => {
    const version = await versionOf(files)
    if (version === known) return
    const next = await readPair(files)
    known = version
    changed(next)
    log.info({ cert_file: files.certFile }, 'certificate read again')
  }
  let failed = ''
  const timer = setInterval(() => {
    if (looking) return
    looking = true
    look()
      .then(() => {
        failed = ''
      })
      .catch((error: unknown) => {
        if (failed !== String(error)) log.warn({ error }, 'certificate cannot be read again')
        failed = String(error)
      })
      .finally(() => {
        looking = false
      })
  }, lookMs)
  timer.unref()
  return { first, close: () => clearInterval(timer) }
}

async function readPair({ certFile, keyFile }: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(certFile), readPem(keyFile)])
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new Error(`certificate file ${certFile} and key file ${keyFile} do not fit`, { cause })
  }
  return { cert, key }
}

async function readPem(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`certificate file ${file} cannot be read`, { cause })
  })
}

async function versionOf({ certFile, keyFile }: CertificateFiles): Promise<string> {
  const stats = await Promise.all([stat(certFile), stat(keyFile)])
  return stats.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join(' ')
}
