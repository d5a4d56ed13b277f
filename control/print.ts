import { z } from 'zod'
import { taskCounts } from './openapi/schema.ts'

/** A table for people: columns as wide as their widest cell, two blanks between. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [k, cell] of row.entries()) widths[k] = Math.max(widths[k] ?? 0, cell.length)
  }
  const line = (row: readonly string[]) =>
    row
      .map((cell, k) => cell.padEnd(widths[k] ?? 0))
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}

const statusAnswer = z.object({
  status: z.array(
    z.object({
      xname: z.string(),
      powerState: z.string(),
      managementState: z.string(),
      error: z.string().nullish(),
    }),
  ),
})

export function describeStatus(answer: unknown): string {
  const { status } = statusAnswer.parse(answer)
  if (status.length === 0) return 'no components'
  const rows = status.map(({ xname, powerState, managementState, error }) => {
    return [xname, powerState || '-', managementState || '-', error ?? '']
  })
  return table(rows)
}

const record = z.object({
  transitionStatus: z.string().optional(),
  taskStatus: z.string().optional(),
  taskCounts,
})

export interface WorkRecord {
  status: string
  counts: z.output<typeof taskCounts>
}

/** What transitions and power-cap tasks have in common. */
export function parseRecord(answer: unknown): WorkRecord {
  const { transitionStatus, taskStatus, taskCounts: counts } = record.parse(answer)
  return { status: transitionStatus ?? taskStatus ?? '', counts }
}

/** `in-progress: 3 of 8 ended, 1 failed` */
export function describeProgress({ status, counts }: WorkRecord): string {
  const { total, new: waiting, 'in-progress': open, failed, 'un-supported': none } = counts
  const bad = [failed > 0 ? `${failed} failed` : '', none > 0 ? `${none} unsupported` : '']
  const ended = `${total - waiting - open} of ${total} ended`
  return `${status}: ${[ended, ...bad].filter(Boolean).join(', ')}`
}

export function hasFailed({ status, counts }: WorkRecord): boolean {
  return status === 'aborted' || counts.failed + counts['un-supported'] > 0
}

const transition = z.object({
  transitionID: z.string(),
  operation: z.string(),
  tasks: z.array(
    z.object({
      xname: z.string(),
      taskStatus: z.string(),
      taskStatusDescription: z.string(),
      error: z.string().optional(),
    }),
  ),
})

export function describeTransition(answer: unknown): string {
  const { transitionID, operation, tasks } = transition.parse(answer)
  const rows = tasks.map(({ xname, taskStatus, taskStatusDescription, error }) => {
    return [xname, taskStatus, [taskStatusDescription, error].filter(Boolean).join(': ')]
  })
  const { status } = parseRecord(answer)
  return [`transition ${transitionID}: ${operation}, ${status}`, table(rows)].join('\n').trimEnd()
}

const cap = z.object({
  taskID: z.string(),
  type: z.string(),
  components: z.array(
    z.object({
      xname: z.string(),
      error: z.string().optional(),
      powerCapLimits: z
        .array(
          z.object({
            name: z.string(),
            currentValue: z.number(),
            minimumValue: z.number().optional(),
            maximumValue: z.number().optional(),
          }),
        )
        .nullish(),
    }),
  ),
})

export function describeCap(answer: unknown): string {
  const { taskID, type, components } = cap.parse(answer)
  const rows = components.flatMap(({ xname, error, powerCapLimits }) => [
    ...(error ? [[xname, error]] : []),
    ...(powerCapLimits ?? []).map(({ name, currentValue, minimumValue, maximumValue }) => {
      const value = currentValue === 0 ? 'none' : `${currentValue} W`
      return [xname, name, value, `${minimumValue ?? '?'} to ${maximumValue ?? '?'} W`]
    }),
  ])
  const { status } = parseRecord(answer)
  return [`power-cap task ${taskID}: ${type}, ${status}`, table(rows)].join('\n').trimEnd()
}

const plan = z.object({
  operation: z.string(),
  plan: z.array(
    z.object({
      order: z.number().optional(),
      xname: z.string(),
      action: z.string(),
      reason: z.string(),
      method: z.string().optional(),
      url: z.string().optional(),
      body: z.unknown().optional(),
      rampWatts: z.number().optional(),
      rampWattsFrom: z.string().optional(),
    }),
  ),
})

export function describePlan(answer: unknown): string {
  const { operation, plan: entries } = plan.parse(answer)
  const rows = entries.map(({ order, xname, action, reason, method, url, body, ...ramp }) => {
    const sent = method === undefined ? reason : `${method} ${url} ${JSON.stringify(body)}`
    const { rampWatts, rampWattsFrom } = ramp
    const counted = rampWatts === undefined ? [] : [`${rampWatts} W by ${rampWattsFrom}`]
    return [String(order ?? '-'), xname, action, sent, ...counted]
  })
  return [`${operation}: a dry run, nothing is sent`, table(rows)].join('\n').trimEnd()
}

const auditAnswer = z.object({
  audit: z.array(
    z.object({
      time: z.string(),
      event: z.string(),
      user: z.string().optional(),
      operation: z.string().optional(),
      xname: z.string().optional(),
      reason: z.string().optional(),
      before: z.string().optional(),
      after: z.string().optional(),
      sent: z.string().optional(),
      outcome: z.string().optional(),
    }),
  ),
})

/** The oldest first, as one reads. */
export function describeAudit(answer: unknown): string {
  const { audit } = auditAnswer.parse(answer)
  if (audit.length === 0) return 'nothing in the audit'
  const rows = audit.toReversed().map((row) => {
    const { time, event, user = '-', operation = '-', xname = '-', sent, outcome, reason } = row
    const states = row.before || row.after ? `${row.before ?? '?'} -> ${row.after ?? '?'}` : ''
    const rest = [sent, states, outcome, reason].filter(Boolean).join('; ')
    return [time, event, user, operation, xname, rest]
  })
  return table(rows)
}
