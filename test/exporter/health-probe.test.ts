import assert from 'node:assert/strict'
import { SharedRuns } from '../../exporter/polling/shared.ts'
import { until } from '../support/command.ts'
import { answer, serveDevice } from '../support/device.ts'
import { samplesOf, startTestExporter } from '../support/exporter.ts'

describe('a probe', () => {
  it('asks the device no more when its client has left', async () => {
    let holding = false
    let held = 0
    let closed = 0
    const server = await serveDevice((_request, response) => {
      if (!holding) return answer(response, 200, [])
      held++
      response.once('close', () => closed++)
    })
    const devices = [{ xname: 'x3000m0', server }]
    const exporter = await startTestExporter({
      devices,
      poll: { fastSeconds: 600, timeoutSeconds: 60 },
    })
    const slow = { round: 'slow' }
    await exporter.scrapeUntil(
      (all) => samplesOf(all, 'cray_device_round_requests', slow).length === 1,
    )
    holding = true
    const client = new AbortController()
    const url = `${exporter.url}/probe?target=x3000m0`
    const text = fetch(url, { signal: client.signal }).catch(() => 'left')
    await until(() => held === 1 || undefined, 20)
    const before = server.requests.length
    client.abort()
    await until(() => closed === 1 || undefined, 20)
    assert.equal(await text, 'left')
    await Promise.all([exporter.close(), server.close()])
    assert.equal(server.requests.length, before)
  }).timeout(30_000)
})

describe('work that several ask for at once', () => {
  it('is done once, and goes on when one of them leaves', async () => {
    const { runs, work, started } = countedWork()
    const [first, second] = [new AbortController(), new AbortController()]
    const results = [runs.run('a', first.signal, work), runs.run('a', second.signal, work)]
    await until(() => started.length === 1 || undefined, 5)
    first.abort()
    assert.equal(started[0]?.givenUp.aborted, false)
    started[0]?.finish('done')
    assert.deepEqual(await Promise.all(results), ['done', 'done'])
    assert.equal(started.length, 1)
  })

  it('is given up when all have left, and begun anew for one who comes then', async () => {
    const { runs, work, started } = countedWork()
    const left = [new AbortController(), new AbortController()]
    const results = left.map(({ signal }) => runs.run('a', signal, work))
    await until(() => started.length === 1 || undefined, 5)
    for (const each of left) each.abort()
    assert.equal(started[0]?.givenUp.aborted, true)
    const late = runs.run('a', new AbortController().signal, work)
    started[0]?.finish('given up')
    await until(() => started.length === 2 || undefined, 5)
    started[1]?.finish('done')
    assert.equal(await late, 'done')
    assert.deepEqual(await Promise.all(results), ['given up', 'given up'])
  })

  it('is given up at once when who asks has already left', async () => {
    const { runs, work, started } = countedWork()
    const result = runs.run('a', AbortSignal.abort(), work)
    await until(() => started.length === 1 || undefined, 5)
    assert.equal(started[0]?.givenUp.aborted, true)
    started[0]?.finish('given up')
    assert.equal(await result, 'given up')
  })
})

interface Started {
  givenUp: AbortSignal
  finish: (result: string) => void
}

function countedWork() {
  const started: Started[] = []
  const work = (givenUp: AbortSignal) =>
    new Promise<string>((finish) => started.push({ givenUp, finish }))
  return { runs: new SharedRuns<string>(), work, started }
}
