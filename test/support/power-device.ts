import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { answer, serveDevice, type TestDevice } from './device.ts'

export interface PowerNode {
  powerState: string
  /** The ResetTypes it allows. */
  allowed: string[]
  /** What else its resource says. */
  more?: object
}

export interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

/** What becomes of a reset, when it is not carried out and answered with 204. */
export type Misbehaviour = Answer | 'ignored' | 'done, no answer' | 'lost, no answer'

/** A controller whose components are switched by resets. */
export interface PowerDevice extends TestDevice {
  /**
   * By name: systems `Node0`, `1`, `Self`; chassis `Enclosure`, `Blade0`, `Perif1`; the manager
   * `BMC`; outlets `AA01` over Redfish and `AA1` over JAWS.
   */
  nodes: Record<string, PowerNode>
  /** Every reset that arrived, as `Node0 On`. */
  resets: string[]
  /** Reads for which a node is on its way after a reset. */
  readsToSettle: number
  /** A promise: the answer waits for it. */
  onReset: (node: string, resetType: string) => Misbehaviour | undefined | Promise<undefined>
  /** Before a reset is answered. */
  answerMs: number
  /** Answers nothing at all. */
  mute: boolean
  /** Resets that are not answered yet, and the most there have been at once. */
  open: { now: number; most: number }
}

/** The ResetTypes as captured: Cray's stand in an ActionInfo, iLO's in the system itself. */
const crayAllows = ['On', 'ForceOff', 'Off']
const iloAllows = ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'GracefulRestart']

export async function startPowerDevice(
  nodes: Record<string, Partial<PowerNode>>,
): Promise<PowerDevice> {
  const behaviour = {
    nodes: Object.fromEntries(
      Object.entries(nodes).map(([name, node]) => [name, { ...standard(name), ...node }]),
    ),
    resets: [] as string[],
    readsToSettle: 1,
    onReset: (): Misbehaviour | undefined | Promise<undefined> => undefined,
    answerMs: 0,
    mute: false,
    open: { now: 0, most: 0 },
  }
  const server = await serveDevice((request, response) => handle(device, request, response))
  const device: PowerDevice = Object.assign(server, behaviour)
  return device
}

function standard(name: string): PowerNode {
  const { section } = placeOf(name)
  if (section === outlets) return { powerState: 'On', allowed: ['On', 'Off'] }
  if (section === managers) {
    return { powerState: 'On', allowed: ['ForceRestart', 'StatefulReset'] }
  }
  const isCray = name.startsWith('Node') || section === chassis
  return { powerState: 'On', allowed: [...(isCray ? crayAllows : iloAllows)] }
}

const systems = '/redfish/v1/Systems'
const chassis = '/redfish/v1/Chassis'
const managers = '/redfish/v1/Managers'
const pdus = '/redfish/v1/PowerEquipment/RackPDUs'
const outlets = `${pdus}/A/Outlets`
const jaws = '/jaws/monitor/outlets'

/** Where a component of this name stands, and its action. */
function placeOf(name: string) {
  if (/^AA\d$/.test(name)) return { section: jaws, action: '' }
  if (/^AA/.test(name)) return { section: outlets, action: 'Outlet.PowerControl' }
  if (/^(Enclosure|Blade|Perif)/.test(name)) return { section: chassis, action: 'Chassis.Reset' }
  if (name === 'BMC') return { section: managers, action: 'Manager.Reset' }
  return { section: systems, action: 'ComputerSystem.Reset' }
}

function handle(device: PowerDevice, request: IncomingMessage, response: ServerResponse): void {
  if (device.mute) return
  const path = (request.url ?? '').replace(/\/+$/, '').replace('/jaws/control', '/jaws/monitor')
  const names = Object.keys(device.nodes)
  const name =
    names.find((each) => `${path}/`.startsWith(`${placeOf(each).section}/${each}/`)) ?? ''
  const node = device.nodes[name]
  if (path === '/redfish/v1') answer(response, 200, { '@odata.id': path })
  else if (node === undefined) answerList(device, path, response)
  else if (request.method !== 'GET') void onWrite(device, { name, node, request, response })
  else if (path.endsWith('ResetActionInfo')) answer(response, 200, actionInfo(node))
  else answer(response, 200, resourceOf(device, name, node))
}

