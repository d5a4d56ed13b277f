import { siteLimits } from '../alerts.ts'

const known = siteLimits()

/** Value of a limit in the rules' site.yml. @throws where it has no such limit. */
export function limitOf(name: string): number {
  const value = known.get(name)
  if (value === undefined) throw new Error(`dashboards/rules/site.yml has no limit ${name}`)
  return value
}
