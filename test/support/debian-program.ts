import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The suite whose Prometheus speaks remote write 2.0, and whose vmagent compresses with zstd. */
export const suite = 'forky'

/** A Prometheus 3 from a newer suite of Debian. */
export function requireNewerPrometheus(context: Mocha.Context): Promise<string> {
  return requireNewerProgram(context, { packageName: 'prometheus', program: 'prometheus' })
}

export interface DebianProgram {
  packageName: string
  /** In /usr/bin. */
  program: string
}

/**
 * The path of a program of a newer suite of Debian. The suite moves and its mirror may be out of
 * reach: the test is skipped aloud then.
 */
export async function requireNewerProgram(
  context: Mocha.Context,
  wanted: DebianProgram,
): Promise<string> {
  try {
    return await debianProgram(wanted, suite)
  } catch (error) {
    const title = context.test?.parent?.fullTitle()
    process.stderr.write(
      `SKIPPED: no ${wanted.program} from Debian's ${suite}: ${title}: ${error}\n`,
    )
    return context.skip()
  }
}

/**
 * The path of a program out of a package of the system's own Debian, or of another suite of it,
 * unpacked beside the system and kept for the next run.
 * @throws {Error} when the package cannot be had or its program does not run.
 */
export async function debianProgram(
  { packageName, program }: DebianProgram,
  fromSuite?: string,
): Promise<string> {
  const path = join(await unpackedPackage(packageName, fromSuite), 'usr', 'bin', program)
  await run(path, ['--version'])
  return path
}

/** The folder that a package is unpacked in, kept for the next run. @throws {Error} */
export async function unpackedPackage(packageName: string, fromSuite?: string): Promise<string> {
  const cache = join(root, 'node_modules', '.cache', `${fromSuite ?? 'system'}-${packageName}`)
  if (!(await exists(cache))) await fetchInto(cache, packageName, fromSuite)
  return cache
}

/**
 * The folder that packages of another suite are unpacked in, with the libraries that they need,
 * kept for the next run. @throws {Error}
 */
export async function unpackedWithLibraries(
  packageNames: readonly string[],
  fromSuite: string,
): Promise<string> {
  const cache = join(root, 'node_modules', '.cache', `${fromSuite}-${packageNames[0]}-whole`)
  if (!(await exists(cache))) await fetchInto(cache, packageNames, fromSuite)
  return cache
}

async function fetchInto(
  folder: string,
  wanted: string | readonly string[],
  fromSuite?: string,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'joulebridge-apt-'))
  try {
    const options = { cwd: work, env: process.env, timeout: 180_000 }
    if (fromSuite !== undefined) {
      options.env = { ...process.env, APT_CONFIG: await writeAptConfig(work, fromSuite) }
      await run('apt-get', ['update', '-qq'], options)
    }
    const files = await download(wanted, options)
    if (files.length === 0) throw new Error('apt-get downloaded no package')
    for (const file of files) await run('dpkg', ['-x', file, 'unpacked'], options)
    await mkdir(dirname(folder), { recursive: true })
    await rm(folder, { recursive: true, force: true })
    // A copy within its file system appears whole or not at all, though two runs may fetch at once.
    await run('cp', ['-r', 'unpacked', `${folder}.${process.pid}`], options)
    await rename(`${folder}.${process.pid}`, folder)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function download(
  wanted: string | readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; timeout: number },
): Promise<string[]> {
  const debs = async (folder: string) =>
    (await readdir(join(options.cwd, folder))).filter((name) => name.endsWith('.deb'))
  if (typeof wanted === 'string') {
    await run('apt-get', ['download', '-qq', wanted], options)
    return await debs('.')
  }
  const flags = ['-y', '-qq', '--download-only', '--no-install-recommends']
  await run('apt-get', ['install', ...flags, ...wanted], options)
  const folder = 'cache/archives'
  const needed = (await debs(folder)).filter(
    (name) => name.startsWith('lib') || wanted.includes(name.split('_')[0] ?? ''),
  )
  return needed.map((name) => join(folder, name))
}

/** A root of its own, so that the system's packages and lists stay as they are. */
async function writeAptConfig(work: string, fromSuite: string): Promise<string> {
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'etc/apt.conf.d']) {
    await mkdir(join(work, folder), { recursive: true })
  }
  await mkdir(join(work, 'etc/preferences.d'))
  await writeFile(join(work, 'state/status'), '')
  await writeFile(join(work, 'etc/sources.list'), await sourceLine(fromSuite))
  const { stdout: architecture } = await run('dpkg', ['--print-architecture'])
  const settings = {
    Dir: work,
    'Dir::State': join(work, 'state'),
    'Dir::State::status': join(work, 'state/status'),
    'Dir::Cache': join(work, 'cache'),
    'Dir::Etc': join(work, 'etc'),
    'Dir::Etc::trustedparts': '/etc/apt/trusted.gpg.d',
    'APT::Architecture': architecture.trim(),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    // A mirror that keeps the state of one day serves lists that have run out; they are signed.
    'Acquire::Check-Valid-Until': 'false',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";\n`)
  await writeFile(join(work, 'apt.conf'), lines.join(''))
  return join(work, 'apt.conf')
}

/** A suite on the mirror that the system itself uses, under the same key. */
async function sourceLine(fromSuite: string): Promise<string> {
  for (const file of await sourceFiles()) {
    const text = await readFile(file, 'utf8')
    const mirror = /^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+)/m.exec(text)?.[1]
    const key = /signed-by[:=]\s*([^\s\]]+)/i.exec(text)?.[1]
    if (mirror !== undefined) {
      return `deb ${key === undefined ? '' : `[signed-by=${key}] `}${mirror} ${fromSuite} main\n`
    }
  }
  throw new Error('the system has no apt source')
}

async function sourceFiles(): Promise<string[]> {
  const parts = await readdir('/etc/apt/sources.list.d').catch(() => [])
  const debian = parts.filter((name) => /^debian\.(sources|list)$/.test(name))
  const files = debian.map((name) => join('/etc/apt/sources.list.d', name))
  return (await exists('/etc/apt/sources.list')) ? [...files, '/etc/apt/sources.list'] : files
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