function answerList(device: PowerDevice, path: string, response: ServerResponse): void {
  const names = Object.keys(device.nodes).filter((name) => placeOf(name).section === path)
  const isPdu = Object.keys(device.nodes).some((name) => placeOf(name).section === outlets)
  if (path === jaws && names.length > 0) {
    const list = names.map((name) => ({ id: name, state: device.nodes[name]?.powerState }))
    answer(response, 200, list)
  } else if (path === systems || names.length > 0) answer(response, 200, collection(path, names))
  else if (path === pdus && isPdu) answer(response, 200, collection(path, ['A']))
  else answer(response, 404, { error: { message: 'no such resource' } })
}

function collection(path: string, names: readonly string[]) {
  const members = names.map((name) => ({ '@odata.id': `${path}/${name}` }))
  return { Members: members, 'Members@odata.count': members.length }
}

function actionInfo(node: PowerNode) {
  return { Id: 'ResetAction', Parameters: [{ Name: 'ResetType', AllowableValues: node.allowed }] }
}

function resourceOf(device: PowerDevice, name: string, node: PowerNode) {
  const { powerState } = node
  const reads = readsLeft.get(node)
  if (reads !== undefined) {
    if (reads > 0) readsLeft.set(node, reads - 1)
    else settle(node)
  }
  const { section, action } = placeOf(name)
  const path = `${section}/${name}`
  const shown = device.readsToSettle > 0 ? powerState : node.powerState
  if (section === jaws) return { id: name, state: shown }
  const target = `${path}/Actions/${action}`
  if (section === outlets) {
    // ServerTech's translation writes `Target`, with a capital letter.
    const values = { 'PowerState@Redfish.AllowableValues': node.allowed }
    const actions = { [`#${action}`]: { Target: target, ...values } }
    return { '@odata.id': path, Id: name, PowerState: shown, Actions: actions }
  }
  const allowed = name.startsWith('Node')
    ? { '@Redfish.ActionInfo': `${path}/ResetActionInfo` }
    : { 'ResetType@Redfish.AllowableValues': node.allowed }
  return {
    '@odata.id': path,
    Id: name,
    ...(section !== managers && { PowerState: shown }),
    Actions: { [`#${action}`]: { target, ...allowed } },
    ...node.more,
  }
}

const readsLeft = new WeakMap<PowerNode, number>()

function settle(node: PowerNode): void {
  readsLeft.delete(node)
  node.powerState = node.powerState === 'PoweringOn' ? 'On' : 'Off'
}

interface Written {
  name: string
  node: PowerNode
  request: IncomingMessage
  response: ServerResponse
}

async function onWrite(device: PowerDevice, { name, node, request, response }: Written) {
  const body = JSON.parse(await text(request))
  const resetType = String(body.ResetType ?? body.PowerState ?? body.control_action)
  device.resets.push(`${name} ${resetType}`)
  device.open.most = Math.max(device.open.most, ++device.open.now)
  response.on('close', () => device.open.now--)
  const result = await device.onReset(name, resetType)
  if (device.answerMs > 0) await sleep(device.answerMs)
  if (typeof result === 'object') {
    for (const [key, value] of Object.entries(result.headers ?? {})) response.setHeader(key, value)
    return answer(response, result.status, result.body)
  }
  if (result === undefined || result === 'done, no answer') {
    obey(device, node, resetType)
  }
  if (result === undefined || result === 'ignored') response.writeHead(204).end()
}

/** A restart of a system passes through PoweringOn; one of a manager shows nothing here. */
function obey(device: PowerDevice, node: PowerNode, resetType: string): void {
  if (node === device.nodes['BMC']) return
  const isOn = /^on$|Restart$/i.test(resetType)
  node.powerState = isOn ? 'PoweringOn' : 'PoweringOff'
  readsLeft.set(node, device.readsToSettle)
}

/** A refusal as Redfish words it. */
export function refusal(status: number, messageId: string, message: string): Answer {
  const info = { MessageId: messageId, Message: message }
  return {
    status,
    body: { error: { code: 'Base.1.8.GeneralError', '@Message.ExtendedInfo': [info] } },
  }
}
