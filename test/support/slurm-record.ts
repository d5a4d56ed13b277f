import { createLog } from '../../exporter/service/log.ts'
import { startRemoteWrite } from '../../remote-write/main.ts'
import { postgresSection } from '../../remote-write/postgres/pool.ts'
import { type RemoteWriteSettings, remoteWriteSection } from '../../remote-write/settings.ts'

/** The real service with some of its settings, on any port of loopback. */
export async function startRecordWith(
  databaseUrl: string,
  settings: Partial<RemoteWriteSettings>,
  env: NodeJS.ProcessEnv = {},
) {
  const web = { listenAddress: '127.0.0.1:0' }
  const log = { level: 'silent', format: 'json' } as const
  const postgres = { ...postgresSection.parse({}), url: databaseUrl }
  const whole = { ...remoteWriteSection.parse({ web }), log, postgres, ...settings }
  return await startRemoteWrite(whole, { log: createLog('test', log), env })
}
