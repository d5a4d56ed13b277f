import {
  type Action,
  isRestart,
  resetTypeFor,
  supportedOperations,
  wayAround,
  wayOff,
} from './operation.ts'
import type { PowerState } from './system.ts'
import { hasEnded, type Phase, type Task } from './task.ts'

/** What has just come to be known. */
export type Observation =
  | {
      kind: 'system'
      powerState: PowerState | undefined
      resetTypes: readonly string[]
      /** When the device was last restarted, as it says. */
      lastRestart?: string | undefined
    }
  /** The device knows no such component. */
  | { kind: 'missing' }
  /** A read that failed; `lasting`: asking again is of no use. */
  | { kind: 'silent'; reason: string; lasting: boolean }
  /** What became of the command: taken, refused, to be repeated later, or not known. */
  | { kind: 'accepted' }
  | { kind: 'refused'; reason: string }
  | { kind: 'busy'; reason: string; retryAfterSeconds: number }
  | { kind: 'unknown'; reason: string }
  /** A component that it waited for has ended in the wrong state. */
  | { kind: 'blocked'; by: string }
  | { kind: 'abort' }

/**
 * `task` is the task from now on; it is to be kept before the step is taken. `yield`: it waits for
 * its turn among the components around it.
 */
export type Step =
  | { next: 'reset'; resetType: string; task: Task; reason: string }
  | { next: 'wait'; until: Date; task: Task; reason: string }
  | { next: 'yield'; task: Task; reason: string }
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
      return onSystem(seeing(task, observation), observation, at)
    case 'missing':
      return onMissing(task, at)
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
    case 'blocked':
      return fail(task, { error: blockedText(task.phase, observation.by) })
  }
}

function blockedText(phase: Phase, by: string): string {
  return phase === 'on' ? `${by} is not confirmed on` : `${by} is not confirmed off`
}

type Seen = Observation & { kind: 'system' }

/** A restart is proven by any state but On after the command, or by a later time of restart. */
function seeing(task: Task, { powerState, lastRestart }: Seen): Task {
  const moved = powerState !== undefined && powerState !== 'On'
  const isLater = lastRestart !== undefined && lastRestart !== task.mark
  const restarted = task.mark !== undefined && isLater
  const isSent = task.command !== 'none'
  return {
    ...task,
    silences: 0,
    observed: powerState,
    observedBefore: task.observedBefore ?? powerState,
    mark: task.mark ?? lastRestart,
    isProven: task.isProven || (isSent && (moved || restarted)),
  }
}

