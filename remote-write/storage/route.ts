import type { Express } from 'express'
import { query } from '../parameters.ts'
import type { StorageCache } from './metrics.ts'

/** Adds `/api/v1/storage`: how large the record is, and what of it. */
export function addStorageRoute(app: Express, storage: StorageCache): void {
  app.get('/api/v1/storage', async (_request, response) => {
    response.send(await query(storage.fresh()))
  })
}
