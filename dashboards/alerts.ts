import { readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

const ownFile = fileURLToPath(new URL('rules/site.yml', import.meta.url))
const runbooks = new URL('runbooks/', import.meta.url)

interface SiteFile {
  groups: readonly { rules: readonly { record: string; expr: unknown }[] }[]
}

/** The limits of the rules' site.yml, or of a site's own copy of it, by name. */
export function siteLimits(file = ownFile): Map<string, number> {
  const { groups } = parse(readFileSync(file, 'utf8')) as SiteFile
  return new Map(
    groups
      .flatMap(({ rules }) => rules)
      .map(({ record, expr }) => [record, Number(expr)] as const)
      .filter(([, value]) => Number.isFinite(value)),
  )
}

/** Names of the alerts that the rules have. */
export function alertNames(): Set<string> {
  return new Set(readdirSync(runbooks).map((file) => file.replace(/\.md$/, '')))
}

/** What to do about an alert, as Markdown. The name must be one of `alertNames`. */
export async function runbookOf(alert: string): Promise<string> {
  return await readFile(new URL(`${alert}.md`, runbooks), 'utf8')
}
