/**
 * Runs all tests, in two processes side by side: those that mostly wait for real programs, and the
 * others. Words given are passed on to both, such as `--grep=...`.
 */
import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'

const waiting = ['end-to-end', 'dashboards'].map((part) => `test/${part}/**/*.test.ts`)
const groups = [['test/**/*.test.ts', ...waiting.map((spec) => `--ignore=${spec}`)], waiting]

const runs = groups.map((specs, i) => {
  const args = ['node_modules/mocha/bin/mocha.js', ...specs, ...process.argv.slice(2)]
  // The second is shown when the first has ended, lest their lines mix.
  const output = i === 0 ? 'inherit' : 'pipe'
  const child = spawn(process.execPath, args, { stdio: ['ignore', output, output] })
  const ended = new Promise<number>((resolve) => {
    child.on('close', (code) => resolve(code ?? 1))
  })
  const shown = [child.stdout, child.stderr].map((stream) => stream && buffer(stream))
  return { ended, shown }
})

let worst = 0
for (const { ended, shown } of runs) {
  worst = Math.max(worst, await ended)
  for (const text of shown) if (text) process.stdout.write(await text)
}
process.exitCode = worst
