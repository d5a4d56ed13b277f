import { constants } from 'node:fs'
import { access, readdir, readFile, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText } from '../../../exporter/service/log.ts'
import { askBridge, type Bridge, deliver } from './deliver.ts'
import { type Programs, runProgram } from './program.ts'
import type { SlurmSettings } from './settings.ts'
import { asideFolder, isEventFile } from './ship.ts'

export interface CheckOptions {
  settings: SlurmSettings
  bridge: Bridge
  programs: Programs
  now: Date
}

/** Something to know of the site: all right, worth a look, or to be mended. */
export interface Finding {
  level: 'ok' | 'warning' | 'fault'
  text: string
}

/** After so long somebody should have read or delivered it. */
const lateMs = 10 * 60 * 1000
/** Less room than this is soon no room. */
const leastBytes = 10 * 1024 * 1024

/**
 * What is wrong, or right, with slurm.conf, the hook, its spool directory, accounting and the way
 * to remote-write. Asks slurmctld once, for its configuration.
 */
export async function checkSite(options: CheckOptions): Promise<Finding[]> {
  const config = await configOf(options.programs)
  const hooks = 'fault' in config ? [] : await checkHooks(config.values, options.settings)
  return [
    ...('fault' in config ? [fault(config.fault)] : checkConfig(config.values)),
    ...hooks,
    ...(await checkSpool(options)),
    ...(await checkAccounting(options)),
    ...(await checkBridge(options.bridge)),
  ]
}

type Config = ReadonlyMap<string, string>

async function configOf(programs: Programs): Promise<{ values: Config } | { fault: string }> {
  const text = await runProgram('scontrol', ['show', 'config'], programs).catch(
    (error: Error) => error,
  )
  if (text instanceof Error) return { fault: `slurmctld: ${text.message}` }
  const lines = [...text.matchAll(/^(\w+)\s*= ?(.*)$/gm)]
  return { values: new Map(lines.map(([, name = '', value = '']) => [name, value.trim()])) }
}

/** What matters of `scontrol show config`. */
export function checkConfig(config: Config): Finding[] {
  const value = (name: string) => config.get(name) ?? '(null)'
  const has = (name: string, word: string) => value(name).toLowerCase().includes(word)
  const findings = [ok(`slurmctld: Slurm ${value('SLURM_VERSION')}, ${value('ClusterName')}`)]
  if (!has('AccountingStorageType', 'slurmdbd')) {
    const found = value('AccountingStorageType')
    findings.push(fault(`AccountingStorageType is ${found}: without slurmdbd there is no sacct`))
  }
  if (has('JobAcctGatherType', 'none') || value('JobAcctGatherType') === '(null)') {
    findings.push(warning('JobAcctGatherType is none: sacct has no usage of steps'))
  }
  if (!has('PrologFlags', 'contain')) {
    const found = value('PrologFlags')
    findings.push(warning(`PrologFlags is ${found}: without Contain Slurm's own energy is wrong`))
  }
  if (has('PrivateData', 'jobs')) {
    findings.push(warning('PrivateData has jobs: who polls needs AdminLevel=Operator in sacctmgr'))
  }
  if (has('JobCompType', 'elasticsearch')) {
    findings.push(
      ok(`JobCompLoc: records of ended jobs go to ${withoutPassword(value('JobCompLoc'))}`),
    )
  }
  return findings
}

function withoutPassword(url: string): string {
  return url.replace(/:\/\/[^/@]*@/, '://***@')
}

async function checkHooks(config: Config, { spoolDirectory }: SlurmSettings): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const name of ['PrologSlurmctld', 'EpilogSlurmctld']) {
    const place = config.get(name) ?? '(null)'
    // Since 23.11 there may be several, with commas between them.
    const files = place === '(null)' || place === '' ? [] : place.split(',')
    if (files.length === 0) {
      findings.push(warning(`${name} is not set: jobs are seen as late as accounting is read`))
    }
    for (const file of files) findings.push(await checkHook(name, file, spoolDirectory))
  }
  return findings
}

