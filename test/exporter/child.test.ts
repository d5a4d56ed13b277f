import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Child, startChild } from '../../exporter/service/child.ts'
import { until } from '../support/command.ts'
import { freePort } from '../support/port.ts'

const mib = 1024 * 1024

/** A service that says a line of so many MiB whenever it is asked. */
const program = `
  require('node:http').createServer((request, response) => {
    const size = Number(request.url.slice(1))
    const words = size ? 'x'.repeat(size * ${mib}) : 'a word'
    process.stderr.write(words + '\\n', () => response.end())
  }).listen(process.argv[1], '127.0.0.1')`

describe('the log of a service that was started', () => {
  let directory: string
  let logFile: string
  let url: string
  let child: Child

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebridge-child-'))
    logFile = join(directory, 'service.log')
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    child = await startChild({
      name: 'service',
      command: process.execPath,
      args: ['-e', program, String(port)],
      env: {},
      logFile,
      readyUrl: `${url}/0`,
      signal: AbortSignal.timeout(60_000),
    })
  })

  after(async () => {
    await child.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const size = async (file: string) => (await stat(file).catch(() => undefined))?.size ?? 0

  it('is begun anew when it is long, with the one before beside it, and goes on', async () => {
    for (const say of [17, 18]) {
      await fetch(`${url}/${say}`)
      await until(async () => (await size(`${logFile}.1`)) > say * mib || undefined, 30)
      await until(async () => (await size(logFile)) < mib || undefined, 30)
    }
    assert.ok((await size(`${logFile}.1`)) < 20 * mib)
    await fetch(`${url}/0`)
    assert.equal(await readFile(logFile, 'utf8'), 'a word\n')
  })
})
