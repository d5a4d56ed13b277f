import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { createClient } from '../../exporter/redfish/client.ts'
import { type Fleet, startFleet } from './exporter-fleet.ts'
import { median } from './figures.ts'

export const name = 'exporter-polls'
export const title = 'GETs of a sensor by our client, against a bare keep-alive loop, over TLS'

export const goals = [
  { key: 'polls_ratio_to_bare', least: 0.6, words: 'polls a second / bare keep-alive GETs' },
  { key: 'cpu_ratio_to_bare', least: 0.6, words: 'the same per second of CPU of the client' },
]

const rounds = 9
const gets = 3000
const inFlight = 8
const path = '/redfish/v1/Chassis/Enclosure/Sensors/Rectifier2OutputPower'

/** Gets `path` once, whatever it answers. */
type GetOnce = () => Promise<unknown>

/** Medians of interleaved rounds on the same device, whose process is not counted. */
export async function run(): Promise<Record<string, number>> {
  const fleet = await startFleet({ devices: 1 })
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-bench-'))
  try {
    const caFile = join(directory, 'ca.pem')
    await writeFile(caFile, fleet.certificate)
    return await measure(fleet, caFile)
  } finally {
    fleet.close()
    await rm(directory, { recursive: true, force: true })
  }
}

async function measure(fleet: Fleet, caFile: string): Promise<Record<string, number>> {
  const [device] = fleet.devices
  if (device === undefined) throw new Error('no device')
  const { username, password } = fleet.login
  const client = createClient({
    device,
    credential: {
      username,
      password: { env: 'PASSWORD' },
      login: 'basic',
      caFile,
      insecureSkipVerify: false,
    },
    env: { PASSWORD: password },
    timeoutSeconds: 10,
    limit: pLimit(64),
  })
  client.allow(inFlight)
  const agent = new Agent({ keepAlive: true, ca: fleet.certificate })
  const authorization = `Basic ${btoa(`${username}:${password}`)}`
  const results: { ours: Speed; bare: Speed }[] = []
  for (let round = -2; round < rounds; round++) {
    const ours = await speedOf(() => client.get(path))
    const bare = await speedOf(() => bareGet(device.url + path, agent, authorization))
    if (round >= 0) results.push({ ours, bare })
  }
  agent.destroy()
  await client.close()
  const middle = (figure: (round: { ours: Speed; bare: Speed }) => number) =>
    median(results.map(figure))
  return {
    polls_ratio_to_bare: middle(({ ours, bare }) => ours.perSecond / bare.perSecond),
    cpu_ratio_to_bare: middle(({ ours, bare }) => bare.cpuMicroseconds / ours.cpuMicroseconds),
    polls_per_second: middle(({ ours }) => ours.perSecond),
    bare_gets_per_second: middle(({ bare }) => bare.perSecond),
    cpu_microseconds_per_poll: middle(({ ours }) => ours.cpuMicroseconds),
    cpu_microseconds_per_bare_get: middle(({ bare }) => bare.cpuMicroseconds),
  }
}

interface Speed {
  perSecond: number
  cpuMicroseconds: number
}

async function speedOf(get: GetOnce): Promise<Speed> {
  const began = performance.now()
  const before = process.cpuUsage()
  let left = gets
  const loop = async () => {
    while (left-- > 0) await get()
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  const { user, system } = process.cpuUsage(before)
  return {
    perSecond: (gets / (performance.now() - began)) * 1000,
    cpuMicroseconds: (user + system) / gets,
  }
}

/** A ceiling: what Node's own client takes to read an answer's text over kept connections. */
function bareGet(url: string, agent: Agent, authorization: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { authorization } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve(text)).on('error', reject)
    })
      .on('error', reject)
      .end()
  })
}
