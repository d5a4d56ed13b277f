import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)))
const sources = files.filter((file) => file.endsWith('.ts'))
const product = sources.filter((file) => !file.startsWith('test/'))

/** What each part may import besides itself: paths, or folders that end in a slash. */
const doors: Record<string, readonly string[]> = {
  exporter: [],
  'remote-write': [
    'exporter/service/',
    'exporter/inventory/xname.ts',
    'dashboards/alerts.ts',
    'dashboards/page/serve.ts',
  ],
  control: [
    'exporter/service/',
    'exporter/inventory/',
    'exporter/redfish/',
    'exporter/polling/',
    'remote-write/postgres/',
    'remote-write/energy/print.ts',
    'remote-write/jobs/watch.ts',
    'dashboards/prometheus.ts',
    'dashboards/page/serve.ts',
  ],
  dashboards: ['exporter/service/', 'exporter/metrics.ts'],
}

describe('the tree', () => {
  it('has the agreed folders at the top, and else only what tools insist on', () => {
    const allowed = new Set(
      `exporter remote-write control dashboards test .ci joulebridge.ts package.json tsconfig.json
       README.md package-lock.json tsconfig.build.json biome.json .gitignore LICENSE CHANGELOG.md
       CONTRIBUTING.md`.split(/\s+/),
    )
    const strays = new Set(
      files.map((file) => file.split('/')[0] ?? '').filter((n) => !allowed.has(n)),
    )
    assert.deepEqual([...strays], [])
  })

  it('has no drawer for odds and ends', () => {
    const drawer = /(^|\/)((common|utils?|lib|helpers)\/|(types|constants|utils?|index)\.ts$)/
    assert.deepEqual(
      sources.filter((file) => drawer.test(file)),
      [],
    )
  })

  it('names files in kebab-case', () => {
    const odd = sources.filter((file) => !/^[a-z0-9-]+(\.test)?\.ts$/.test(posix.basename(file)))
    assert.deepEqual(odd, [])
  })
})

describe('a source file', () => {
  it('stays under 400 lines of at most 100 columns', () => {
    const faults = sources.flatMap((file) => {
      const lines = readFileSync(join(root, file), 'utf8').split('\n')
      const wide = lines.findIndex((line) => line.length > 100)
      return [
        ...(lines.length > 400 ? [`${file}: ${lines.length} lines`] : []),
        ...(wide >= 0 ? [`${file}:${wide + 1}: ${lines[wide]?.length} columns`] : []),
      ]
    })
    assert.deepEqual(faults, [])
  })

  it('imports only through the doors between the parts', () => {
    const faults = product.flatMap((file) =>
      importsOf(file)
        .filter((target) => !mayImport(file, target))
        .map((target) => `${file} imports ${target}`),
    )
    assert.deepEqual(faults, [])
  })

  it('is in no cycle of imports', () => {
    const graph = new Map(sources.map((file) => [file, importsOf(file)]))
    assert.deepEqual(findCycle(graph), [])
  })

  it('names a file that exists, by its .ts name', () => {
    const faults = sources.flatMap((file) =>
      importsOf(file)
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => `${file} imports ${target}`),
    )
    assert.deepEqual(faults, [])
  })
})

/** The project's own files that a file imports, as paths from the root. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)]
  return specifiers.map(([, specifier]) => posix.join(posix.dirname(file), specifier ?? ''))
}

function mayImport(file: string, target: string): boolean {
  const [part = '', targetPart] = [file.split('/')[0], target.split('/')[0]]
  if (file === 'joulebridge.ts') return targetPart !== 'test'
  if (target === 'package.json') return true
  const name = posix.basename(target)
  if (name === 'main.ts') return false
  if (name === 'app.ts') return file === posix.join(posix.dirname(target), 'main.ts')
  if (targetPart === part) return true
  return (doors[part] ?? []).some((door) =>
    door.endsWith('/') ? target.startsWith(door) : target === door,
  )
}

/** The first cycle found, as the list of its files; empty when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    const cycle = (graph.get(file) ?? []).map((next) => visit(next, [...path, file]))
    done.add(file)
    return cycle.find((found) => found.length > 0) ?? []
  }
  return [...graph.keys()].map((file) => visit(file, [])).find((found) => found.length > 0) ?? []
}
