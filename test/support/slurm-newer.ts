import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite, unpackedWithLibraries } from './debian-program.ts'

const run = promisify(execFile)

const packages = [
  ...['slurmctld', 'slurmd', 'slurm-client', 'slurmdbd'],
  ...['slurm-wlm-basic-plugins', 'slurm-wlm-mysql-plugin'],
]
const programs = {
  sbin: ['slurmctld', 'slurmd', 'slurmdbd'],
  bin: ['sacct', 'sacctmgr', 'sbatch', 'scontrol', 'sinfo', 'squeue'],
}

/**
 * The folder of the programs of a Slurm of a newer suite of Debian. Each runs in a /usr of its own,
 * the system's beneath that of the newer packages. The suite moves and its mirror may be out of
 * reach, and some containers let nobody mount: the test is skipped aloud then.
 */
export async function requireNewerSlurm(context: Mocha.Context): Promise<string> {
  try {
    const root = await unpackedWithLibraries(packages, suite)
    const folder = join(root, 'programs')
    await mkdir(folder, { recursive: true })
    for (const [place, names] of Object.entries(programs)) {
      const write = (name: string) =>
        writeFile(join(folder, name), script(join(root, 'usr'), `/usr/${place}/${name}`), {
          mode: 0o755,
        })
      await Promise.all(names.map(write))
    }
    await run(join(folder, 'slurmctld'), ['-V'])
    return folder
  } catch (error) {
    const title = context.test?.parent?.fullTitle()
    process.stderr.write(`SKIPPED: no Slurm from Debian's ${suite}: ${title}: ${error}\n`)
    return context.skip()
  }
}

/** MariaDB's newer library else waits for a certificate that nobody has. */
const script = (usr: string, program: string) => `#!/bin/sh
export MARIADB_TLS_DISABLE_PEER_VERIFICATION=1
exec unshare -m sh -ec 'mount -t overlay overlay -o "lowerdir=$1:/usr" /usr; shift; exec "$@"' \\
  sh '${usr}' '${program}' "$@"
`
