import { createHash } from 'node:crypto'
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type Panel as GrafanaPanel,
  MappingType,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as StatesBuilder } from '@grafana/grafana-foundation-sdk/statetimeline'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as SeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import type { Annotation, Board, Column, Link, Panel, Target, Variable } from './board.ts'
import { limitOf } from './limits.ts'

/** The data sources by their fixed uids: see grafana/provisioning/datasources. */
export const provisioned = {
  prometheus: { type: 'prometheus', uid: 'joulebridge-prometheus', name: 'Joulebridge Prometheus' },
  record: {
    type: 'grafana-postgresql-datasource',
    uid: 'joulebridge-record',
    name: 'Joulebridge record',
  },
} as const

/** A site that has sources of its own chooses them at the top of a dashboard. */
const prometheusSource = { type: provisioned.prometheus.type, uid: '${prometheus}' }
const recordSource = { type: provisioned.record.type, uid: '${record}' }

/** Grafana's JSON of a dashboard, for provisioning from files. */
export function boardJson(board: Board): Dashboard {
  const builder = new DashboardBuilder(board.title)
    .uid(board.uid)
    .description(board.description)
    .tags(['joulebridge'])
    .timezone('browser')
    .refresh('30s')
    .time({ from: board.from, to: 'now' })
    .tooltip(DashboardCursorSync.Crosshair)
    .readonly()
    .link(
      new DashboardLinkBuilder('Joulebridge')
        .type(DashboardLinkType.Dashboards)
        .tags(['joulebridge'])
        .asDropdown(true)
        .keepTime(true),
    )
  builder.withVariable(sourceBuilder('prometheus', 'Prometheus'))
  builder.withVariable(sourceBuilder('record', 'Record'))
  for (const variable of board.variables) builder.withVariable(variableBuilder(variable))
  for (const annotation of board.annotations ?? []) builder.annotation(annotated(annotation))
  for (const row of board.rows) {
    builder.withRow(new RowBuilder(row.title).id(panelId({ title: `row ${row.title}` })))
    for (const panel of row.panels) builder.withPanel(panelBuilder(panel))
  }
  return { ...builder.build(), id: null }
}

/** In the grid's rows of 30 pixels. */
export function heightOf({ height, kind }: Panel): number {
  return height ?? (kind === 'stat' ? 4 : 8)
}

/** Number of a panel in its dashboard: by its title, so that others may come and go. */
export function panelId({ title }: { title: string }): number {
  return createHash('sha256').update(title).digest().readUInt32BE() >>> 1
}

function sourceBuilder(name: keyof typeof provisioned, label: string): DatasourceVariableBuilder {
  const { type, uid, name: text } = provisioned[name]
  return new DatasourceVariableBuilder(name).label(label).type(type).current({ text, value: uid })
}

function variableBuilder({ name, label, query, multi }: Variable): QueryVariableBuilder {
  const builder = new QueryVariableBuilder(name)
    .label(label)
    .datasource('promql' in query ? prometheusSource : recordSource)
    .query('promql' in query ? { query: query.promql, refId: name } : query.sql)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .multi(multi)
    .includeAll(multi)
  // The newest job first, names in their order.
  builder.sort('promql' in query ? VariableSort.NaturalAsc : VariableSort.Disabled)
  if ('promql' in query && query.regex) builder.regex(query.regex)
  if (multi) builder.allValue('.+').current({ text: 'All', value: '$__all' })
  return builder
}

function annotated({ name, color, sql }: Annotation): AnnotationQueryBuilder {
  return new AnnotationQueryBuilder()
    .name(name)
    .datasource(recordSource)
    .enable(true)
    .iconColor(color)
    .target({ build: () => ({ ...sqlTarget(sql, 'table'), refId: 'annotation' }) })
}

function panelBuilder(panel: Panel): Builder<GrafanaPanel> {
  const builder = kindBuilder(panel)
    .id(panelId(panel))
    .title(panel.title)
    .description(panel.description)
    .unit(panel.unit)
    .span(panel.width)
    .height(heightOf(panel))
    .noValue(panel.mayBeEmpty ?? 'no data')
    .thresholds(thresholds(panel))
    .datasource('promql' in (panel.targets[0] ?? {}) ? prometheusSource : recordSource)
  if (panel.min !== undefined) builder.min(panel.min)
  if (panel.max !== undefined) builder.max(panel.max)
  if (panel.decimals !== undefined) builder.decimals(panel.decimals)
  if (panel.link) builder.dataLinks([dataLink(panel.link)])
  if (panel.words) builder.mappings([mapping(panel.words)])
  for (const [i, target] of panel.targets.entries()) builder.withTarget(query(target, i, panel))
  for (const column of panel.columns ?? []) {
    builder.overrideByName(column.name, columnProperties(column))
  }
  return builder
}

