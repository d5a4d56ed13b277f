import { readdirSync, readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { type AlertGroup, alertProvisioning, type PrometheusAlert } from './alert-json.ts'
import { boardJson } from './board-json.ts'
import { boards } from './boards.ts'

/** What `dashboards/grafana` holds besides what is written by hand: texts by path. */
export function grafanaFiles(): Map<string, string> {
  const dashboards = boards.map(
    (board) =>
      [
        `dashboards/Joulebridge/${board.uid}.json`,
        `${JSON.stringify(boardJson(board), null, 2)}\n`,
      ] as const,
  )
  const alerts = `# Made from dashboards/rules by \`npm run dashboards\`.\n${stringify(
    alertProvisioning(alertGroups(), boards),
    { aliasDuplicateObjects: false },
  )}`
  return new Map([...dashboards, ['provisioning/alerting/joulebridge.yml', alerts]])
}

interface RuleFile {
  groups: readonly {
    name: string
    interval?: string
    rules: readonly (Partial<PrometheusAlert> & { record?: string })[]
  }[]
}

/** The groups of the rules that alert, without their recording rules. */
export function alertGroups(): AlertGroup[] {
  return ruleGroups()
    .map(({ name, interval = '1m', rules }) => ({
      name,
      interval,
      alerts: rules.filter((rule): rule is PrometheusAlert => rule.alert !== undefined),
    }))
    .filter(({ alerts }) => alerts.length > 0)
}

/** Names of what the rules record. */
export function recordedNames(): string[] {
  return ruleGroups().flatMap(({ rules }) => rules.flatMap(({ record }) => record ?? []))
}

function ruleGroups(): RuleFile['groups'] {
  const folder = new URL('../rules/', import.meta.url)
  return readdirSync(folder)
    .sort()
    .flatMap((file) => (parse(readFileSync(new URL(file, folder), 'utf8')) as RuleFile).groups)
}
