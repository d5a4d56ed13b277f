import { type Browser, chromium } from 'playwright-core'
import { requireProgram } from './prometheus.ts'

/** A real Chromium that talks to nobody; skipped aloud where none is installed. */
export async function startChromium(context: Mocha.Context): Promise<Browser> {
  const executablePath = await requireProgram('chromium', context)
  return await chromium.launch({ executablePath, args: quietFlags })
}

/** Starts fast and asks nothing of the world. */
export const quietFlags = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-sync',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
]
