import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../control/main.ts'
import { type ControlSettings, controlSection } from '../../control/settings.ts'
import { createLog } from '../../exporter/service/log.ts'
import { until } from './command.ts'
import { login, type TestDevice } from './device.ts'

export const token = 'a-token-for-tests'

export interface Reply {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of any shape.
  body: any
}

export interface TestControl {
  url: string
  call(method: string, path: string, body?: unknown, headers?: object): Promise<Reply>
  /** Posts a transition of these xnames; its id. */
  start(operation: string, xnames: readonly string[], more?: object): Promise<string>
  /** The record of a transition with its steps, when it has ended; waits 30 s unless told. */
  ended(id: string, seconds?: number): Promise<Reply['body']>
  /** The record of a power-cap task when it has ended. */
  endedCap(id: string): Promise<Reply['body']>
  close(): Promise<void>
}

export interface TestControlOptions {
  databaseUrl: string
  devices: { xname: string; server: Pick<TestDevice, 'url' | 'certificate'> }[]
  /** Trusted besides those of the devices. */
  certificates?: readonly string[]
  settings?: Partial<ControlSettings>
  env?: NodeJS.ProcessEnv
  now?: () => Date
}

/** The real control endpoint on a free port, which looks again after some milliseconds. */
export async function startTestControl(options: TestControlOptions): Promise<TestControl> {
  const { settings, env, remove } = await controlSettings(options)
  const log = createLog('control', settings.log)
  const service = await startControl(settings, {
    log,
    env: { ...env, ...options.env },
    ...(options.now && { now: options.now }),
  })
  const client = controlClient(service.url)
  return {
    ...client,
    async close() {
      await service.close()
      await remove()
    },
  }
}

/** What a control endpoint is started with. */
export async function controlSettings(options: TestControlOptions) {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-control-'))
  const caFile = join(directory, 'ca.pem')
  const certificates = options.devices.map(({ server }) => server.certificate)
  await writeFile(caFile, [...certificates, ...(options.certificates ?? [])].join('\n'))
  const section = controlSection.parse({
    web: { listenAddress: '127.0.0.1:0' },
    credentials: [{ username: login.username, password: { env: 'BMC_PASSWORD' }, caFile }],
    token: { env: 'CONTROL_TOKEN' },
    timeoutSeconds: 5,
    confirmSeconds: 0.01,
    claimSeconds: 0.05,
  })
  const settings: ControlSettings = {
    ...section,
    ...options.settings,
    log: { level: 'silent', format: 'json' },
    devices: options.devices.map(({ xname, server }) => ({ xname, url: server.url })),
    postgres: { url: options.databaseUrl, maxConnections: 4 },
  }
  const env: NodeJS.ProcessEnv = { BMC_PASSWORD: login.password, CONTROL_TOKEN: token }
  return { settings, env, remove: () => rm(directory, { recursive: true, force: true }) }
}

/** A PCS client of the endpoint at this URL. */
export function controlClient(url: string): Omit<TestControl, 'close'> {
  const call: TestControl['call'] = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    return {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(text) : text,
    }
  }
  return {
    url,
    call,
    async start(operation, xnames, more = {}) {
      const location = xnames.map((xname) => ({ xname }))
      const reply = await call('POST', '/transitions', { operation, location, ...more })
      if (reply.status !== 202) throw new Error(`HTTP ${reply.status} ${reply.body.detail}`)
      return reply.body.transitionID
    },
    async ended(id, seconds = 30) {
      let record: Reply['body']
      const look = async () => {
        record = (await call('GET', `/transitions/${id}?steps=true`)).body
        return ends.includes(record.transitionStatus) ? record : undefined
      }
      return await until(look, seconds, () => `not at an end: ${JSON.stringify(record)}`)
    },
    async endedCap(id) {
      let record: Reply['body']
      const look = async () => {
        record = (await call('GET', `/power-cap/${id}`)).body
        return record.taskStatus === 'completed' ? record : undefined
      }
      return await until(look, 30, () => `not at an end: ${JSON.stringify(record)}`)
    },
  }
}

const ends = ['completed', 'aborted']
