import { mkdirSync, writeFileSync } from 'node:fs'
import { grafanaFiles } from './files.ts'

const folder = new URL('../grafana/', import.meta.url)

for (const [path, text] of grafanaFiles()) {
  const file = new URL(path, folder)
  mkdirSync(new URL('.', file), { recursive: true })
  writeFileSync(file, text)
}
