import { execFile } from 'node:child_process'
import { join } from 'node:path'

export interface Programs {
  /** Their folder; without it they are searched as a shell does. */
  folder: string | undefined
  env: NodeJS.ProcessEnv
  timeoutSeconds: number
  signal: AbortSignal
}

/** More than a day of a large system; who asks for less gets less. */
const largestOutput = 256 * 1024 * 1024

/** The program said more than `largestOutput`. */
export class TooMuchOutput extends Error {
  override readonly name = 'TooMuchOutput'
}

/**
 * What a program of Slurm's prints, with times in seconds since 1970 and UTC.
 * @throws {Error} naming the program, with what it says of its failure.
 */
export async function runProgram(
  name: string,
  args: readonly string[],
  { folder, env, timeoutSeconds, signal }: Programs,
): Promise<string> {
  const options = {
    env: { ...env, SLURM_TIME_FORMAT: '%s', TZ: 'UTC', LC_ALL: 'C.UTF-8' },
    timeout: timeoutSeconds * 1000,
    maxBuffer: largestOutput,
    signal,
  }
  const program = folder === undefined ? name : join(folder, name)
  return await new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return reject(new TooMuchOutput(name))
      const lateness = error.killed ? `no end within ${timeoutSeconds} s` : ''
      const said = stderr.trim().split('\n').slice(0, 3).join('; ').slice(0, 500)
      reject(new Error(`${program}: ${lateness || said || error.message}`, { cause: error }))
    })
  })
}
