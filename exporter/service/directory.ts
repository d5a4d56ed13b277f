import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const marker = 'joulebridge.pid'

/**
 * Makes `directory` ours until `release`: one process at a time, and never a folder that holds
 * something else. What a killed process left is taken over.
 * @throws {Error} naming the directory and who has it.
 */
export async function claimDirectory(directory: string): Promise<{ release(): Promise<void> }> {
  await mkdir(directory, { recursive: true, mode: 0o711 }).catch((cause: unknown) => {
    throw new Error(`data directory ${directory}: cannot be made`, { cause })
  })
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new Error(`data directory ${directory}: cannot be read`, { cause })
  })
  if (names.length > 0 && !names.includes(marker)) {
    throw new Error(`data directory ${directory}: holds something else, for example ${names[0]}`)
  }
  const owner = (await stat(directory)).uid
  if (process.getuid && owner !== process.getuid()) {
    throw new Error(`data directory ${directory}: belongs to uid ${owner}, not to us`)
  }
  const file = join(directory, marker)
  const pid = Number(await readFile(file, 'utf8').catch(() => '0'))
  if (pid !== process.pid && (await isOurs(pid))) {
    throw new Error(`data directory ${directory}: in use by process ${pid}`)
  }
  await replaceFile(file, String(process.pid))
  return { release: () => replaceFile(file, '0') }
}

/** Whether `pid` is a running Joulebridge: a number may have gone to another program since. */
async function isOurs(pid: number): Promise<boolean> {
  if (!pid) return false
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return command.includes('joulebridge')
}

/** Writes a file that only we can read, whole or not at all. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const fresh = `${file}.new`
  try {
    await writeFile(fresh, text, { mode: 0o600, flush: true })
    await rename(fresh, file)
  } catch (cause) {
    await rm(fresh, { force: true })
    throw new Error(`cannot write ${file}`, { cause })
  }
}

/** The random secret kept in `file`, made at first use. */
export async function keptSecret(file: string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '')
  if (kept !== '') return kept
  const fresh = randomBytes(24).toString('base64url')
  await replaceFile(file, fresh)
  return fresh
}
