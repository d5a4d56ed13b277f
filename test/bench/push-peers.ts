import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, type RequestListener, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import pLimit from 'p-limit'
import { telemetry, token } from '../support/push.ts'
import { decodeBody } from '../support/write-request.ts'

/** Whom the exporter has to do with, and a server that only parses, in processes of their own. */
export interface Peer {
  pid: number
  /** Of a server; empty of one that only sends. */
  url: string
  ask(order: Order): Promise<number>
  close(): void
}

export interface Shape {
  controllers: number
  sensorsEach: number
  samplesPerSensor: number
  /** Of each controller, which its sensors are spread over. */
  bodies: number
  secret: string
}

/** count: the samples that came; make: bodies of now; send: post them, answers milliseconds. */
type Order = { count: true } | { make: Shape } | { send: string }
type Role = 'devices' | 'receiver' | 'parser' | 'sender'

export async function startPeer(role: Role): Promise<Peer> {
  const child = fork(fileURLToPath(import.meta.url), [role], { execArgv: ['--import=tsx'] })
  const [url] = (await once(child, 'message')) as [string]
  return {
    pid: child.pid ?? 0,
    url,
    ask: (order) => ask(child, order),
    close: () => {
      if (child.connected) child.disconnect()
    },
  }
}

async function ask(child: ChildProcess, order: Order): Promise<number> {
  const answer = once(child, 'message')
  child.send(order)
  const [found] = (await answer) as [number | { error: string }]
  if (typeof found === 'object') throw new Error(found.error)
  return found
}

/** 128 controllers a cabinet. */
export function xnameOf(i: number): string {
  const [cabinet, chassis] = [1000 + Math.floor(i / 128), Math.floor((i % 128) / 16)]
  return `x${cabinet}c${chassis}s${Math.floor((i % 16) / 2)}b${i % 2}`
}

/** A controller's address: all are one server, but none shares its connections with another. */
export function addressOf(i: number): string {
  return `127.1.${i >> 8}.${i & 255}`
}

/** Of a node: what an event says of a sensor, by the sensor's Id. */
const nodeSensors = new Map(
  [
    { ParentalContext: 'Chassis', PhysicalContext: 'VoltageRegulator', Index: 0, side: 'Input' },
    { ParentalContext: 'Chassis', PhysicalContext: 'CPUSubsystem', Index: 0, side: 'Output' },
    { ParentalContext: 'Chassis', PhysicalContext: 'MemorySubsystem', Index: 0, side: 'Output' },
    { ParentalContext: 'CPU', PhysicalContext: 'VoltageRegulator', Index: 1, side: 'Input' },
  ].flatMap(({ side, ...place }) =>
    (['Power', 'Energy'] as const).map((type) => {
      const { ParentalContext, PhysicalContext, Index } = place
      const id = `${ParentalContext}${PhysicalContext}${Index}${side}${type}`
      return [id, { type, place: { ...place, PhysicalSubContext: side } }] as const
    }),
  ),
)

const link = (path: string) => ({ '@odata.id': path })
const chassisPath = '/redfish/v1/Chassis'

function resourceAt(path: string): object | undefined {
  const [, chassis, sensor] =
    /^\/redfish\/v1\/Chassis\/(\w+)(?:\/Sensors\/(\w+))?$/.exec(path) ?? []
  if (path === chassisPath) {
    return { Members: ['Node0', 'Node1', 'Enclosure'].map((id) => link(`${chassisPath}/${id}`)) }
  }
  if (path === '/redfish/v1/EventService/Subscriptions') return { Members: [] }
  if (/\/Node\d\/Sensors$/.test(path)) {
    return { Members: [...nodeSensors.keys()].map((id) => link(`${path}/${id}`)) }
  }
  if (sensor !== undefined) return sensorAt(sensor)
  if (chassis === 'Enclosure') return { Id: chassis, Model: 'WNC' }
  return chassis === undefined ? undefined : { Id: chassis, Sensors: link(`${path}/Sensors`) }
}

