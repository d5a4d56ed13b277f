import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { compareXnames } from '../../exporter/inventory/xname.ts'

/** A reset that a BMC got: its number among all that came, which node, and what was there. */
export interface FleetReset {
  bmc: number
  resetType: string
  /** The state when it came. */
  stateBefore: string
}

/** Many BMCs of one node each, over plain HTTP on loopback, in a process of their own. */
export interface Fleet {
  devices: { xname: string; url: string }[]
  nodes: string[]
  /** All resets so far, in the order in which they came. */
  resets(): Promise<FleetReset[]>
  close(): Promise<void>
}

export interface FleetOptions {
  bmcs: number
  /** From a reset to its answer, when the node is in the new state. */
  seconds: number
  powerState: 'On' | 'Off'
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const file = fileURLToPath(import.meta.url)
  const child = fork(file, [], {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, FLEET: JSON.stringify(options) },
  })
  const [ports] = await once(child, 'message')
  const devices = (ports as number[]).map((port, bmc) => ({
    xname: bmcXname(bmc),
    url: `http://127.0.0.1:${port}`,
  }))
  return {
    devices,
    nodes: devices.map(({ xname }) => `${xname}n0`).sort(compareXnames),
    async resets() {
      child.send('resets')
      const [resets] = await once(child, 'message')
      return resets as FleetReset[]
    },
    async close() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

/** Eight chassis of eight blades a cabinet. */
export function bmcXname(bmc: number): string {
  const [cabinet, rest] = [Math.floor(bmc / 64), bmc % 64]
  return `x${1000 + cabinet}c${Math.floor(rest / 8)}s${rest % 8}b0`
}

const system = '/redfish/v1/Systems/Node0'
const target = `${system}/Actions/ComputerSystem.Reset`

async function serve({ bmcs, seconds, powerState }: FleetOptions): Promise<void> {
  const resets: FleetReset[] = []
  const states = Array.from({ length: bmcs }, () => powerState as string)
  const answer = async (bmc: number, request: IncomingMessage, response: ServerResponse) => {
    if (request.method === 'POST') {
      const { ResetType } = JSON.parse(await text(request))
      resets.push({ bmc, resetType: ResetType, stateBefore: states[bmc] ?? '' })
      states[bmc] = ResetType === 'On' ? 'PoweringOn' : 'PoweringOff'
      await sleep(seconds * 1000)
      states[bmc] = ResetType === 'On' ? 'On' : 'Off'
      response.writeHead(204).end()
    } else {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(bodyOf(request.url ?? '', states[bmc] ?? '')))
    }
  }
  const ports: number[] = []
  for (let bmc = 0; bmc < bmcs; bmc++) {
    const server = createServer((request, response) => void answer(bmc, request, response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    ports.push((server.address() as AddressInfo).port)
  }
  process.send?.(ports)
  process.on('message', () => process.send?.(resets))
  process.on('disconnect', () => process.exit())
}

function bodyOf(path: string, powerState: string): object {
  if (path === '/redfish/v1/Systems') return { Members: [{ '@odata.id': system }] }
  const allowed = { 'ResetType@Redfish.AllowableValues': ['On', 'Off', 'ForceOff'] }
  const actions = { '#ComputerSystem.Reset': { target, ...allowed } }
  return { '@odata.id': system, Id: 'Node0', PowerState: powerState, Actions: actions }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await serve(JSON.parse(process.env['FLEET'] ?? ''))
}
