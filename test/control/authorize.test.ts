import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestControl, type TestControl, token } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'

describe('the control endpoint', () => {
  const routes = [
    ['GET', '/transitions'],
    ['POST', '/v1/transitions'],
    ['DELETE', '/transitions/0f7a8a2e-7d4c-4f5e-9b3a-2a1c3d4e5f60'],
    ['GET', '/power-status'],
    ['GET', '/nothing'],
  ] as const

  async function withControl(settings: object, run: (control: TestControl) => Promise<void>) {
    const { url } = await cloneDatabase()
    const control = await startTestControl({ databaseUrl: url, devices: [], settings })
    try {
      await run(control)
    } finally {
      await control.close()
    }
  }

  it('refuses every route to who has no token or a wrong one', async () => {
    await withControl({}, async ({ call }) => {
      for (const [method, path] of routes) {
        for (const authorization of ['', 'Bearer wrong', `Basic ${token}`]) {
          const reply = await call(method, path, undefined, { authorization })
          assert.equal(reply.status, 401, `${method} ${path} ${authorization}`)
          assert.match(reply.headers.get('www-authenticate') ?? '', /^Bearer/)
          assert.equal(reply.body.title, 'Unauthorized')
        }
      }
    })
  })

  it('refuses everything, and says why, when no token is configured', async () => {
    await withControl({ token: undefined }, async ({ call }) => {
      const { status, body } = await call('GET', '/power-status')
      assert.equal(status, 401)
      assert.equal(
        body.detail,
        'neither control.token nor control.users is configured: the request is refused',
      )
    })
  })

  it('shows its health and metrics to all, and nothing else by other methods', async () => {
    await withControl({ token: undefined }, async ({ call }) => {
      for (const prefix of ['', '/v1']) {
        assert.equal((await call('GET', `${prefix}/liveness`)).status, 204)
        assert.equal((await call('GET', `${prefix}/readiness`)).status, 204)
        assert.equal((await call('POST', `${prefix}/health`)).status, 405)
        assert.deepEqual((await call('GET', `${prefix}/health`)).body, {
          KvStore: 'connected, responsive',
          DistLocking: 'connected, responsive',
          StateManager: 'disabled',
          Vault: 'disabled',
          TaskRunner: 'connected, responsive, local mode',
        })
      }
      assert.equal((await call('GET', '/-/healthy')).status, 200)
      assert.equal((await call('GET', '/metrics')).status, 200)
    })
  })

  it('takes a new token from its file at once', async () => {
    const file = join(tmpdir(), `joulebridge-token-${process.pid}`)
    await writeFile(file, 'first\n')
    await withControl({ token: { file } }, async ({ call }) => {
      const status = async (authorization: string) =>
        (await call('GET', '/transitions', undefined, { authorization })).status
      assert.equal(await status('Bearer first'), 200)
      await writeFile(file, 'second\n')
      assert.deepEqual([await status('Bearer first'), await status('Bearer second')], [401, 200])
    })
  })

  it('answers with 200 where PCS does, when it is told to', async () => {
    await withControl({ pcsCompatible: true }, async ({ call }) => {
      const { status } = await call('POST', '/transitions', { operation: 'On', location: [] })
      assert.equal(status, 200)
    })
  })
})
