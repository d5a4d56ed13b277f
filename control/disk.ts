import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** One segment of PostgreSQL's write-ahead log: with less room, a commit may fail. */
const leastBytes = 16 * 1024 * 1024
const intervalMs = 5000

/** Says when the disk of `directory` is full, and when it has room again; ends with the signal. */
export async function watchDisk(
  directory: string,
  { say, signal }: { say(line: string): void; signal: AbortSignal },
): Promise<void> {
  for (let wasFull = false; !signal.aborted; await sleep(intervalMs, undefined, { signal })) {
    const { bavail, bsize } = await statfs(directory)
    const isFull = bavail * bsize < leastBytes
    if (isFull && !wasFull) say(`the disk of ${directory} is full: nothing more can be recorded`)
    if (!isFull && wasFull) say(`the disk of ${directory} has room again`)
    wasFull = isFull
  }
}