function onSystem(task: Task, seen: Seen, at: Moment): Step {
  if (task.action !== undefined) return pursue({ ...task, action: task.action }, seen, at)
  if (!supportedOperations(seen.resetTypes, task).includes(task.operation)) {
    return unsupported(task, seen)
  }
  const running = isRunning(seen.powerState)
  const { operation } = task
  if ((operation === 'Soft-Restart' || operation === 'Hard-Restart') && !running) {
    const description = `Component must be in the On state for ${operation}`
    const error = 'Component is in the wrong power state'
    return fail(task, { description, error, reason: report(seen) })
  }
  const action = firstAction(task, running, seen.resetTypes)
  if (seen.powerState === goalOf(action) && !isAround(action)) {
    return succeed(task, 'Component already in desired state', report(seen))
  }
  const begun: Chosen = phase({ ...task, action }, at.now)
  return action === 'on' && task.phase === 'off'
    ? turn(begun, report(seen))
    : pursue(begun, seen, at)
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

/** With others around it that go off as well, a component is turned off, then on. */
function firstAction(task: Task, running: boolean, offered: readonly string[]): Action {
  const { operation, isController, hasParents, hasChildren } = task
  if (operation === 'On' || (operation === 'Init' && !running)) return 'on'
  const isAlone = !hasParents && !hasChildren
  if (operation === 'Soft-Restart' && (isAlone || isController)) {
    const around = wayAround(offered, task)
    if (around !== undefined) return around
  }
  return wayOff(operation, offered, task) ?? 'gracefulshutdown'
}

/** Whether the action is a whole restart, whose goal was reached before it began. */
function isAround(action: Action): boolean {
  return action === 'gracefulrestart' || action === 'forcerestart'
}

function goalOf(action: Action): PowerState {
  return action === 'gracefulshutdown' || action === 'forceoff' ? 'Off' : 'On'
}

/** A task whose action is chosen. */
type Chosen = Task & { action: Action }

function pursue(task: Chosen, seen: Seen, at: Moment): Step {
  const isThere = seen.powerState === goalOf(task.action)
  if (isThere && (!isAround(task.action) || task.isProven)) return reached(task, seen)
  if (isOverdue(task, at.now)) return overdue(task, seen, at)
  const moving = seen.powerState === 'PoweringOn' || seen.powerState === 'PoweringOff'
  const reports = report(seen)
  if (task.command === 'accepted') return wait(task, at, reports)
  // A device drops what it is told while it is at work; only ForceOff gets through.
  if (moving && task.action !== 'forceoff') return wait(task, at, reports)
  if (task.command === 'none') return send(task, seen, at, reports)
  // Of a restart that may have been sent, On tells nothing: it is not sent twice on suspicion.
  if (isAround(task.action) && task.mark === undefined) return wait(task, at, reports)
  if (task.tries >= maxTries || at.now < retryAt(task, at)) return wait(task, at, reports)
  return send(task, seen, at, `${reports}, the outcome of try ${task.tries} is unknown`)
}

/** When a command of unknown outcome may be repeated: the device needs time to show an effect. */
function retryAt(task: Task, at: Moment): Date {
  return addSeconds(task.sentAt ?? at.now, backOff(at.confirmSeconds, task.tries))
}

function reached(task: Chosen, seen: Seen): Step {
  const reports = report(seen)
  const description = `Transition confirmed, ${task.action}`
  if (isLast(task)) {
    return succeed({ ...task, confirmedBy: 'power_state' }, description, reports)
  }
  return turn({ ...task, description: `${description}. Waiting for next transition` }, reports)
}

/** It is off, and comes on when those around it let it. */
function turn(task: Task, reason: string): Step {
  const next: Task = { ...task, phase: 'on', action: 'on', command: 'none', tries: 0 }
  return { next: 'yield', task: { ...next, deadlineAt: undefined }, reason }
}

function isLast(task: Chosen): boolean {
  return !isRestart(task.operation) || goalOf(task.action) === 'On'
}

function isOverdue(task: Task, now: Date): boolean {
  return task.deadlineAt !== undefined && now >= task.deadlineAt
}

/** Past its deadline a graceful off is forced where that was asked for and is offered. */
function overdue(task: Chosen, seen: Seen, at: Moment): Step {
  const isSoft = task.operation === 'Soft-Off'
  const mayForce = task.action === 'gracefulshutdown' && !isSoft
  if (mayForce && resetTypeFor('forceoff', seen.resetTypes) !== undefined) {
    const forced: Chosen = phase({ ...task, action: 'forceoff' as const }, at.now)
    return send(forced, seen, at, `the deadline of ${task.action} has passed`)
  }
  if (isAround(task.action) && task.command === 'accepted' && seen.powerState === 'On') {
    const description = `Transition applied, ${task.action}. The restart was not seen.`
    return succeed(task, description, report(seen))
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

/** What others wait for is confirmed, whatever was asked for. */
function onAccepted(task: Task, at: Moment): Step {
  const action = task.action ?? 'on'
  const isAwaited = task.phase === 'on' ? task.hasChildren : task.hasParents
  if (task.deadlineMinutes === 0 && isLast({ ...task, action }) && !isAwaited) {
    const description = `Transition applied, ${action}. Not confirming.`
    return succeed(task, description, 'the device took the command')
  }
  const description = `Confirming successful transition, ${action}`
  const waiting: Task = { ...task, command: 'accepted', description }
  return wait(waiting, at, 'the device took the command')
}

function onBusy(task: Task, busy: { reason: string; retryAfterSeconds: number }, at: Moment): Step {
  const seconds = Math.max(busy.retryAfterSeconds, backOff(at.confirmSeconds, task.tries))
  const waiting: Task = { ...task, command: 'none' }
  return wait(waiting, at, `the device is busy: ${busy.reason}`, seconds)
}

/** A controller that has just got power lists its nodes late. */
function onMissing(task: Task, at: Moment): Step {
  const reason = 'the device has no such component'
  if (task.hasParents && !isOverdue(task, at.now)) return wait(task, at, reason)
  return fail(task, { error: 'Missing xname', reason })
}

/** Within a parent that has just got power, a controller needs minutes until it answers. */
function onSilence(task: Task, silent: { reason: string; lasting: boolean }, at: Moment): Step {
  const unsent = task.sentAt === undefined
  const silences = task.silences + (unsent ? 1 : 0)
  const isTooMany = silences >= maxSilences && !task.hasParents
  if (silent.lasting || isTooMany) {
    const description = unsent ? notAchieved : 'Failed to confirm transition'
    return fail({ ...task, observed: undefined }, { description, error: silent.reason })
  }
  const isProven = task.isProven || (task.isController && task.command !== 'none')
  const heard: Task = { ...task, silences, observed: undefined, isProven }
  if (isOverdue(task, at.now)) return timeOut(heard, silent.reason)
  return wait(heard, at, silent.reason, backOff(at.confirmSeconds, silences))
}

function begin(task: Task, now: Date): Task {
  return task.deadlineAt === undefined ? { ...phase(task, now), state: 'in-progress' } : task
}

/** The task at the start of a new action, with the whole time for it. */
function phase<T extends Task>(task: T, now: Date): T {
  const minutes = task.deadlineMinutes === 0 ? unconfirmedMinutes : task.deadlineMinutes
  const seconds = (task.action && task.deadlineSeconds[task.action]) ?? minutes * 60
  const end = task.expiresAt.getTime()
  const deadline = seconds < 0 ? end : Math.min(now.getTime() + seconds * 1000, end)
  return { ...task, command: 'none', tries: 0, deadlineAt: new Date(deadline) }
}

export const abortText = {
  descriptionPrefix: 'Aborted. Last status - ',
  error: 'Transition aborted',
  reason: 'the transition was aborted',
}

function cancel(task: Task): Step {
  const { descriptionPrefix, error, reason } = abortText
  const description = descriptionPrefix + task.description
  return { next: 'finish', task: { ...task, state: 'cancelled', description, error }, reason }
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
