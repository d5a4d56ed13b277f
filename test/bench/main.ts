import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'

/** What each other file here exports: its figures, ratios first, by snake_case names with units. */
interface Bench {
  name: string
  title: string
  run(): Promise<Record<string, number>>
}

const folder = dirname(fileURLToPath(import.meta.url))

await new Command('bench')
  .description('Measures Joulebridge against a stated ceiling or peer, in one run.')
  .argument('[name]', '`list`, or the bench to run; all by default')
  .option('--json', 'one object of figures')
  .action(async (name: string | undefined, { json }: { json?: true }) => {
    const benches = await loadBenches()
    if (name === 'list') return print(benches.map((bench) => `${bench.name}  ${bench.title}`))
    const chosen = benches.filter((bench) => name === undefined || bench.name === name)
    if (chosen.length === 0) throw new Error(`no bench ${name}: see \`npm run bench -- list\``)
    for (const bench of chosen) await measure(bench, json === true)
  })
  .parseAsync()

async function loadBenches(): Promise<Bench[]> {
  const files = (await readdir(folder)).filter((file) => /\.ts$/.test(file) && file !== 'main.ts')
  return await Promise.all(files.sort().map((file) => import(join(folder, file))))
}

async function measure(bench: Bench, json: boolean): Promise<void> {
  const figures = await bench.run()
  const results = join(folder, 'results')
  await mkdir(results, { recursive: true })
  await writeFile(join(results, `${bench.name}.json`), JSON.stringify(figures, null, 2))
  if (json) return print([JSON.stringify(figures)])
  print([bench.title, ...Object.entries(figures).map(([k, v]) => `  ${k.padEnd(40)} ${shown(v)}`)])
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4)
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
