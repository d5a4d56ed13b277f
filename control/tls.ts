import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotListen, parseAddress, type Service } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import type { ControlSettings } from './settings.ts'

type TlsSettings = NonNullable<ControlSettings['tls']>

/**
 * Listens with TLS. A client may show a certificate; whether it counts is decided with each
 * request. Renewed files are taken without a restart.
 * @throws {Error} naming the address or the file.
 */
export async function listenTls(
  listener: RequestListener,
  settings: TlsSettings,
  log: Logger,
): Promise<Service> {
  const { host, port } = parseAddress(settings.listenAddress)
  const options = { ...(await readFiles(settings)), requestCert: true, rejectUnauthorized: false }
  const server = createServer({ ...options, minVersion: 'TLSv1.2' }, listener)
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    throw cannotListen(settings.listenAddress, cause)
  }
  const watching = new AbortController()
  const { signal } = watching
  void follow(settings, { take: (files) => server.setSecureContext(files), signal, log })
  const { address, family, port: bound } = server.address() as AddressInfo
  return {
    url: `https://${family === 'IPv6' ? `[${address}]` : address}:${bound}`,
    async close() {
      watching.abort()
      server.close()
      server.closeIdleConnections()
      const force = setTimeout(() => server.closeAllConnections(), 2000)
      await once(server, 'close')
      clearTimeout(force)
    },
  }
}

async function readFiles({ certFile, keyFile, clientCaFile }: TlsSettings) {
  const read = async (file: string) =>
    await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new Error(`control.tls: ${file} cannot be read`, { cause })
    })
  const [cert, key] = await Promise.all([read(certFile), read(keyFile)])
  return { cert, key, ...(clientCaFile !== undefined && { ca: await read(clientCaFile) }) }
}

interface Following {
  take(files: Files): void
  signal: AbortSignal
  log: Logger
}

type Files = Awaited<ReturnType<typeof readFiles>>

/** Looks again and again: files are replaced in many ways. Half-written ones are passed by. */
async function follow(settings: TlsSettings, { take, signal, log }: Following): Promise<void> {
  let known = await readFiles(settings).catch(() => undefined)
  let fault = ''
  while (!signal.aborted) {
    await sleep(settings.reloadSeconds * 1000, undefined, { signal }).catch(() => {})
    try {
      const files = await readFiles(settings)
      if (signal.aborted || JSON.stringify(files) === JSON.stringify(known)) continue
      take(files)
      known = files
      log.info({ file: settings.certFile }, 'certificate taken')
      fault = ''
    } catch (error) {
      if (String(error) !== fault) log.warn({ error }, 'certificate not taken')
      fault = String(error)
    }
  }
}
