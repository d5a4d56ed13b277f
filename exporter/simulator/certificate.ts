import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { replaceFile } from '../service/directory.ts'

export interface Certificate {
  /** PEM. */
  key: string
  cert: string
  /** The file with `cert`, for clients to trust. */
  caFile: string
}

const years = 10

/** The devices' certificate for 127.0.0.1 and localhost, made at the first start and kept. */
export async function keptCertificate(directory: string, now: Date): Promise<Certificate> {
  await mkdir(directory, { recursive: true })
  const caFile = join(directory, 'simulator-ca.pem')
  const keyFile = join(directory, 'simulator-key.pem')
  const [cert, key] = await Promise.all([caFile, keyFile].map(readIfAny))
  if (cert && key) return { key, cert, caFile }
  const fresh = await generate([{ name: 'commonName', value: 'Joulebridge simulator' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(now.getTime() - 24 * 3600 * 1000),
    notAfterDate: new Date(now.getTime() + years * 365 * 24 * 3600 * 1000),
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  })
  await replaceFile(keyFile, fresh.private)
  await replaceFile(caFile, fresh.cert)
  return { key: fresh.private, cert: fresh.cert, caFile }
}

async function readIfAny(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new Error(`${file}: cannot be read`, { cause: error })
  })
}
