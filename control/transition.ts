import {
  type Action,
  isRestart,
  type Operation,
  resetTypeFor,
  supportedOperations,
} from './operation.ts'
import type { PowerState } from './system.ts'

export const openStates = ['new', 'in-progress'] as const
export const endStates = ['succeeded', 'failed', 'timed-out', 'unsupported', 'cancelled'] as const
export type EndState = (typeof endStates)[number]
export type TaskState = (typeof openStates)[number] | EndState

/** `sending` stands before a command leaves: after a crash it may have been sent or not. */
export const commands = ['none', 'sending', 'accepted', 'unknown'] as const
export type Command = (typeof commands)[number]

/** One component's share of a transition: all that decides what is done next. */
export interface Task {
  operation: Operation
  /** Minutes for each phase; 0: do not confirm; negative: until `expiresAt`. */
  deadlineMinutes: number
  expiresAt: Date
  state: TaskState
  description: string
  error: string | undefined
  /** What is being brought about; undefined until the device has been seen. */
  action: Action | undefined
  /** Of the newest command, as the device spells it. */
  resetType: string | undefined
  command: Command
  sentAt: Date | undefined
  /** How often the present action was sent. */
  tries: number
  /** Reads without an answer in a row. */
  silences: number
  deadlineAt: Date | undefined
}

/** What has just come to be known. */
export type Observation =
  | { kind: 'system'; powerState: PowerState | undefined; resetTypes: readonly string[] }
  /** The device knows no such component. */
  | { kind: 'missing' }
  /** A read that failed; `lasting`: asking again is of no use. */
  | { kind: 'silent'; reason: string; lasting: boolean }
  /** What became of the command: taken, refused, to be repeated later, or not known. */
  | { kind: 'accepted' }
  | { kind: 'refused'; reason: string }
  | { kind: 'busy'; reason: string; retryAfterSeconds: number }
  | { kind: 'unknown'; reason: string }
  | { kind: 'abort' }

/** `task` is the task from now on; it is to be kept before the step is taken. */
export type Step =
  | { next: 'reset'; resetType: string; task: Task; reason: string }
  | { next: 'wait'; until: Date; task: Task; reason: string }
  | { next: 'finish'; task: Task; reason: string }

export interface Moment {
  now: Date
  /** Pause between two looks. */
  confirmSeconds: number
}

/** Commands of one action whose outcome stays unknown. */
const maxTries = 3
/** Reads without an answer before a task that has sent nothing is given up. */
const maxSilences = 3
const maxBackOffSeconds = 30
const unconfirmedMinutes = 5

export function hasEnded(state: TaskState): state is EndState {
  return state !== 'new' && state !== 'in-progress'
}

/**
 * What to do next. A task ends at the latest one look after `expiresAt`; an ended task stays as
 * it is. Nothing is repeated before the state was read, and a command that was taken never.
 */
export function nextStep(task: Task, observation: Observation, at: Moment): Step {
  if (hasEnded(task.state)) return { next: 'finish', task, reason: 'it has ended' }
  const begun = begin(task, at.now)
  if (observation.kind === 'abort') return cancel(begun)
  const step = stepOf(begun, observation, at)
  if (step.next === 'finish' || at.now < task.expiresAt) return step
  return timeOut(begun, 'the transition has expired')
}

export const notAchieved = 'Failed to achieve transition'

function stepOf(
  task: Task,
  observation: Exclude<Observation, { kind: 'abort' }>,
  at: Moment,
): Step {
  switch (observation.kind) {
    case 'system':
      return onSystem({ ...task, silences: 0 }, observation, at)
    case 'missing':
      return fail(task, { error: 'Missing xname', reason: 'the device has no such system' })
    case 'silent':
      return onSilence(task, observation, at)
    case 'accepted':
      return onAccepted(task, at)
    case 'refused':
      return fail(task, { description: notApplied(task), error: observation.reason })
    case 'busy':
      return onBusy(task, observation, at)
    case 'unknown': {
      const waiting: Task = { ...task, command: 'unknown' }
      return wait(waiting, at, 'the outcome is unknown: the state is read before a repeat')
    }
  }
}

interface Seen {
  powerState: PowerState | undefined
  resetTypes: readonly string[]
}

