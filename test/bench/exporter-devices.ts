import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttps, type Server } from 'node:https'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { generate } from 'selfsigned'
import { createDevices } from '../../exporter/simulator/devices/devices.ts'
import { createPlant } from '../../exporter/simulator/physics.ts'
import { redfishError, type SimulatedDevice } from '../../exporter/simulator/resources.ts'
import { Timeline } from '../../exporter/simulator/timeline.ts'
import { controllerOf737 } from './exporter-controller-device.ts'
import {
  type Answer,
  type Fault,
  type FleetDevice,
  fleetLogin,
  type Order,
} from './exporter-fleet.ts'

interface Served {
  xname: string
  like: Template
  fault: Fault | undefined
  /** Connections to it, to be cut when it restarts. */
  sockets: Set<Socket>
  /** The answer before, where one at a time is given. */
  last: Promise<unknown>
}

/** One simulated device that many look like: its answers are made once a second. */
export class Template {
  readonly device: SimulatedDevice
  readonly #texts = new Map<string, { second: number; text: string }>()

  constructor(device: SimulatedDevice) {
    this.device = device
  }

  text(path: string, second: number): string | undefined {
    const known = this.#texts.get(path)
    if (known?.second === second) return known.text
    const read = this.device.resources.get(path)
    if (read === undefined) return undefined
    const text = JSON.stringify(read(second))
    this.#texts.set(path, { second, text })
    return text
  }
}

const authorization = `Basic ${btoa(`${fleetLogin.username}:${fleetLogin.password}`)}`

/**
 * All ports lead into one HTTPS server, whose session tickets thus hold for all: a device is told
 * by the port that the connection came in at.
 */
class Devices {
  requests = 0
  #served: Served[] = []
  readonly #byPort = new Map<number, Served>()
  readonly #gapSeconds: number
  #asOf = () => 0

  constructor({ gapSeconds }: { gapSeconds: number }) {
    this.#gapSeconds = gapSeconds
  }

  async start(number: number): Promise<Answer> {
    const good = await httpsServer(new Date(Date.now() + 86_400_000), this.#listener)
    const expired = await httpsServer(new Date(Date.now() - 86_400_000), this.#listener)
    const { templates, asOf } = this.#gapSeconds > 0 ? controller() : world()
    this.#asOf = asOf
    this.#served = Array.from({ length: number }, (_, index) => {
      const like = templates[index % templates.length]
      if (like === undefined) throw new Error('no device to look like')
      const xname = placeOf(like.device.xname, Math.floor(index / templates.length))
      return { xname, like, fault: undefined, sockets: new Set(), last: Promise.resolve() }
    })
    const devices: FleetDevice[] = []
    for (const served of this.#served) {
      const url = await this.#listen(served, { good: good.server, expired: expired.server })
      devices.push({ xname: served.xname, url })
    }
    return { devices, certificate: good.certificate }
  }

  setFaults(changes: readonly { index: number; fault?: Fault | undefined }[]): void {
    for (const { index, fault } of changes) {
      const served = this.#served[index]
      if (served === undefined) continue
      served.fault = fault
      if (fault === 'restart' || fault === 'certificate') {
        for (const socket of served.sockets) socket.destroy()
      }
    }
  }

