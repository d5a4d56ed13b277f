import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { alertProvisioning, alertUid, panelsOf } from '../../dashboards/source/alert-json.ts'
import type { Limits, Panel } from '../../dashboards/source/board.ts'
import { heightOf, panelId } from '../../dashboards/source/board-json.ts'
import { boards } from '../../dashboards/source/boards.ts'
import { alertGroups, grafanaFiles, recordedNames } from '../../dashboards/source/files.ts'
import { provisioning } from '../support/grafana-schema.ts'
import { selectedMetrics, shownMetrics } from '../support/rules-metrics.ts'

const folder = new URL('../../dashboards/grafana/', import.meta.url)
const panels = boards.flatMap((board) =>
  panelsOf(board).map((panel) => ({ ...panel, board, place: `${board.title}: ${panel.title}` })),
)
const alerts = alertGroups().flatMap((group) => group.alerts)

describe('the dashboards for Grafana', () => {
  it('are the files that are committed; `npm run dashboards` renews them', () => {
    for (const [path, text] of grafanaFiles()) {
      const file = new URL(path, folder)
      assert.ok(existsSync(file), `${path} is not there`)
      assert.equal(readFileSync(file, 'utf8'), text, `${path} is stale`)
    }
  })

  it('have names and numbers that links can hold on to', () => {
    const uids = boards.map(({ uid }) => uid)
    assert.equal(new Set(uids).size, uids.length)
    for (const board of boards) {
      assert.match(board.uid, /^[a-z-]{1,40}$/)
      const ids = panelsOf(board).map(panelId)
      assert.equal(new Set(ids).size, ids.length, board.title)
      const widths = board.rows.map(({ panels }) =>
        panels.reduce((sum, { width }) => sum + width, 0),
      )
      assert.deepEqual(
        widths.filter((width) => width % 24 !== 0),
        [],
        `${board.title}: ragged rows`,
      )
      assert.deepEqual(board.rows.flatMap(({ panels }) => linesOf(panels)).filter(isRagged), [])
    }
  })

  it('say of each panel what it shows, in a unit', () => {
    for (const { description, unit, targets, place } of panels) {
      assert.match(description, /^[A-Z].*\.$/s, place)
      assert.notEqual(unit, '', place)
      assert.notEqual(targets.length, 0, place)
    }
  })

  it('lead to dashboards that exist, by variables that these have', () => {
    const links = panels.flatMap(({ link, columns = [], place }) =>
      [link, ...columns.map((column) => column.link)].flatMap((found) =>
        found ? [{ ...found, place }] : [],
      ),
    )
    assert.ok(links.length > 8)
    for (const { board: uid, variables, place } of links) {
      const target = boards.find((board) => board.uid === uid)
      const names = target?.variables.map(({ name }) => name) ?? []
      for (const name of Object.keys(variables))
        assert.ok(names.includes(name), `${place}: ${name}`)
    }
    const reached = new Set(links.map(({ board }) => board))
    for (const uid of ['cabinet', 'node', 'job', 'accounts']) {
      assert.ok(reached.has(`joulebridge-${uid}`), uid)
    }
  })

  it('ask only for metrics that Joulebridge shows or the rules record', async () => {
    const known = await shownMetrics()
    for (const name of [...recordedNames(), ...prometheusOwn]) known.add(name)
    const asked = panels.flatMap(({ targets, place }) =>
      targets
        .flatMap((target) => ('promql' in target ? [withoutMacros(target.promql)] : []))
        .flatMap(selectedMetrics)
        .map((name) => ({ name, place })),
    )
    assert.ok(asked.length > 60)
    // A pattern of names is tried by the real Prometheus alone.
    const unknown = asked.filter(({ name }) => !known.has(name) && !/[()]/.test(name))
    assert.deepEqual(unknown, [])
  })

  it('take rates over what Grafana finds long enough, and none of the last two samples', () => {
    const asked = panels.flatMap(({ targets, place }) =>
      targets.flatMap((target) =>
        'promql' in target ? [{ place, promql: target.promql.replace(/\s+/g, ' ') }] : [],
      ),
    )
    const rates = asked.filter(({ promql }) => /rate\(|increase\(/.test(promql))
    assert.ok(rates.length > 5)
    const windows = /(i?rate|increase)\((?:[^[\]]|\[\$__rate_interval\])*\[(?!\$__rate_interval\])/
    const odd = rates.filter(({ promql }) => /irate\(/.test(promql) || windows.test(promql))
    assert.deepEqual(odd, [])
  })

  it('show in one place what each alert is about, with the limits that it has', () => {
    for (const { alert } of alerts) {
      const showing = panels.filter((panel) => panel.alerts?.includes(alert))
      assert.equal(showing.length, 1, `${alert} is shown by ${showing.length} panels`)
    }
    const names = new Set(alerts.map(({ alert }) => alert))
    for (const { alerts: shown = [], limits, place } of panels) {
      for (const name of shown) assert.ok(names.has(name), `${place}: ${name}`)
      const own = alerts.filter(({ alert }) => shown.includes(alert))
      const used = new Set(own.flatMap(({ expr }) => selectedMetrics(expr)))
      for (const name of limitNames(limits)) assert.ok(used.has(name), `${place}: ${name}`)
    }
  })
})

describe('the alerts for Grafana', () => {
  it('have a name each that Grafana takes', () => {
    const uids = alerts.map(alertUid)
    assert.equal(new Set(uids).size, uids.length)
    for (const uid of uids) assert.match(uid, /^[a-z-]{1,40}$/)
  })

  it('keep $ in labels, where Grafana would put its environment, but for $$', () => {
    const rules = alertProvisioning(alertGroups(), boards).groups.flatMap(({ rules }) => rules)
    const labels = rules.flatMap((rule) => Object.values(rule.labels))
    assert.ok(labels.some((text) => text.includes('$$labels.xname')))
    assert.deepEqual(
      labels.filter((text) => /(?<!\$)\$(?!\$)/.test(text)),
      [],
    )
    const summaries = rules.map(({ annotations }) => annotations['summary'] ?? '')
    assert.deepEqual(
      summaries.filter((text) => text.includes('$$')),
      [],
    )
  })

  it('and the sources and folders are written in the fields that Grafana reads', () => {
    for (const [name, schema] of Object.entries(provisioning)) {
      const text = readFileSync(new URL(`provisioning/${name}/joulebridge.yml`, folder), 'utf8')
      const { error } = schema.safeParse(parse(text))
      assert.equal(error?.message, undefined, name)
    }
  })

  it('use only what templates of Grafana know', () => {
    const text = readFileSync(new URL('provisioning/alerting/joulebridge.yml', folder), 'utf8')
    const used = [...text.matchAll(/\{\{(.*?)\}\}/gs)].map(([, inner = '']) => inner)
    assert.ok(used.length > 50)
    const words = used.flatMap((inner) =>
      inner
        .replace(/"[^"]*"/g, ' ')
        .replace(/\$values\.answer\.Value|\${1,2}labels\.\w+/g, ' ')
        .split(/[\s|]+/),
    )
    const known = ['', '.', 'with', 'end', 'printf', 'reReplaceAll', 'humanize']
    known.push('humanizePercentage', 'humanizeDuration', 'humanize1024')
    assert.deepEqual(
      words.filter((word) => !known.includes(word)),
      [],
    )
  })
})

/** The panels that stand beside each other. */
function linesOf(panels: readonly Panel[]): Panel[][] {
  const lines: Panel[][] = []
  let taken = 24
  for (const panel of panels) {
    if (taken + panel.width > 24) {
      lines.push([])
      taken = 0
    }
    lines.at(-1)?.push(panel)
    taken += panel.width
  }
  return lines
}

function isRagged(line: readonly Panel[]): boolean {
  return new Set(line.map(heightOf)).size > 1
}

/** Metrics of Prometheus and of every process. */
const prometheusOwn = ['up', 'ALERTS', 'process_cpu_seconds_total', 'process_resident_memory_bytes']

function withoutMacros(promql: string): string {
  return promql.replace(/\$__\w+/g, '1')
}

function limitNames({ above = {}, below = {} }: Limits = {}): string[] {
  return [above, below].flatMap(({ warning, critical }) => [warning, critical].filter(isText))
}

function isText(value: string | undefined): value is string {
  return value !== undefined
}
