import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** A file system of its own, small enough to be filled. */
export interface SmallDisk {
  directory: string
  /** Takes all the room that is left. */
  fill(): Promise<void>
  /** Gives it back. */
  clear(): Promise<void>
  unmount(): void
}

/**
 * Mounts a file system in memory, which takes root or a sudo that asks nothing.
 * @throws {Error} where it may not.
 */
export function mountSmallDisk(directory: string, mebibytes: number): SmallDisk {
  mkdirSync(directory, { recursive: true, mode: 0o711 })
  asRoot(
    'mount',
    '-t',
    'tmpfs',
    '-o',
    `size=${mebibytes}m,mode=0777`,
    'joulebridge-test',
    directory,
  )
  const ballast = join(directory, 'ballast')
  return {
    directory,
    fill: () => fill(ballast),
    clear: () => rm(ballast, { force: true }),
    // What PostgreSQL's last process holds open goes with it.
    unmount: () => asRoot('umount', '--lazy', directory),
  }
}

function asRoot(...command: [string, ...string[]]): void {
  const [program, ...args] = process.getuid?.() === 0 ? command : ['sudo', '-n', ...command]
  execFileSync(program ?? '', args, { stdio: 'pipe' })
}

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    for (let bytes = 1 << 20; bytes >= 512; bytes >>= 1) {
      const block = Buffer.alloc(bytes)
      while ((await file.write(block).catch(noSpace)) !== undefined);
    }
  } finally {
    await file.close()
  }
}

function noSpace(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOSPC') throw error
}
