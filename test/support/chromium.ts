import { type Browser, chromium } from 'playwright-core'
import { requireProgram } from './prometheus.ts'

/** A real Chromium that talks to nobody; skipped aloud where none is installed. */
export async function startChromium(context: Mocha.Context): Promise<Browser> {
  const executablePath = await requireProgram('chromium', context)
  const quiet = ['--disable-quic', '--disable-background-networking', '--disable-component-update']
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync', ...quiet]
  return await chromium.launch({ executablePath, args })
}