async function checkHook(name: string, file: string, spool: string): Promise<Finding> {
  const where = `${name} ${file}`
  const text = await readFile(file, 'utf8').catch((error: Error) => error)
  if (text instanceof Error) return warning(`${where}: cannot be read here: ${text.message}`)
  if (((await stat(file)).mode & 0o111) === 0) return fault(`${where}: is not executable`)
  if (((await stat(file)).mode & 0o022) !== 0) return fault(`${where}: others may write it`)
  const [, own] = /^spool='?(.*?)'?$/m.exec(text) ?? []
  if (!text.includes('JOULEBRIDGE_END')) {
    return warning(`${where}: is not ours: it should call what \`joulebridge slurm hook\` prints`)
  }
  if (own !== undefined && own !== spool) {
    return fault(`${where}: writes to ${own}, but slurm.spool_directory is ${spool}`)
  }
  return ok(`${where}: writes to ${spool}`)
}

async function checkSpool({ settings, now }: CheckOptions): Promise<Finding[]> {
  const directory = settings.spoolDirectory
  const names = await readdir(directory).catch((error: Error) => error)
  if (names instanceof Error) return [fault(`spool ${directory}: ${names.message}`)]
  const findings: Finding[] = []
  if (((await stat(directory)).mode & 0o022) !== 0) {
    findings.push(fault(`spool ${directory}: others may write to it, and tell of jobs`))
  }
  const mayDelete = await access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
  if (!mayDelete) findings.push(fault(`spool ${directory}: we may not delete from it`))
  const { bavail, bsize } = await statfs(directory)
  if (bavail * bsize < leastBytes) findings.push(fault(`spool ${directory}: has no room`))
  const files = names.filter(isEventFile).sort()
  const [oldest] = files
  const at = oldest && (await stat(join(directory, oldest)).catch(() => undefined))?.mtime
  if (at && now.getTime() - at.getTime() > lateMs) {
    const since = at.toISOString()
    const waiting = `${files.length} files wait, since ${since}`
    findings.push(fault(`spool ${directory}: ${waiting}: is \`slurm ship\` running?`))
  }
  const aside = await readdir(join(directory, asideFolder)).catch(() => [])
  if (aside.length > 0) {
    findings.push(
      warning(`${join(directory, asideFolder)}: ${aside.length} files could not be told`),
    )
  }
  return findings.length > 0 ? findings : [ok(`spool ${directory}: ${files.length} files wait`)]
}

async function checkAccounting({ settings, programs, now }: CheckOptions): Promise<Finding[]> {
  const args = ['-a', '-X', '-n', '-P', '-S', 'now-1hours', '-o', 'JobIDRaw']
  const said = await runProgram('sacct', args, programs).catch((error: Error) => error)
  if (said instanceof Error) return [fault(`accounting: ${said.message}`)]
  const runs = said.split('\n').filter(Boolean).length
  const findings = [ok(`accounting: sacct knows ${runs} jobs of the last hour`)]
  const file = settings.poll.cursorFile
  const at = (await stat(file).catch(() => undefined))?.mtime
  if (at === undefined)
    findings.push(fault(`cursor ${file}: is missing: \`slurm poll\` has not run`))
  else if (now.getTime() - at.getTime() > lateMs + settings.poll.everySeconds * 1000) {
    findings.push(fault(`cursor ${file}: is of ${at.toISOString()}: is \`slurm poll\` running?`))
  }
  return findings
}

async function checkBridge(bridge: Bridge): Promise<Finding[]> {
  try {
    const { url } = bridge
    const { status, text } = await askBridge(bridge, '/-/ready')
    if (status !== 200) return [fault(`remote-write at ${url}: is not ready: ${text.trim()}`)]
    // What is no event is refused as such only to those who may tell of events.
    await deliver([{}], bridge)
    return [ok(`remote-write at ${url}: takes our events`)]
  } catch (error) {
    return [fault(errorText(error))]
  }
}

function ok(text: string): Finding {
  return { level: 'ok', text }
}

function warning(text: string): Finding {
  return { level: 'warning', text }
}

function fault(text: string): Finding {
  return { level: 'fault', text }
}
