import { readdir, readFile } from 'node:fs/promises'

/** sysconf(_SC_CLK_TCK): 100 on every Linux of ours. */
const ticksPerSecond = 100

/**
 * CPU seconds that a process and its children, reaped ones included, have used since they began
 * (proc(5), /proc/PID/stat).
 */
export async function cpuSeconds(pid: number): Promise<number> {
  const stats = await Promise.all([pid, ...(await childrenOf(pid))].map(readStat))
  // Fields 14 to 17: user and system time, and those of reaped children.
  const ticks = stats.flatMap((fields) => fields.slice(11, 15).map(Number))
  return ticks.reduce((sum, each) => sum + each, 0) / ticksPerSecond
}

/** Memory that the process has resident, in MB. */
export async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6
}

async function childrenOf(pid: number): Promise<number[]> {
  const names = await readdir('/proc')
  const pids = names.map(Number).filter(Number.isInteger)
  const parents = await Promise.all(pids.map(async (one) => Number((await readStat(one))[1])))
  return pids.filter((_, i) => parents[i] === pid)
}

/** The fields from the state, the third, on; none when the process has ended. */
async function readStat(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return text === '' ? [] : text.slice(text.lastIndexOf(')') + 2).split(' ')
}
