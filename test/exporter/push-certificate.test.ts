import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { generate } from 'selfsigned'
import { until } from '../support/command.ts'
import { startTestExporter } from '../support/exporter.ts'
import { pushSetup } from '../support/push.ts'

describe('the certificate of the listener for events', () => {
  let directory: string
  const file = (name: string) => join(directory, name)
  const tls = () => ({ certFile: file('cert.pem'), keyFile: file('key.pem') })

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-push-'))
  })

  after(async () => await rm(directory, { recursive: true, force: true }))

  it('is read again when its files change, once both fit', async () => {
    const [old, next] = [await pairOf('old'), await pairOf('new')]
    await writeFile(file('cert.pem'), old.cert)
    await writeFile(file('key.pem'), old.private)
    const { push, env } = await pushSetup({ tls: tls() })
    const exporter = await startTestExporter({ devices: [], env, settings: { push } })
    const shown = () => subjectOf(Number(new URL(push.advertisedUrl).port))
    assert.equal(await shown(), 'old')
    await writeFile(file('cert.pem'), next.cert)
    assert.equal(await shown(), 'old')
    await writeFile(file('key.pem'), next.private)
    await until(async () => ((await shown()) === 'new' ? true : undefined), 10)
    await writeFile(file('cert.pem'), 'no certificate')
    assert.equal(await shown(), 'new')
    await exporter.close()
  })

  it('must be there at the start, and fit its key', async () => {
    const [one, other] = [await pairOf('one'), await pairOf('other')]
    await writeFile(file('cert.pem'), one.cert)
    await writeFile(file('key.pem'), other.private)
    const { push, env } = await pushSetup({ tls: tls() })
    const start = () => startTestExporter({ devices: [], env, settings: { push } })
    await assert.rejects(start(), /cert\.pem and key file \S+key\.pem do not fit/)
    await rm(file('key.pem'))
    await assert.rejects(start(), /key\.pem cannot be read/)
  })
})

async function pairOf(name: string) {
  return await generate([{ name: 'commonName', value: name }], { keyType: 'ec' })
}

/** Who the listener says that it is. */
async function subjectOf(port: number): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const name = socket.getPeerCertificate().subject.CN
  socket.destroy()
  return Array.isArray(name) ? name[0] : name
}