function onSystem(task: Task, seen: Seen, at: Moment): Step {
  if (task.action !== undefined) return pursue({ ...task, action: task.action }, seen, at)
  const { operation } = task
  if (!supportedOperations(seen.resetTypes).includes(operation)) {
    return unsupported(task, seen)
  }
  const running = isRunning(seen.powerState)
  if ((operation === 'Soft-Restart' || operation === 'Hard-Restart') && !running) {
    const description = `Component must be in the On state for ${operation}`
    const error = 'Component is in the wrong power state'
    return fail(task, { description, error, reason: report(seen) })
  }
  const first = firstAction(operation, running)
  if (seen.powerState === goalOf(first)) {
    return succeed(task, 'Component already in desired state', report(seen))
  }
  return pursue({ ...task, action: first }, seen, at)
}

function unsupported(task: Task, { resetTypes }: Seen): Step {
  const ended: Task = {
    ...task,
    state: 'unsupported',
    description: `Component does not support the specified transition operation, ${task.operation}`,
    error: 'Unsupported for transition operation',
  }
  const reason = `the device allows ${resetTypes.join(', ') || 'no ResetType'}`
  return { next: 'finish', task: ended, reason }
}

function report({ powerState }: Seen): string {
  return `the device reports ${powerState ?? 'no power state'}`
}

function isRunning(state: PowerState | undefined): boolean {
  return state === 'On' || state === 'PoweringOff' || state === 'Paused'
}

function firstAction(operation: Operation, running: boolean): Action {
  if (operation === 'On' || (operation === 'Init' && !running)) return 'on'
  return operation === 'Force-Off' ? 'forceoff' : 'gracefulshutdown'
}

function goalOf(action: Action): PowerState {
  return action === 'on' ? 'On' : 'Off'
}

/** A task whose action is chosen. */
type Chosen = Task & { action: Action }

function pursue(task: Chosen, seen: Seen, at: Moment): Step {
  if (seen.powerState === goalOf(task.action)) return reached(task, seen, at)
  if (isOverdue(task, at.now)) return overdue(task, seen, at)
  const moving = seen.powerState === 'PoweringOn' || seen.powerState === 'PoweringOff'
  const reports = report(seen)
  if (task.command === 'accepted') return wait(task, at, reports)
  // A device drops what it is told while it is at work; only ForceOff gets through.
  if (moving && task.action !== 'forceoff') return wait(task, at, reports)
  if (task.command === 'none') return send(task, seen, at, reports)
  if (task.tries >= maxTries || at.now < retryAt(task, at)) return wait(task, at, reports)
  return send(task, seen, at, `${reports}, the outcome of try ${task.tries} is unknown`)
}

/** When a command of unknown outcome may be repeated: the device needs time to show an effect. */
function retryAt(task: Task, at: Moment): Date {
  return addSeconds(task.sentAt ?? at.now, backOff(at.confirmSeconds, task.tries))
}

function reached(task: Chosen, seen: Seen, at: Moment): Step {
  const reports = report(seen)
  const description = `Transition confirmed, ${task.action}`
  if (isLast(task)) return succeed(task, description, reports)
  const next: Chosen = { ...phase(task, at.now), action: 'on' }
  next.description = `${description}. Waiting for next transition`
  return send(next, seen, at, reports)
}

function isLast(task: Task): boolean {
  return !isRestart(task.operation) || task.action === 'on'
}

function isOverdue(task: Task, now: Date): boolean {
  return task.deadlineAt !== undefined && now >= task.deadlineAt
}

/** Past its deadline a graceful off is forced where that was asked for and is offered. */
function overdue(task: Chosen, seen: Seen, at: Moment): Step {
  const mayForce = task.action === 'gracefulshutdown' && task.operation !== 'Soft-Off'
  if (mayForce && resetTypeFor('forceoff', seen.resetTypes) !== undefined) {
    const forced: Chosen = { ...phase(task, at.now), action: 'forceoff' }
    return send(forced, seen, at, `the deadline of ${task.action} has passed`)
  }
  return timeOut(task, 'the deadline has passed')
}