  async #listen(served: Served, https: { good: Server; expired: Server }): Promise<string> {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      if (served.fault === 'restart') {
        socket.destroy()
        return
      }
      served.sockets.add(socket)
      socket.once('close', () => served.sockets.delete(socket))
      const to = served.fault === 'certificate' ? https.expired : https.good
      to.emit('connection', socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    this.#byPort.set(port, served)
    return `https://127.0.0.1:${port}`
  }

  readonly #listener = (request: IncomingMessage, response: ServerResponse): void => {
    this.requests++
    const served = this.#byPort.get(request.socket.localPort ?? 0)
    if (served === undefined) response.destroy()
    else if (this.#gapSeconds === 0) this.#answer(served, request, response)
    else {
      served.last = served.last.then(async () => {
        await delay(this.#gapSeconds * 1000)
        this.#answer(served, request, response)
      })
    }
  }

  #answer(served: Served, request: IncomingMessage, response: ServerResponse): void {
    const { like, fault } = served
    for (const [name, value] of Object.entries(like.device.headers)) response.setHeader(name, value)
    if (like.device.kind !== 'jaws') response.setHeader('OData-Version', '4.0')
    const path = (request.url ?? '/').replace(/\/+$/, '')
    const known = request.headers.authorization === authorization
    const text = known ? like.text(path, Math.floor(this.#asOf())) : undefined
    if (fault !== undefined) spoil(fault, text ?? '{}', response)
    else if (!known) send(response, 401, '{}')
    else if (text !== undefined) send(response, 200, text)
    else send(response, 404, JSON.stringify(redfishError('ResourceMissingAtURI', path, [path])))
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  const length = Buffer.byteLength(text)
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': length })
  response.end(text)
}

/** Answers as a broken device does; one that hangs or drips is left to the client's deadline. */
function spoil(fault: Fault, text: string, response: ServerResponse): void {
  switch (fault) {
    case 'hang':
      return
    case 'reset':
    case 'restart':
      response.socket?.destroy()
      return
    case 'error':
      response.writeHead(500, { 'Content-Type': 'text/html' }).end('<h1>stack trace</h1>')
      return
    case 'truncated':
      response.end(text.slice(0, text.length / 2))
      return
    case 'drip':
      response.write(text.slice(0, 1))
      return
    case 'flood':
      flood(response)
      return
    case 'redirect':
      response.writeHead(302, { Location: 'https://127.0.0.1:9/' }).end()
      return
    case 'unauthorized':
      send(response, 401, '{}')
      return
    case 'certificate':
      send(response, 200, text)
  }
}

/** 32 MB of blanks, as fast as they are taken. */
function flood(response: ServerResponse): void {
  const part = Buffer.alloc(64 * 1024, ' ')
  let left = 512
  const more = () => {
    while (left > 0 && !response.destroyed) {
      left--
      if (!response.write(part)) {
        response.once('drain', more)
        return
      }
    }
    response.end()
  }
  more()
}

async function httpsServer(
  expiresAt: Date,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ server: Server; certificate: string }> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    notBeforeDate: new Date('2020-01-01T00:00:00Z'),
    notAfterDate: expiresAt,
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  const server = createHttps({ key, cert, keepAliveTimeout: 120_000 }, listener)
  return { server, certificate: cert }
}

/** The simulated system's 15 devices, with jobs that run, on the machine's clock. */
export function world(): { templates: Template[]; asOf: () => number } {
  const epoch = Math.floor(Date.now() / 1000) - 3600
  const workloads: [{ at: number; seed: number; jobsPerHour: number }] = [
    { at: epoch, seed: 1, jobsPerHour: 40 },
  ]
  const timeline = new Timeline({ epoch, workloads, actions: [] })
  const asOf = () => {
    const at = Date.now() / 1000
    timeline.advance(at)
    return at
  }
  asOf()
  const devices = createDevices(createPlant(timeline, 1))
  return { templates: devices.map((device) => new Template(device)), asOf }
}

function controller(): { templates: Template[]; asOf: () => number } {
  return { templates: [new Template(controllerOf737())], asOf: () => Date.now() / 1000 }
}

/** The same place in the n-th chassis of eight a cabinet, or the n-th rack. */
export function placeOf(xname: string, copy: number): string {
  if (xname.startsWith('x3000')) return xname.replace('x3000', `x${3000 + copy}`)
  return xname.replace('x1000c0', `x${1000 + Math.floor(copy / 8)}c${copy % 8}`)
}

function serve(): void {
  let devices: Devices | undefined
  const obey = async (order: Order): Promise<Answer> => {
    if ('start' in order) {
      devices = new Devices({ gapSeconds: order.start.controllerSeconds ?? 0 })
      return await devices.start(order.start.devices)
    }
    if ('faults' in order) devices?.setFaults(order.faults)
    return { requests: devices?.requests ?? 0 }
  }
  process.on('message', async (order: Order) => {
    process.send?.(await obey(order).catch((error: unknown) => ({ error: String(error) })))
  })
  process.once('disconnect', () => process.exit())
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve()
