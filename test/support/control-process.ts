import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startControl } from '../../control/main.ts'
import { createLog } from '../../exporter/service/log.ts'
import {
  controlClient,
  controlSettings,
  type TestControl,
  type TestControlOptions,
} from './control.ts'

export type ControlProcess = Omit<TestControl, 'close'> & {
  /** Ends it as a power failure would. */
  kill(): Promise<void>
}

/** The control endpoint in a process of its own. */
export async function spawnControl(options: TestControlOptions): Promise<ControlProcess> {
  const { settings, env, remove } = await controlSettings(options)
  const file = fileURLToPath(import.meta.url)
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    env: { ...process.env, ...env, CONTROL_SETTINGS: JSON.stringify(settings) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [url] = await once(createInterface(child.stdout), 'line')
  return {
    ...controlClient(url),
    async kill() {
      child.kill('SIGKILL')
      await once(child, 'exit')
      await remove()
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const settings = JSON.parse(process.env['CONTROL_SETTINGS'] ?? '')
  const log = createLog('control', settings.log)
  const { url } = await startControl(settings, { log, env: process.env })
  process.stdout.write(`${url}\n`)
}