function sensorAt(id: string): object | undefined {
  const known = nodeSensors.get(id)
  if (known === undefined) return undefined
  const { ParentalContext, Index, ...place } = known.place
  return {
    ...place,
    Id: id,
    Name: 'Bench',
    Oem: { Index, ParentalContext },
    Reading: 1,
    ReadingTime: '2020-01-01T00:00:00Z',
    ReadingType: known.type === 'Power' ? 'Power' : 'EnergyJoules',
    ReadingUnits: known.type === 'Power' ? 'W' : 'J',
  }
}

interface Body {
  path: string
  text: string
}

function makeBodies({ controllers, sensorsEach, samplesPerSensor, bodies, secret }: Shape): Body[] {
  const sensors = ['n0', 'n1']
    .flatMap((node) => [...nodeSensors.values()].map((sensor) => ({ ...sensor, node })))
    .slice(0, sensorsEach)
  const end = Date.now()
  return Array.from({ length: controllers }, (_, i) => xnameOf(i)).flatMap((xname) => {
    const path = `/${token(xname, secret)}/${xname}`
    return ['Power', 'Energy'].slice(0, bodies).map((type) => {
      const samples = sensors
        .filter((sensor) => sensor.type === type)
        .flatMap(({ place, node }) =>
          Array.from({ length: samplesPerSensor }, (_, nth) => ({
            Timestamp: `${new Date(end - nth * 1000).toISOString().slice(0, -1)}028Z`,
            Location: xname + node,
            ...place,
            Value: (300 + 200 * Math.random()).toFixed(3),
          })),
        )
      const context = `joulebridge/${xname}/${token(xname, secret)}`
      return {
        path,
        text: JSON.stringify({ Context: context, Events: [telemetry(type, samples)] }),
      }
    })
  })
}

/** All bodies, those of a controller one after the other. */
async function send(bodies: readonly Body[], url: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const limit = pLimit(64)
  const byPath = new Map<string, Body[]>()
  for (const body of bodies) byPath.set(body.path, [...(byPath.get(body.path) ?? []), body])
  const began = performance.now()
  const all = [...byPath.values()].map((own) =>
    limit(async () => {
      for (const { path, text } of own) await postTo(url + path, text, agent)
    }),
  )
  await Promise.all(all)
  agent.destroy()
  return performance.now() - began
}

async function postTo(url: string, text: string, agent: Agent): Promise<void> {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
  const sending = request(url, { method: 'POST', agent, headers })
  sending.end(text)
  const [response] = (await once(sending, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  if (response.statusCode !== 204) throw new Error(`${url}: HTTP ${response.statusCode}`)
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const counts = { samples: 0 }

const listeners: Record<Exclude<Role, 'sender'>, RequestListener> = {
  devices: async (incoming, response) => {
    await bodyOf(incoming)
    const made = incoming.method === 'POST'
    const body = made ? {} : resourceAt((incoming.url ?? '').replace(/\/+$/, ''))
    response.writeHead(body === undefined ? 404 : made ? 201 : 200)
    response.end(JSON.stringify(body ?? {}))
  },
  receiver: async (incoming, response) => {
    for (const { labels, samples } of await decodeBody(await bodyOf(incoming))) {
      if (labels.some(([name]) => name === 'sensor' || name === 'domain') || isNode(labels)) {
        counts.samples += samples.length
      }
    }
    response.writeHead(204).end()
  },
  parser: async (incoming, response) => {
    JSON.parse((await bodyOf(incoming)).toString('utf8'))
    counts.samples++
    response.writeHead(204).end()
  },
}

function isNode(labels: readonly (readonly [string, string])[]): boolean {
  return labels.some(([name, value]) => name === '__name__' && value.startsWith('cray_node_'))
}

async function serve(role: Role): Promise<void> {
  let url = ''
  if (role !== 'sender') {
    const server = createServer(listeners[role]).listen(0, '0.0.0.0')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    process.on('disconnect', () => process.exit())
  }
  let made: Body[] = []
  process.on('message', async (order: Order) => {
    const answer = async () => {
      if ('count' in order) return counts.samples
      if ('send' in order) return await send(made, order.send)
      made = makeBodies(order.make)
      return made.length
    }
    process.send?.(await answer().catch((error: unknown) => ({ error: String(error) })))
  })
  process.send?.(url)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(process.argv[2] as Role)