function timeOut(task: Task, reason: string): Step {
  const error = `Timeout waiting for transition, ${task.action ?? task.operation}.`
  const ended: Task = { ...task, state: 'timed-out', description: notAchieved, error }
  return { next: 'finish', task: ended, reason }
}

function send(task: Chosen, seen: Seen, at: Moment, reason: string): Step {
  const resetType = resetTypeFor(task.action, seen.resetTypes)
  if (resetType === undefined) {
    const error = `The device no longer offers a ResetType for ${task.action}`
    return fail(task, { description: notApplied(task), error, reason })
  }
  const sending: Task = {
    ...task,
    description: `Applying transition, ${task.action}`,
    resetType,
    command: 'sending',
    sentAt: at.now,
    tries: task.tries + 1,
  }
  return { next: 'reset', resetType, task: sending, reason }
}

function onAccepted(task: Task, at: Moment): Step {
  if (task.deadlineMinutes === 0 && isLast(task)) {
    const description = `Transition applied, ${task.action}. Not confirming.`
    return succeed(task, description, 'the device took the command')
  }
  const description = `Confirming successful transition, ${task.action}`
  const waiting: Task = { ...task, command: 'accepted', description }
  return wait(waiting, at, 'the device took the command')
}

function onBusy(task: Task, busy: { reason: string; retryAfterSeconds: number }, at: Moment): Step {
  const seconds = Math.max(busy.retryAfterSeconds, backOff(at.confirmSeconds, task.tries))
  const waiting: Task = { ...task, command: 'none' }
  return wait(waiting, at, `the device is busy: ${busy.reason}`, seconds)
}

function onSilence(task: Task, silent: { reason: string; lasting: boolean }, at: Moment): Step {
  const unsent = task.sentAt === undefined
  const silences = task.silences + (unsent ? 1 : 0)
  if (silent.lasting || silences >= maxSilences) {
    const description = unsent ? notAchieved : 'Failed to confirm transition'
    return fail(task, { description, error: silent.reason })
  }
  if (isOverdue(task, at.now)) return timeOut(task, silent.reason)
  return wait({ ...task, silences }, at, silent.reason, backOff(at.confirmSeconds, silences))
}

function begin(task: Task, now: Date): Task {
  return task.deadlineAt === undefined ? { ...phase(task, now), state: 'in-progress' } : task
}

/** The task at the start of a new action, with the whole time for it. */
function phase<T extends Task>(task: T, now: Date): T {
  const minutes = task.deadlineMinutes === 0 ? unconfirmedMinutes : task.deadlineMinutes
  const end = task.expiresAt.getTime()
  const deadline = minutes < 0 ? end : Math.min(now.getTime() + minutes * 60_000, end)
  return { ...task, command: 'none', tries: 0, deadlineAt: new Date(deadline) }
}

function cancel(task: Task): Step {
  const ended: Task = {
    ...task,
    state: 'cancelled',
    description: `Aborted. Last status - ${task.description}`,
    error: 'Transition aborted',
  }
  return { next: 'finish', task: ended, reason: 'the transition was aborted' }
}

function succeed(task: Task, description: string, reason: string): Step {
  const ended: Task = { ...task, state: 'succeeded', description, error: undefined }
  return { next: 'finish', task: ended, reason }
}

function fail(task: Task, { description = notAchieved, error, reason = error }: Failure): Step {
  return { next: 'finish', task: { ...task, state: 'failed', description, error }, reason }
}

interface Failure {
  description?: string
  error: string
  reason?: string
}

/** Waits, but not past the deadline, at which there is something to decide. */
function wait(task: Task, at: Moment, reason: string, seconds = at.confirmSeconds): Step {
  const until = addSeconds(at.now, seconds)
  const { deadlineAt } = task
  const late = deadlineAt !== undefined && deadlineAt > at.now && deadlineAt < until
  return { next: 'wait', until: late ? deadlineAt : until, task, reason }
}

function notApplied(task: Task): string {
  return `Failed to apply transition, ${task.action}`
}

function backOff(confirmSeconds: number, tries: number): number {
  return Math.min(confirmSeconds * 2 ** tries, Math.max(confirmSeconds, maxBackOffSeconds))
}

function addSeconds(date: Date, seconds: number): Date {
  return new Date(date.getTime() + seconds * 1000)
}
