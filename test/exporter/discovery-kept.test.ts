import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { samplesOf, sampleValue, startTestExporter } from '../support/exporter.ts'
import { serveTls, type TlsServer } from '../support/tls-server.ts'

describe('the devices that HSM named last', () => {
  let directory: string
  let pdu: TlsServer

  before(async () => {
    pdu = await serveTls(({ path }) => ({
      status: 200,
      body: path.endsWith('/outlets') ? [{ id: 'AA1', active_power: 5 }] : [],
    }))
  })

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-kept-'))
  })

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  after(async () => {
    await pdu?.close()
  })

  async function exporting(hsmUrl: string) {
    return await startTestExporter({
      devices: [],
      settings: {
        credentials: [
          { username: 'root', password: { env: 'BMC_PASSWORD' }, insecureSkipVerify: true },
        ],
        stateDirectory: directory,
        discovery: {
          hsm: { url: hsmUrl, insecureSkipVerify: true, everySeconds: 0.1, timeoutSeconds: 1 },
        },
      },
    })
  }

  async function hsm(xnames: readonly string[]): Promise<TlsServer> {
    const FQDN = new URL(pdu.url).host
    const RedfishEndpoints = xnames.map((ID) => ({ ID, FQDN, Enabled: true }))
    return await serveTls(() => ({ status: 200, body: { RedfishEndpoints } }))
  }

  const shown = 'cray_pdu_outlet_power_watts'

  it('are polled at a start when it does not answer, until it does', async () => {
    const first = await hsm(['x3000m0'])
    const before = await exporting(first.url)
    await before.scrapeUntil((all) => samplesOf(all, shown, { bmc: 'x3000m0' }).length === 1)
    await before.close()
    await first.close()
    const after = await exporting(first.url)
    try {
      const all = await after.scrapeUntil((each) => samplesOf(each, shown).length === 1)
      assert.equal(samplesOf(all, shown)[0]?.labels['bmc'], 'x3000m0')
      const down = await after.scrapeUntil(
        (each) => samplesOf(each, 'joulebridge_discovery_up', { source: 'hsm' })[0]?.value === 0,
      )
      assert.equal(sampleValue(down, 'joulebridge_discovery_devices', { source: 'hsm' }), 1)
    } finally {
      await after.close()
    }
    const present = await hsm(['x3000m1'])
    const anew = await exporting(present.url)
    try {
      const all = await anew.scrapeUntil(
        (each) => samplesOf(each, shown, { bmc: 'x3000m1' }).length === 1,
      )
      assert.equal(samplesOf(all, shown).length, 1)
    } finally {
      await anew.close()
      await present.close()
    }
  })

  it('hold no secret, and a file of them that is broken costs nothing but them', async () => {
    const server = await hsm(['x3000m0'])
    const exporter = await exporting(server.url)
    await exporter.scrapeUntil((all) => samplesOf(all, shown).length === 1)
    await exporter.close()
    const [name = ''] = await readdir(directory)
    const text = await readFile(join(directory, name), 'utf8')
    assert.doesNotMatch(text, /initial0|password/)
    await writeFile(join(directory, name), text.slice(0, -9))
    const again = await exporting(server.url)
    try {
      await again.scrapeUntil((all) => samplesOf(all, shown).length === 1)
    } finally {
      await again.close()
      await server.close()
    }
  })
})
