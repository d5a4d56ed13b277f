import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { metrics } from '../exporter/metrics.ts'
import { runCommand } from './support/command.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const file = join(root, 'README.md')
const readme = readFileSync(file, 'utf8')

describe('README.md', () => {
  it('lists the metrics that the exporter has', () => {
    const renewed = readme.replace(
      /(<!-- metrics: .* -->\n)[\s\S]*?(<!-- \/metrics -->)/,
      `$1${table()}$2`,
    )
    if (process.env['UPDATE']) writeFileSync(file, renewed)
    else assert.equal(readme, renewed, 'renew it: UPDATE=1 npx mocha test/readme.test.ts')
  })

  it('shows a settings file that check-config accepts', async () => {
    const settings = /```yaml\n(# joulebridge\.yml\n[\s\S]*?)```/.exec(readme)?.[1] ?? ''
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-readme-'))
    const example = join(directory, 'joulebridge.yml')
    await writeFile(example, settings)
    const check = runCommand('check-config', '--config.file', example)
    assert.equal(await check.ended, 0, check.stderr())
    await rm(directory, { recursive: true })
  })

  it('points to pictures and files that exist', () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target ?? '')
    assert.ok(links.length > 0)
    assert.deepEqual(
      links.filter((link) => !existsSync(join(root, link))),
      [],
    )
  })
})

function table(): string {
  const rows = metrics.map(
    ({ name, type, labels, help }) =>
      `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help.replace(/\|/g, '\\|')} |\n`,
  )
  return [
    '| metric | type | labels | what and whence |\n',
    '| --- | --- | --- | --- |\n',
    ...rows,
  ].join('')
}
