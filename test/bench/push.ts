import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from '../../exporter/service/child.ts'
import { freePort } from '../support/port.ts'
import { cpuSeconds, residentMegabytes } from './processes.ts'
import { addressOf, type Peer, startPeer, xnameOf } from './push-peers.ts'

export const name = 'push'
export const title = 'events of 500 controllers into the exporter and on, against bare JSON.parse'

export const goals = [
  { key: 'lost_samples', most: 0, words: 'pushed samples that do not come out by remote write' },
  { key: 'ratio_to_parse', least: 0.1, words: 'CPU of HTTP and JSON.parse / of the exporter' },
]

const controllers = 500
/** Of each controller: two nodes with eight sensors of power and energy. */
const sensorsEach = 16
const samplesPerSensor = 5
const bodies = 2
const rounds = 8
const secret = 'of the bench'
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * Each round, every controller posts five seconds of its sensors in two bodies over a connection
 * that it keeps: to the exporter in a process of its own, which forwards to a receiver that counts,
 * and then to a server that parses them and does nothing else.
 */
export async function run(): Promise<Record<string, number>> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-push-'))
  const devices = await startPeer('devices')
  const receiver = await startPeer('receiver')
  const parser = await startPeer('parser')
  const sender = await startPeer('sender')
  const peers = [devices, receiver, parser, sender]
  try {
    const exporter = await startExporter(directory, devices, receiver)
    try {
      return await measure({ ...exporter, devices, receiver, parser, sender })
    } finally {
      await exporter.stop()
    }
  } finally {
    for (const peer of peers) peer.close()
    await rm(directory, { recursive: true, force: true })
  }
}

interface Bed {
  pid: number
  url: string
  pushUrl: string
  devices: Peer
  receiver: Peer
  parser: Peer
  sender: Peer
}

async function measure(bed: Bed): Promise<Record<string, number>> {
  const { pid, url, pushUrl, receiver, parser, sender } = bed
  await known(url)
  const perRound = controllers * sensorsEach * samplesPerSensor
  const total = { own: 0, parse: 0, seconds: 0 }
  const before = await receiver.ask({ count: true })
  for (let round = 0; round < rounds + 1; round++) {
    await sender.ask({ make: { controllers, sensorsEach, samplesPerSensor, bodies, secret } })
    const cpu = await cpuSeconds(pid)
    const sent = await sender.ask({ send: pushUrl })
    await forwarded(receiver, before + (round + 1) * perRound)
    const used = (await cpuSeconds(pid)) - cpu
    const parserCpu = await cpuSeconds(parser.pid)
    await sender.ask({ send: parser.url })
    const parsed = (await cpuSeconds(parser.pid)) - parserCpu
    if (round === 0) continue
    total.own += used
    total.parse += parsed
    total.seconds += sent / 1000
  }
  const lost = before + (rounds + 1) * perRound - (await receiver.ask({ count: true }))
  return {
    lost_samples: lost,
    ratio_to_parse: total.parse / total.own,
    cpu_seconds_per_million: (total.own / (rounds * perRound)) * 1e6,
    parse_cpu_seconds_per_million: (total.parse / (rounds * perRound)) * 1e6,
    samples_per_second: (rounds * perRound) / total.seconds,
    resident_megabytes: await residentMegabytes(pid),
  }
}

/** Until all sensors have been polled once: their names stand only there. */
async function known(url: string): Promise<void> {
  await until(async () => {
    const text = await (await fetch(`${url}/metrics`)).text()
    const found = text.match(/^cray_(?:node|domain|sensor)_(?:power|energy)/gm)?.length ?? 0
    return found >= controllers * sensorsEach
  }, 60)
}

async function forwarded(receiver: Peer, samples: number): Promise<void> {
  await until(async () => (await receiver.ask({ count: true })) >= samples, 30).catch(() => {})
}

async function until(condition: () => Promise<boolean>, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`nothing after ${seconds} s`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function startExporter(directory: string, devices: Peer, receiver: Peer) {
  const [port, pushPort] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${port}`
  const pushUrl = `http://127.0.0.1:${pushPort}`
  const settings = {
    log: { level: 'warn' },
    devices: Array.from({ length: controllers }, (_, i) => ({
      xname: xnameOf(i),
      url: `http://${addressOf(i)}:${new URL(devices.url).port}`,
      kind: 'cray-controller',
    })),
    exporter: {
      web: { listen_address: `127.0.0.1:${port}` },
      // What is pushed is not polled: only the first round asks for sensors.
      poll: { fast_seconds: 5, slow_seconds: 3600 },
      push: {
        listen_address: `127.0.0.1:${pushPort}`,
        advertised_url: pushUrl,
        interval_seconds: 60,
        secret: { env: 'PUSH_SECRET' },
      },
      forward: { url: receiver.url, interval_seconds: 3600 },
    },
  }
  const file = join(directory, 'settings.json')
  await writeFile(file, JSON.stringify(settings))
  const logFile = join(directory, 'log')
  const child = await startChild({
    name: 'exporter',
    command: process.execPath,
    args: ['--import', 'tsx', join(root, 'joulebridge.ts'), 'exporter', '--config.file', file],
    env: { ...process.env, PUSH_SECRET: secret },
    logFile,
    readyUrl: `${url}/-/healthy`,
    signal: new AbortController().signal,
  })
  const pid = Number(await readFile(`${logFile}.pid`, 'utf8'))
  return { pid, url, pushUrl, stop: () => child.stop() }
}
