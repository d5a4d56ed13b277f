/** Answers of power control's HTTP API, that of HPE's PCS, as far as the page reads them. */
export const operations = [
  'On',
  'Soft-Off',
  'Off',
  'Soft-Restart',
  'Hard-Restart',
  'Init',
  'Force-Off',
] as const
export type Operation = (typeof operations)[number]

export interface ComponentStatus {
  xname: string
  powerState: string
  error: string
  changedAt?: string
}

export interface Plan {
  operation: Operation
  plan: {
    order?: number
    xname: string
    action: 'send' | 'skip' | 'wait' | 'blocked'
    reason: string
    method?: string
    url?: string
    body?: unknown
  }[]
}

export interface TransitionSummary {
  transitionID: string
  operation: Operation
  createTime: string
  transitionStatus: string
  taskCounts: Record<string, number>
  result?: string
}

export interface Transition extends TransitionSummary {
  tasks: {
    xname: string
    state?: string
    taskStatus: string
    taskStatusDescription: string
    error?: string
    powerStateBefore?: string
    powerState?: string
  }[]
}

export interface AuditRow {
  auditID: string
  time: string
  event: string
  user?: string
  xname?: string
  sent?: string
  outcome?: string
  reason?: string
}
