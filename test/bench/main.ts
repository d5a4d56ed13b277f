import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'

/** What a file here exports that is a bench. */
interface Bench {
  name: string
  title: string
  goals?: readonly Goal[]
  /** Runs only when its name is given. */
  long?: boolean
  /** Its figures, ratios first, by snake_case names with units; none that could not be measured. */
  run(options: BenchOptions): Promise<Record<string, number>>
}

interface BenchOptions {
  /** How long one that is `long` is to run. */
  minutes?: number
}

/** What a figure must reach. */
interface Goal {
  /** Its name among the figures. */
  key: string
  least?: number
  most?: number
  words: string
}

const folder = dirname(fileURLToPath(import.meta.url))

await new Command('bench')
  .description('Measures Joulebridge against a stated ceiling or peer, in one run.')
  .argument(
    '[name]',
    '`list`, or the bench to run, or what several names start with; all by default',
  )
  .option('--json', 'one object of figures')
  .option('--minutes <n>', 'how long a soak is to run', Number)
  .action(
    async (name: string | undefined, { json, ...options }: { json?: true } & BenchOptions) => {
      const benches = await loadBenches()
      if (name === 'list') return print(benches.map((bench) => `${bench.name}  ${bench.title}`))
      const chosen = benches.filter((bench) =>
        name === undefined ? !bench.long : bench.name === name || bench.name.startsWith(`${name}-`),
      )
      if (chosen.length === 0) throw new Error(`no bench ${name}: see \`npm run bench -- list\``)
      const rows: string[][] = []
      for (const bench of chosen) rows.push(...(await measure(bench, options, json === true)))
      if (!json && rows.length > 0)
        print(['', ...table([['what', 'goal', 'measured', ''], ...rows])])
    },
  )
  .parseAsync()

async function loadBenches(): Promise<Bench[]> {
  const files = (await readdir(folder)).filter((file) => /\.ts$/.test(file) && file !== 'main.ts')
  const modules: object[] = await Promise.all(
    files.sort().map((file) => import(join(folder, file))),
  )
  return modules.filter((module): module is Bench => 'run' in module && 'title' in module)
}

/** Runs it and keeps its figures; rows of the table of goals. One that fails stops no other. */
async function measure(bench: Bench, options: BenchOptions, json: boolean): Promise<string[][]> {
  const figures: Record<string, number> = await bench.run(options).catch((error: unknown) => {
    process.stderr.write(`${bench.name}: ${error instanceof Error ? error.stack : error}\n`)
    process.exitCode = 1
    return {}
  })
  const results = join(folder, 'results')
  await mkdir(results, { recursive: true })
  await writeFile(join(results, `${bench.name}.json`), JSON.stringify(figures, null, 2))
  if (json) print([JSON.stringify(figures)])
  else print([bench.title, ...Object.entries(figures).map(line)])
  return (bench.goals ?? []).map((goal) => judge(goal, figures[goal.key]))
}

function judge({ words, least, most }: Goal, measured: number | undefined): string[] {
  const goal = least === undefined ? `<= ${shown(Number(most))}` : `>= ${shown(least)}`
  if (measured === undefined) return [words, goal, '-', 'not measured']
  const met = least === undefined ? measured <= Number(most) : measured >= least
  return [words, goal, shown(measured), met ? 'met' : 'NOT MET']
}

function table(rows: readonly string[][]): string[] {
  const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function line([name, value]: [string, number]): string {
  return `  ${name.padEnd(40)} ${shown(value)}`
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4)
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
