import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { startControl } from '../../control/main.ts'
import { controlSection } from '../../control/settings.ts'
import { createLog } from '../../exporter/service/log.ts'
import { startChromium } from '../support/chromium.ts'
import { controlSettings } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'

const ec = { keyType: 'ec', algorithm: 'sha256' } as const

describe('the page of power control with TLS', () => {
  it('knows a user by the certificate, and asks others for a token', async function signIn() {
    this.timeout(60_000)
    const browser = await startChromium(this)
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-page-tls-'))
    const file = async (name: string, text: string) => {
      await writeFile(join(directory, name), text)
      return join(directory, name)
    }
    const name = (commonName: string) => [{ name: 'commonName', value: commonName }]
    const altNames = [{ type: 7 as const, ip: '127.0.0.1' }]
    const extensions = [{ name: 'subjectAltName' as const, altNames }]
    const server = await generate(name('127.0.0.1'), { ...ec, extensions })
    const authority = await generate(name('site'), {
      ...ec,
      extensions: [
        { name: 'basicConstraints', cA: true },
        { name: 'keyUsage', keyCertSign: true },
      ],
    })
    const ca = { key: authority.private, cert: authority.cert }
    const user = await generate(name('operator'), { ...ec, ca })
    const { tls, users } = controlSection.parse({
      tls: {
        listenAddress: '127.0.0.1:0',
        certFile: await file('cert.pem', server.cert),
        keyFile: await file('key.pem', server.private),
        clientCaFile: await file('ca.pem', authority.cert),
      },
      users: [{ name: 'ops', certificate: 'operator', rights: ['read'] }],
    })
    const databaseUrl = (await cloneDatabase()).url
    const given = { databaseUrl, devices: [], settings: { tls, users } }
    const { settings, env, remove } = await controlSettings(given)
    const control = await startControl(settings, { log: createLog('control', settings.log), env })
    try {
      const origin = String(control.tlsUrl)
      const shown = { origin, cert: Buffer.from(user.cert), key: Buffer.from(user.private) }
      const open = async (clientCertificates: (typeof shown)[]) => {
        const page = await browser.newPage({ ignoreHTTPSErrors: true, clientCertificates })
        await page.goto(origin)
        return page
      }
      const known = await open([shown])
      await known.getByText('known by the certificate that your browser shows').waitFor()
      await known.getByText('None yet.').waitFor()
      assert.equal(await known.getByLabel('Your token').count(), 0)
      const stranger = await open([])
      await stranger.getByLabel('Your token').waitFor()
    } finally {
      await browser.close()
      await control.close()
      await remove()
      await rm(directory, { recursive: true })
    }
  })
})
