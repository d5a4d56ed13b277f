import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import pLimit, { type LimitFunction } from 'p-limit'
import { createClient, type RedfishClient } from '../../exporter/redfish/client.ts'
import { until } from '../support/command.ts'
import { answer, login, serveDevice, type TestDevice } from '../support/device.ts'

describe('the client of a device', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })

  async function device(
    reply: (path: string, response: ServerResponse) => void,
  ): Promise<TestDevice> {
    const server = await serveDevice((request, response) => reply(request.url ?? '', response))
    closing.push(server)
    return server
  }

  function clientOf({ url }: TestDevice, limit?: LimitFunction): RedfishClient {
    const client = createClient({
      device: { xname: 'x1000c0s0b0', url },
      credential: {
        username: login.username,
        password: { env: 'PASSWORD' },
        login: 'basic',
        insecureSkipVerify: true,
      },
      env: { PASSWORD: login.password },
      timeoutSeconds: 30,
      ...(limit && { limit }),
    })
    closing.push(client)
    return client
  }

  it('reads any JSON, cut into packets anywhere, a mark before it or packed unasked', async () => {
    let body: Buffer = Buffer.alloc(0)
    let packets: number[] = []
    let headers: Record<string, string> = {}
    const server = await device(async (_path, response) => {
      response.writeHead(200, headers)
      let from = 0
      for (const length of packets) {
        response.write(body.subarray(from, from + length))
        from = Math.min(from + length, body.length)
        await new Promise(setImmediate)
      }
      response.end(body.subarray(from))
    })
    const client = clientOf(server)
    const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 5 })
    const property = fc.asyncProperty(
      fc.jsonValue({ stringUnit: 'binary' }),
      lengths,
      fc.boolean(),
      fc.boolean(),
      async (value, given, marked, packed) => {
        const json = Buffer.from((marked ? '\uFEFF' : '') + JSON.stringify(value))
        body = packed ? gzipSync(json) : json
        headers = packed ? { 'content-encoding': 'gzip' } : {}
        packets = given
        assert.deepEqual(await client.get('/x'), JSON.parse(JSON.stringify(value)))
      },
    )
    await fc.assert(property, { numRuns: 50 })
  })

  it('asks for odd paths as a URL writes them', async () => {
    const server = await device((path, response) => answer(response, 200, path))
    const client = clientOf(server)
    const asked = ['/redfish/v1/Rectifier 0', '/a#/b/0', '/ü', '/p?$expand=*($levels=1)']
    const got: unknown[] = []
    for (const path of asked) got.push(await client.get(path))
    assert.deepEqual(got, ['/redfish/v1/Rectifier%200', '/a', '/%C3%BC', '/p?$expand=*($levels=1)'])
  })

  it('counts an answer that is cut short or too large against the resource', async () => {
    const server = await device((path, response) => {
      if (path === '/cut') {
        response.writeHead(200, { 'content-length': 100 }).write('{"Reading": 1')
        setImmediate(() => response.destroy())
      } else if (path === '/grows') {
        response.writeHead(200, { 'content-encoding': 'gzip' })
        response.end(gzipSync(Buffer.alloc(20 * 1024 * 1024, ' ')))
      } else response.end(Buffer.alloc(20 * 1024 * 1024, ' '))
    })
    const client = clientOf(server)
    const faults = { '/cut': /cut short/, '/grows': /more than/, '/large': /more than/ }
    for (const [path, message] of Object.entries(faults)) {
      await assert.rejects(client.get(path), { kind: 'malformed', path, message })
    }
  })

  it('asks again when the device has closed a kept connection meanwhile', async () => {
    let closed = 0
    const server = await device((path, response) => {
      if (path === '/next' && closed++ === 0) response.socket?.destroy()
      else answer(response, 200, path)
    })
    const client = clientOf(server)
    assert.equal(await client.get('/first'), '/first')
    assert.equal(await client.get('/next'), '/next')
    assert.deepEqual(server.requests, ['GET /first', 'GET /next', 'GET /next'])
  })

  it('keeps no other device waiting for long that answers, however many hang', async () => {
    const hanging = await device(() => {})
    const sound = await device((path, response) => answer(response, 200, path))
    const limit = pLimit(2)
    const lost = Array.from({ length: 4 }, () => clientOf(hanging, limit).get('/x').catch(String))
    await until(async () => (hanging.requests.length > 0 ? true : undefined), 20)
    assert.equal(await clientOf(sound, limit).get('/x'), '/x')
    await Promise.all(closing.splice(2).map((each) => each.close()))
    assert.deepEqual(new Set(await Promise.all(lost)).size, 1)
  })
})
