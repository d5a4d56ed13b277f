import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

const file = new URL('../rules/site.yml', import.meta.url)

/** Value of a limit in the rules' site.yml. @throws where it has no such limit. */
export function limitOf(name: string): number {
  const value = known.get(name)
  if (value === undefined) throw new Error(`dashboards/rules/site.yml has no limit ${name}`)
  return value
}

interface SiteFile {
  groups: readonly { rules: readonly { record: string; expr: unknown }[] }[]
}

const { groups } = parse(readFileSync(file, 'utf8')) as SiteFile
const known = new Map(
  groups
    .flatMap(({ rules }) => rules)
    .map(({ record, expr }) => [record, Number(expr)] as const)
    .filter(([, value]) => Number.isFinite(value)),
)
