import assert from 'node:assert/strict'
import { z } from 'zod'
import { startTestControl, type TestControl } from '../support/control.ts'
import type { TestDevice } from '../support/device.ts'
import { crayLimits, startLimitDevice } from '../support/limit-device.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

/** As far as the tests look into it. */
interface Document {
  openapi: string
  servers: { url: string }[]
  paths: Record<string, Record<string, Described>>
}
interface Described {
  operationId: string
  security?: unknown[]
  parameters: { name: string; in: string }[]
  requestBody?: { content: { 'application/json': { schema: JsonSchema } } }
  responses: Record<string, { content?: { 'application/json': { schema: JsonSchema } } }>
}
type JsonSchema = Parameters<typeof z.fromJSONSchema>[0]

const node = 'x1000c0s0b0n0'

describe('the OpenAPI document of power control', () => {
  let control: TestControl
  let powered: PowerDevice
  let limited: TestDevice
  let document: Document

  before(async () => {
    powered = await startPowerDevice({ Node0: {} })
    limited = await startLimitDevice(crayLimits())
    control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [
        { xname: 'x1000c0s0b0', server: powered },
        { xname: 'x1000c0s1b0', server: limited },
      ],
    })
    document = (await control.call('GET', '/openapi.json', undefined, { authorization: '' })).body
  })

  after(async () => {
    await control.close()
    await Promise.all([powered.close(), limited.close()])
  })

  const schemaOf = (path: string, method: string, status: number) =>
    document.paths[path]?.[method]?.responses[status]?.content?.['application/json'].schema

  /** Asks, and holds the answer against the schema that is served for it. */
  async function ask(method: string, path: string, template: string, body?: unknown) {
    const reply = await control.call(method, path, body)
    const schema = schemaOf(template, method.toLowerCase(), reply.status)
    assert.ok(
      schema,
      `${method} ${template}: ${reply.status} is not described: ${reply.body.detail}`,
    )
    const result = z.fromJSONSchema(schema).safeParse(reply.body)
    const shown = JSON.stringify(reply.body).slice(0, 1000)
    assert.ok(result.success, `${method} ${template}: ${result.error?.message} ${shown}`)
    return reply
  }

  it('is of version 3.1 and names every path that is served, and no other', async () => {
    assert.equal(document.openapi, '3.1.0')
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/audit',
      '/health',
      '/liveness',
      '/openapi.json',
      '/power-cap',
      '/power-cap/snapshot',
      '/power-cap/{id}',
      '/power-status',
      '/readiness',
      '/transitions',
      '/transitions/{id}',
    ])
    const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
    for (const [path, described] of Object.entries(document.paths)) {
      const place = path.replace('{id}', '0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60')
      const isSnapshot = path === '/power-cap/snapshot'
      for (const prefix of ['', '/v1']) {
        for (const method of methods) {
          // GET of it is a task whose id is no UUID.
          if (isSnapshot && method === 'GET') continue
          const { status, headers } = await control.call(method, prefix + place)
          const what = `${method} ${prefix}${path}: ${status}`
          const isServed = described[method.toLowerCase()] !== undefined
          assert.equal(status === 405, !isServed, what)
          if (!isServed) assert.match(headers.get('allow') ?? '', /^[A-Z, ]+$/, what)
        }
      }
    }
  })

  it('describes what is answered, to the last field', async () => {
    const location = [{ xname: node }, { xname: 'FAKE' }]
    const { body } = await ask('POST', '/transitions', '/transitions', {
      operation: 'off',
      location,
    })
    await control.ended(body.transitionID)
    await ask('GET', `/transitions/${body.transitionID}`, '/transitions/{id}')
    await ask('GET', `/transitions/${body.transitionID}?steps=true`, '/transitions/{id}')
    await ask('GET', '/transitions?limit=1', '/transitions')
    const dry = { operation: 'on', location, dryRun: true }
    await ask('POST', '/transitions', '/transitions', dry)
    await ask('GET', '/power-status', '/power-status')
    await ask('POST', '/power-status', '/power-status', { xname: [node, 'x0'] })
    const xnames = ['x1000c0s1b0n0', 'FAKE']
    const cap = await ask('POST', '/power-cap/snapshot', '/power-cap/snapshot', { xnames })
    await ask('GET', `/power-cap/${cap.body.taskID}`, '/power-cap/{id}')
    const controls = [{ name: 'Node Power Limit', value: 900 }]
    const components = [{ xname: 'x1000c0s1b0n0', controls }]
    await ask('PATCH', '/power-cap', '/power-cap', { components })
    await ask('PATCH', '/power-cap', '/power-cap', { components, dryRun: true })
    await ask('GET', '/power-cap', '/power-cap')
    await ask('GET', '/audit', '/audit')
    await ask('GET', '/health', '/health')
    const other = { operation: 'on', location: [] }
    const open = (await ask('POST', '/transitions', '/transitions', other)).body.transitionID
    assert.equal((await control.call('DELETE', `/transitions/${open}`)).status, 400)
  })

  it('refuses the bodies that are refused, and takes those that are taken', async () => {
    const bodies: [string, string, unknown[]][] = [
      [
        'post',
        '/transitions',
        [
          { operation: 'on' },
          { operation: 5 },
          {},
          { operation: 'on', location: [{}] },
          { operation: 'on', location: 'x1' },
          { operation: 'on', taskDeadlineMinutes: 1.5 },
          { operation: 'on', taskDeadlineMinutes: null, location: null },
          { operation: 'on', confirm: -1 },
          { operation: 'on', deadlineSeconds: { on: 5 } },
          { operation: 'on', deadlineSeconds: { up: 5 } },
          { operation: 'on', reason: 'x'.repeat(1001) },
        ],
      ],
      ['post', '/power-cap/snapshot', [{ xnames: [] }, { xnames: ['FAKE'] }, { xnames: 'FAKE' }]],
      [
        'patch',
        '/power-cap',
        [
          { components: [{ xname: 'FAKE', controls: [{ name: 'a', value: 1 }] }] },
          { components: [{ xname: 'FAKE', controls: [{ name: '', value: 1 }] }] },
          { components: [{ xname: 'FAKE', controls: [{ name: 'a', value: -1 }] }] },
          { components: [{ xname: 'FAKE' }] },
        ],
      ],
    ]
    for (const [method, path, list] of bodies) {
      const schema = document.paths[path]?.[method]?.requestBody?.content['application/json'].schema
      assert.ok(schema)
      const described = z.fromJSONSchema(schema)
      for (const body of list) {
        const { status } = await control.call(method.toUpperCase(), path, body)
        const what = `${method} ${path} ${JSON.stringify(body).slice(0, 100)}: ${status}`
        assert.equal(status < 300, described.safeParse(body).success, what)
      }
    }
  })
})
