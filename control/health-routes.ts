import type { Pool } from 'pg'
import manifest from '../package.json' with { type: 'json' }
import { checkSchema } from '../remote-write/postgres/migrate.ts'
import type { Handlers } from './call.ts'
import { openapiDocument } from './openapi/document.ts'
import type { ControlSettings } from './settings.ts'

interface HealthContext {
  pool: Pool
  settings: Pick<ControlSettings, 'basePath'>
}

type HealthRoute = 'getLiveness' | 'getReadiness' | 'getHealth' | 'getOpenapi'

/** What is open to all. None of it asks a device. */
export function healthHandlers({ pool, settings }: HealthContext): Handlers<HealthRoute> {
  const document = openapiDocument(manifest.version, settings.basePath)
  const isReady = () =>
    checkSchema(pool).then(
      () => true,
      () => false,
    )
  return {
    getLiveness: async () => ({ status: 204 }),
    getReadiness: async () => ({ status: (await isReady()) ? 204 : 503 }),
    async getHealth() {
      const store = (await isReady()) ? 'connected, responsive' : 'not connected'
      const body = {
        KvStore: store,
        DistLocking: store,
        StateManager: 'disabled',
        Vault: 'disabled',
        TaskRunner: `${store}, local mode`,
      }
      return { status: 200, body }
    },
    getOpenapi: async () => ({ status: 200, body: document }),
  }
}
