import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { answer, serveDevice, type TestDevice } from './device.ts'
import type { Answer } from './power-device.ts'

/** A controller whose power limits can be set: resources by path, changed by PATCH and POST. */
export interface LimitDevice extends TestDevice {
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of any shape.
  resources: Record<string, any>
  /** Every PATCH and POST that arrived, with its body. */
  writes: { method: string; path: string; body: unknown }[]
  /** In place of carrying a write out; undefined: it is carried out. */
  onWrite: (
    path: string,
    body: unknown,
  ) => Answer | 'lost, no answer' | 'done, no answer' | undefined
  /** With one: each resource has this ETag, and a PATCH is taken with it only; then it changes. */
  tag: string | undefined
  /** What becomes of a value that is set: devices clip. */
  clip: (watts: number) => number
}

export async function startLimitDevice(resources: Record<string, unknown>): Promise<LimitDevice> {
  const server = await serveDevice((request, response) => void handle(device, request, response))
  const device: LimitDevice = Object.assign(server, {
    resources: structuredClone(resources),
    writes: [] as LimitDevice['writes'],
    onWrite: () => undefined,
    tag: undefined,
    clip: (watts: number) => watts,
  })
  return device
}

async function handle(device: LimitDevice, request: IncomingMessage, response: ServerResponse) {
  const path = (request.url ?? '').replace(/\/+$/, '')
  const { method = '' } = request
  if (method === 'GET') {
    const found = device.resources[path]
    const tagged = found && device.tag ? { ...found, '@odata.etag': device.tag } : found
    return answer(response, found ? 200 : 404, tagged ?? { error: { message: 'no such resource' } })
  }
  const body: unknown = JSON.parse(await text(request))
  device.writes.push({ method, path, body })
  const tag = request.headers['if-match']
  if (device.tag !== undefined && method === 'PATCH') {
    if (tag !== device.tag) return answer(response, tag === undefined ? 428 : 412, {})
    device.tag = `"${device.writes.length}"`
  }
  const result = device.onWrite(path, body)
  if (typeof result === 'object') {
    for (const [key, value] of Object.entries(result.headers ?? {})) response.setHeader(key, value)
    return answer(response, result.status, result.body)
  }
  if (result === 'lost, no answer') return
  if (method === 'PATCH') change(device, path, body as Json)
  if (result === undefined) response.writeHead(204).end()
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of any shape.
type Json = any

function change(device: LimitDevice, path: string, body: Json): void {
  if (path.endsWith('/Controls.Deep')) {
    for (const { '@odata.id': id, ...member } of body.Members) merge(device, id, member)
    return
  }
  merge(device, path, body)
}

/** As DSP0266 tells: objects are merged, and the entries of arrays by their position. */
function merge(device: LimitDevice, path: string, body: Json): void {
  device.resources[path] = merged(device, device.resources[path], body)
}

function merged(device: LimitDevice, old: Json, fresh: Json): Json {
  if (typeof fresh === 'number') return device.clip(fresh)
  if (typeof fresh !== 'object' || fresh === null) return fresh
  if (Array.isArray(fresh)) {
    return (old ?? []).map((each: Json, index: number) => merged(device, each, fresh[index] ?? {}))
  }
  const keys = Object.keys(fresh).map((key) => [key, merged(device, old?.[key], fresh[key])])
  return { ...old, ...Object.fromEntries(keys) }
}

const root = '/redfish/v1'

/** A Cray EX node with four accelerators, its ranges as captured of an EX235a. */
export function crayLimits(name = 'Node0', accelerators = 4): Record<string, unknown> {
  const controls = `${root}/Chassis/${name}/Controls`
  const names = [
    'NodePowerLimit',
    ...Array.from({ length: accelerators }, (_, k) => `Accelerator${k}PowerLimit`),
  ]
  const control = (id: string) => {
    const isNode = id === 'NodePowerLimit'
    const hpe = isNode ? { PowerIdleWatts: '0', PowerResetWatts: '250' } : {}
    return {
      '@odata.id': `${controls}/${id}`,
      ControlDelaySeconds: 6,
      ControlMode: 'Disabled',
      ControlType: 'Power',
      Id: id,
      Name: id.replace('PowerLimit', ' Power Limit'),
      Oem: { Hpe: { LimitException: 'NoAction', PowerLimitFactor: '1.000000', ...hpe } },
      PhysicalContext: isNode ? 'Chassis' : 'Accelerator',
      SetPoint: 0,
      SettingRangeMax: isNode ? 2754 : 560,
      SettingRangeMin: isNode ? 764 : 100,
    }
  }
  const links = names.map((id) => ({ '@odata.id': `${controls}/${id}` }))
  return {
    [root]: { '@odata.id': root },
    [`${root}/Systems`]: { Members: [{ '@odata.id': `${root}/Systems/${name}` }] },
    [`${root}/Systems/${name}`]: { Id: name, PowerState: 'On' },
    [`${root}/Chassis/${name}`]: { Id: name, Controls: { '@odata.id': controls } },
    [controls]: { Members: links, 'Members@odata.count': links.length },
    ...Object.fromEntries(names.map((id) => [`${controls}/${id}`, control(id)])),
  }
}

/** A server with one System and one Chassis that has this Power, or these EnvironmentMetrics. */
export function serverLimits(
  id: string,
  { power, environment }: { power?: object; environment?: object },
): Record<string, unknown> {
  const chassis = `${root}/Chassis/${id}`
  const link = (path: string) => ({ '@odata.id': path })
  return {
    [root]: link(root),
    [`${root}/Systems`]: { Members: [link(`${root}/Systems/${id}`)] },
    [`${root}/Systems/${id}`]: { PowerState: 'On', Links: { Chassis: [link(chassis)] } },
    [chassis]: {
      Id: id,
      ...(power && { Power: link(`${chassis}/Power`) }),
      ...(environment && { EnvironmentMetrics: link(`${chassis}/EnvironmentMetrics`) }),
    },
    ...(power && { [`${chassis}/Power`]: power }),
    ...(environment && { [`${chassis}/EnvironmentMetrics`]: environment }),
  }
}
