import type { Action, Operation } from './operation.ts'
import type { PowerState } from './system.ts'

export const openStates = ['new', 'in-progress'] as const
export const endStates = ['succeeded', 'failed', 'timed-out', 'unsupported', 'cancelled'] as const
export type EndState = (typeof endStates)[number]
export type TaskState = (typeof openStates)[number] | EndState

/** `sending` stands before a command leaves: after a crash it may have been sent or not. */
export const commands = ['none', 'sending', 'accepted', 'unknown'] as const
export type Command = (typeof commands)[number]

/** `off` until the component is off, where the operation has such a half; `on` for the rest. */
export type Phase = 'off' | 'on'

/** One component's share of a transition: all that decides what is done next. */
export interface Task {
  operation: Operation
  /** Minutes for each phase; 0: do not confirm; negative: until `expiresAt`. */
  deadlineMinutes: number
  /** In place of the minutes, for some actions. */
  deadlineSeconds: Readonly<Partial<Record<Action, number>>>
  expiresAt: Date
  /** ForceOff may stand for a graceful off that is not offered. */
  forced: boolean
  /** A BMC: its power state is that it answers, and all that it can do is restart. */
  isController: boolean
  /** Whether others of the transition are done before it (on) or after it (off). */
  hasParents: boolean
  hasChildren: boolean
  phase: Phase
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
  /** What the device reported first and last; undefined: nothing, or no answer. */
  observedBefore: PowerState | undefined
  observed: PowerState | undefined
  /** What the device said of its last restart at first. */
  mark: string | undefined
  /** Whether a restart by one reset was seen to happen. */
  isProven: boolean
  /** What showed the state that the task succeeded with. */
  confirmedBy: 'power_state' | undefined
}

type Given = Pick<Task, 'operation' | 'deadlineMinutes' | 'expiresAt'>

/** A task of which nothing is known but what was asked for. */
export function newTask(given: Given & Partial<Task>): Task {
  return {
    deadlineSeconds: {},
    forced: false,
    isController: false,
    hasParents: false,
    hasChildren: false,
    phase: given.operation === 'On' || given.isController ? 'on' : 'off',
    state: 'new',
    description: 'Gathering data',
    error: undefined,
    action: undefined,
    resetType: undefined,
    command: 'none',
    sentAt: undefined,
    tries: 0,
    silences: 0,
    deadlineAt: undefined,
    observedBefore: undefined,
    observed: undefined,
    mark: undefined,
    isProven: false,
    confirmedBy: undefined,
    ...given,
  }
}

export function hasEnded(state: TaskState): state is EndState {
  return state !== 'new' && state !== 'in-progress'
}
