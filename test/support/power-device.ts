import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { answer, serveDevice, type TestDevice } from './device.ts'

export interface PowerNode {
  powerState: string
  /** The ResetTypes it allows. */
  allowed: string[]
}

export interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

/** What becomes of a reset, when it is not carried out and answered with 204. */
export type Misbehaviour = Answer | 'ignored' | 'done, no answer' | 'lost, no answer'

/** A controller whose nodes are switched by resets. */
export interface PowerDevice extends TestDevice {
  /** By the name of their system: `Node0`, `1`, `Self`. */
  nodes: Record<string, PowerNode>
  /** Every reset that arrived, as `Node0 On`. */
  resets: string[]
  /** Reads for which a node is on its way after a reset. */
  readsToSettle: number
  onReset: (node: string, resetType: string) => Misbehaviour | undefined
  /** Answers nothing at all. */
  mute: boolean
  /** Resets that are not answered yet, and the most there have been at once. */
  open: { now: number; most: number }
}

/** The ResetTypes as captured: Cray's stand in an ActionInfo, iLO's in the system itself. */
export const crayAllows = ['On', 'ForceOff', 'Off']
export const iloAllows = ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'GracefulRestart']

export async function startPowerDevice(
  nodes: Record<string, Partial<PowerNode>>,
): Promise<PowerDevice> {
  const behaviour = {
    nodes: Object.fromEntries(
      Object.entries(nodes).map(([name, node]) => [name, { ...standard(name), ...node }]),
    ),
    resets: [] as string[],
    readsToSettle: 1,
    onReset: (): Misbehaviour | undefined => undefined,
    mute: false,
    open: { now: 0, most: 0 },
  }
  const server = await serveDevice((request, response) => handle(device, request, response))
  const device: PowerDevice = Object.assign(server, behaviour)
  return device
}

function standard(name: string): PowerNode {
  return { powerState: 'On', allowed: [...(name.startsWith('Node') ? crayAllows : iloAllows)] }
}

const systems = '/redfish/v1/Systems'

function handle(device: PowerDevice, request: IncomingMessage, response: ServerResponse): void {
  if (device.mute) return
  const path = (request.url ?? '').replace(/\/+$/, '')
  const [name = '', ...rest] = path.slice(systems.length + 1).split('/')
  const node = device.nodes[name]
  if (path === '/redfish/v1') answer(response, 200, { '@odata.id': path })
  else if (path === systems) answer(response, 200, collection(device))
  else if (!node) answer(response, 404, { error: { message: 'no such resource' } })
  else if (request.method === 'POST') void onPost(device, { name, node, request, response })
  else if (rest[0] === 'ResetActionInfo') answer(response, 200, actionInfo(node))
  else answer(response, 200, system(device, name, node))
}

function collection(device: PowerDevice) {
  const paths = Object.keys(device.nodes).map((name) => ({ '@odata.id': `${systems}/${name}` }))
  return { Members: paths, 'Members@odata.count': paths.length }
}

function actionInfo(node: PowerNode) {
  return { Id: 'ResetAction', Parameters: [{ Name: 'ResetType', AllowableValues: node.allowed }] }
}

function system(device: PowerDevice, name: string, node: PowerNode) {
  const { powerState } = node
  const reads = readsLeft.get(node)
  if (reads !== undefined) {
    if (reads > 0) readsLeft.set(node, reads - 1)
    else settle(node)
  }
  const path = `${systems}/${name}`
  const allowed = name.startsWith('Node')
    ? { '@Redfish.ActionInfo': `${path}/ResetActionInfo` }
    : { 'ResetType@Redfish.AllowableValues': node.allowed }
  return {
    '@odata.id': path,
    Id: name,
    PowerState: device.readsToSettle > 0 ? powerState : node.powerState,
    Actions: {
      '#ComputerSystem.Reset': { target: `${path}/Actions/ComputerSystem.Reset`, ...allowed },
    },
  }
}

const readsLeft = new WeakMap<PowerNode, number>()

function settle(node: PowerNode): void {
  readsLeft.delete(node)
  node.powerState = node.powerState === 'PoweringOn' ? 'On' : 'Off'
}

interface Post {
  name: string
  node: PowerNode
  request: IncomingMessage
  response: ServerResponse
}

async function onPost(device: PowerDevice, { name, node, request, response }: Post) {
  const { ResetType } = JSON.parse(await text(request))
  device.resets.push(`${name} ${ResetType}`)
  device.open.most = Math.max(device.open.most, ++device.open.now)
  response.on('close', () => device.open.now--)
  const result = device.onReset(name, ResetType)
  if (typeof result === 'object') {
    for (const [key, value] of Object.entries(result.headers ?? {})) response.setHeader(key, value)
    return answer(response, result.status, result.body)
  }
  if (result === undefined || result === 'done, no answer') {
    node.powerState = ResetType === 'On' ? 'PoweringOn' : 'PoweringOff'
    readsLeft.set(node, device.readsToSettle)
  }
  if (result === undefined || result === 'ignored') response.writeHead(204).end()
}

/** A refusal as Redfish words it. */
export function refusal(status: number, messageId: string, message: string): Answer {
  const info = { MessageId: messageId, Message: message }
  return {
    status,
    body: { error: { code: 'Base.1.8.GeneralError', '@Message.ExtendedInfo': [info] } },
  }
}
