import { answer, serveDevice, type TestDevice } from './device.ts'
import type { PushedSensor } from './push.ts'

export const bmc = 'x1000c0s0b0'
export const node = `${bmc}n0`
export const subscriptions = '/redfish/v1/EventService/Subscriptions'

export interface Controller extends TestDevice {
  resources: Map<string, unknown>
  /** Bodies of the subscriptions that were made. */
  made: unknown[]
  deleted: string[]
  behaviour: Behaviour
}

interface Behaviour {
  /** How it answers to a new subscription. */
  refuses?: { status: number; code: string } | undefined
  /** Whether it answers no DELETE. */
  hangs?: boolean
}

/** A node controller with a node's power and energy, which keeps what it is subscribed to. */
export async function serveController(behaviour: Behaviour = {}): Promise<Controller> {
  start = Date.now() - 60_000
  const resources = new Map<string, unknown>(Object.entries(controllerResources()))
  const made: unknown[] = []
  const deleted: string[] = []
  const device = await serveDevice(async (request, response) => {
    const path = (request.url ?? '').replace(/\/+$/, '')
    if (request.method === 'POST' && path === subscriptions) {
      if (behaviour.refuses) {
        const { status, code } = behaviour.refuses
        return answer(response, status, { error: { code } })
      }
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const body = JSON.parse(Buffer.concat(chunks).toString())
      made.push(body)
      add(`${subscriptions}/${made.length}`, body)
      return answer(response, 201, {})
    }
    if (request.method === 'DELETE') {
      if (behaviour.hangs) return
      resources.delete(path)
      deleted.push(path)
      list()
      return answer(response, 200, {})
    }
    const body = resources.get(path)
    return answer(response, body === undefined ? 404 : 200, body ?? {})
  })
  const list = () => {
    const members = [...resources.keys()].filter((each) => each.startsWith(`${subscriptions}/`))
    resources.set(subscriptions, { Members: members.map((each) => ({ '@odata.id': each })) })
  }
  const add = (path: string, body: unknown) => {
    resources.set(path, body)
    list()
  }
  list()
  return Object.assign(device, { resources, made, deleted, behaviour })
}

export const sensors = '/redfish/v1/Chassis/Node0/Sensors'

function controllerResources(): Record<string, unknown> {
  const link = (path: string) => ({ '@odata.id': path })
  const names = ['ChassisVoltageRegulator0InputPower', 'ChassisVoltageRegulator0InputEnergy']
  return {
    '/redfish/v1/Chassis': {
      Members: [link('/redfish/v1/Chassis/Node0'), link('/redfish/v1/Chassis/Enclosure')],
    },
    '/redfish/v1/Chassis/Enclosure': { Id: 'Enclosure' },
    '/redfish/v1/Chassis/Node0': { Id: 'Node0', Sensors: link(sensors) },
    [sensors]: { Members: names.map((name) => link(`${sensors}/${name}`)) },
    [`${sensors}/${names[0]}`]: polled('Power', 'W', 100),
    [`${sensors}/${names[1]}`]: polled('EnergyJoules', 'J', 5000),
  }
}

/** A minute before the controller was started and later: devices tell what is past. */
let start = 0
export const atSecond = (seconds: number) => new Date(start + seconds * 1000).toISOString()

export function polled(type: string, units: string, value: number, seconds = 0): object {
  return {
    Id: `ChassisVoltageRegulator0Input${type === 'Power' ? type : 'Energy'}`,
    Name: 'Node',
    Oem: { Index: 0, ParentalContext: 'Chassis' },
    PhysicalContext: 'VoltageRegulator',
    PhysicalSubContext: 'Input',
    Reading: value,
    ReadingTime: atSecond(seconds),
    ReadingType: type,
    ReadingUnits: units,
  }
}

export function pushed(seconds: number, value: unknown): PushedSensor {
  return {
    Timestamp: atSecond(seconds),
    Location: node,
    ParentalContext: 'Chassis',
    PhysicalContext: 'VoltageRegulator',
    Index: 0,
    PhysicalSubContext: 'Input',
    Value: value,
  }
}
