/** A dashboard as we think of it: `board-json.ts` makes Grafana's JSON of it. */
export interface Board {
  /** Stable, part of every link to it. */
  uid: string
  title: string
  description: string
  variables: readonly Variable[]
  /** From where the time range starts, such as `now-6h`. */
  from: string
  /** Jobs and power transitions are drawn over the charts. */
  annotations?: readonly Annotation[]
  rows: readonly Row[]
}

export interface Row {
  title: string
  panels: readonly Panel[]
}

/** How a panel shows its answers: lines, one number, a table, or states over time. */
export type PanelKind = 'series' | 'stat' | 'table' | 'states'

export interface Panel {
  kind: PanelKind
  title: string
  /** What is shown, whence, and what to make of it. */
  description: string
  /** Of Grafana's units, such as `watt`. A table's columns have their own in `columns`. */
  unit: string
  targets: readonly Target[]
  /** Of the 24 columns of the grid. */
  width: number
  height?: number
  min?: number
  max?: number
  decimals?: number
  /** Lines are summed up. */
  stacked?: boolean
  /** Limits that the panel's alerts have, from the rules' site.yml: colours change there. */
  limits?: Limits
  /** Of a stat: any value above turns it yellow, for which no alert has a limit. */
  badAbove?: number
  /** Alerts on what the panel shows: they lead to it. */
  alerts?: readonly string[]
  columns?: readonly Column[]
  /** Where a click on a value leads. */
  link?: Link
  /** Words for values, such as 1: On. */
  words?: Readonly<Record<string, Word>>
  /** Why a healthy system may have nothing to show here; what is shown then. */
  mayBeEmpty?: string
}

export type Target =
  | { promql: string; legend?: string; instant?: boolean }
  | { sql: string; timeSeries?: boolean }

/** Names of recording rules with the limits; a value beyond `above` or under `below` is bad. */
export interface Limits {
  above?: { warning?: string; critical?: string }
  below?: { warning?: string; critical?: string }
}

export interface Column {
  name: string
  title: string
  unit?: string
  link?: Link
}

export interface Link {
  title: string
  board: string
  /** The variables to set there: texts that may hold Grafana's `${__field.labels.x}`. */
  variables: Readonly<Record<string, string>>
}

export interface Word {
  text: string
  color?: 'green' | 'yellow' | 'red' | 'blue' | 'gray'
}

export interface Variable {
  name: string
  label: string
  /** A query of label values, or of one column. */
  query: { promql: string; regex?: string } | { sql: string }
  /** Several or all may be chosen; all is `.+`. */
  multi: boolean
}

export interface Annotation {
  name: string
  color: string
  /** Columns time, timeend, text, tags. */
  sql: string
}

/** The label values of the places within the chosen cabinets: `xname=~"..."`. */
export const inCabinet = 'xname=~"($cabinet)([a-z].*)?"'

export const cabinet: Variable = {
  name: 'cabinet',
  label: 'Cabinet',
  query: { promql: 'label_values(cray_device_up, xname)', regex: '/^(x\\d+)/' },
  multi: true,
}

export const account: Variable = {
  name: 'account',
  label: 'Account',
  query: { sql: 'select distinct account from job where account is not null order by 1' },
  multi: true,
}

/** To the cabinet, node or job that the value in question is of: by a series' label. */
export const toCabinet = linkTo('Cabinet', 'joulebridge-cabinet', 'cabinet')
export const toNode = linkTo('Node', 'joulebridge-node', 'xname')
export const toJob = linkTo('Job', 'joulebridge-job', 'jobid')

function linkTo(title: string, board: string, label: string): Link {
  const value = `\${__field.labels.${label}}`
  return { title: `${title} ${value}`, board, variables: { [label]: value } }
}

/** The same from a cell of a table. */
export const jobColumn: Column = {
  name: 'job_id',
  title: 'Job',
  link: cellLink('Job', 'joulebridge-job', 'jobid'),
}
export const cabinetColumn: Column = {
  name: 'cabinet',
  title: 'Cabinet',
  link: cellLink('Cabinet', 'joulebridge-cabinet', 'cabinet'),
}
export const nodeColumn: Column = {
  name: 'xname',
  title: 'Place',
  link: cellLink('Node', 'joulebridge-node', 'xname'),
}

function cellLink(title: string, board: string, variable: string): Link {
  return { title: `${title} \${__value.raw}`, board, variables: { [variable]: '${__value.raw}' } }
}

export const jobAnnotation: Annotation = {
  name: 'Jobs',
  color: 'blue',
  sql: `select started_at as time, ended_at as timeend,
  'job ' || job_id || ' ' || coalesce(name, '') as text, coalesce(user_name, '') as tags
from job
where started_at >= $__timeFrom()::timestamptz and started_at < $__timeTo()::timestamptz
order by started_at desc limit 100`,
}

export const transitionAnnotation: Annotation = {
  name: 'Power transitions',
  color: 'orange',
  sql: `select t.created_at as time, max(k.ended_at) as timeend,
  t.operation || ' of ' || count(*) || ' components' as text, 'power' as tags
from transition t
join task k using (transition_id)
where t.created_at >= $__timeFrom()::timestamptz and t.created_at < $__timeTo()::timestamptz
group by t.transition_id
order by t.created_at desc limit 100`,
}