function kindBuilder(panel: Panel): StatBuilder | StatesBuilder | TableBuilder | SeriesBuilder {
  if (panel.kind === 'stat') {
    return new StatBuilder().reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
  }
  if (panel.kind === 'states') return new StatesBuilder().mergeValues(true)
  if (panel.kind === 'table') {
    const shown = (panel.columns ?? []).map(({ name }) => name)
    return new TableBuilder().filterable(true).withTransformation({
      id: 'filterFieldsByName',
      options: { include: { names: shown } },
    })
  }
  const builder = new SeriesBuilder()
    .lineWidth(1)
    .fillOpacity(panel.stacked ? 40 : 0)
    .legend(legend(panel))
    .tooltip(
      new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending),
    )
  if (panel.stacked) builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal))
  if (panel.limits) {
    builder.thresholdsStyle(
      new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed),
    )
  }
  // An axis that ends short of a limit would not show how far it is.
  const { least, most } = reach(panel)
  if (least !== undefined) builder.axisSoftMin(least)
  if (most !== undefined) builder.axisSoftMax(most)
  return builder
}

/** Where there is room: a table beside the chart, the greatest first, which scrolls. */
function legend({ width }: Panel): VizLegendOptionsBuilder {
  const builder = new VizLegendOptionsBuilder().showLegend(true)
  if (width < 12) {
    return builder.displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom)
  }
  return builder
    .displayMode(LegendDisplayMode.Table)
    .placement(LegendPlacement.Right)
    .calcs(['lastNotNull', 'max'])
    .sortBy('Last *')
    .sortDesc(true)
}

/** What the axis of a panel must at least take in, so that its limits are seen. */
export function reach({ limits }: Panel): { least?: number; most?: number } {
  const { above = {}, below = {} } = limits ?? {}
  const most = above.critical ?? above.warning
  const least = below.critical ?? below.warning
  return {
    ...(most !== undefined && { most: limitOf(most) }),
    ...(least !== undefined && { least: limitOf(least) }),
  }
}

/** Green where nothing is said; yellow and red beyond the limits that the alerts have. */
function thresholds({ limits = {}, badAbove }: Panel): ThresholdsConfigBuilder {
  const { above = {}, below = {} } = limits
  const at = (limit: string | undefined, color: string) =>
    limit === undefined ? [] : [{ value: limitOf(limit), color }]
  const under = [
    ...(below.critical === undefined ? [] : [{ value: null, color: 'red' }]),
    ...(below.warning === undefined
      ? []
      : [
          { value: below.critical === undefined ? null : limitOf(below.critical), color: 'yellow' },
        ]),
    ...at(below.warning ?? below.critical, 'green'),
  ]
  const steps = [
    ...(under.length > 0 ? under : [{ value: null, color: 'green' }]),
    ...at(above.warning, 'yellow'),
    ...at(above.critical, 'red'),
    // A step holds from its value on.
    ...(badAbove === undefined ? [] : [{ value: badAbove + 1e-9, color: 'yellow' }]),
  ]
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps)
}

function query(target: Target, i: number, panel: Panel): Builder<Dataquery> {
  const refId = String.fromCharCode(65 + i)
  if ('sql' in target) {
    const built = { ...sqlTarget(target.sql, target.timeSeries ? 'time_series' : 'table'), refId }
    return { build: () => built }
  }
  const builder = new DataqueryBuilder()
    .refId(refId)
    .datasource(prometheusSource)
    .expr(target.promql)
    .legendFormat(target.legend ?? '')
  if (target.instant) builder.instant()
  else builder.range()
  if (panel.kind === 'table') builder.format(PromQueryFormat.Table)
  return builder
}

function sqlTarget(rawSql: string, format: 'table' | 'time_series') {
  const text = { rawSql, format, rawQuery: true, editorMode: 'code' }
  return { datasource: recordSource, ...text, _implementsDataqueryVariant: () => {} }
}

function columnProperties({ title, unit, link }: Column) {
  return [
    { id: 'displayName', value: title },
    { id: 'unit', value: unit ?? 'string' },
    ...(link ? [{ id: 'links', value: [{ title: link.title, url: linkUrl(link) }] }] : []),
  ]
}

function dataLink(link: Link): DashboardLinkBuilder {
  return new DashboardLinkBuilder(link.title).type(DashboardLinkType.Link).url(linkUrl(link))
}

function linkUrl({ board, variables }: Link): string {
  const chosen = Object.entries(variables).map(([name, value]) => `var-${name}=${value}`)
  return `/d/${board}?${[...chosen, '${__url_time_range}'].join('&')}`
}

function mapping(words: NonNullable<Panel['words']>): ValueMapping {
  const entries = Object.entries(words).map(([value, word], index) => [value, { ...word, index }])
  return { type: MappingType.ValueToText, options: Object.fromEntries(entries) } as ValueMapping
}
