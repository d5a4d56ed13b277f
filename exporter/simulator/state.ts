import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { replaceFile } from '../service/directory.ts'
import type { Seconds } from './load.ts'
import { resetTypes, type Story } from './timeline.ts'

const at = z.number()
const workloadChange = z.strictObject({ at, seed: z.int(), jobsPerHour: z.number().positive() })
const slot = z.strictObject({ name: z.string(), state: z.enum(['On', 'Off']), at })
const action = z.strictObject({ at, xname: z.string(), resetType: z.enum(resetTypes) })

/** What `simulator.json` holds: all that a later start needs to tell the same story on. */
const stateSchema = z.strictObject({
  epoch: at,
  workloads: z.tuple([workloadChange], workloadChange),
  actions: z.array(action),
  /** Chassis and slots that were ever switched, by what they are now. */
  slots: z.array(slot).default([]),
  /** Samples up to here are in the record, by history or because we were there to be asked. */
  recordedUntil: at,
  /** How many of the story's job events the bridge has accepted. */
  acceptedEvents: z.int().min(0),
})

export type State = z.output<typeof stateSchema> & Story

export interface StateFile {
  state: State
  save(): Promise<void>
}

export interface StartOfStory {
  now: Seconds
  seed: number
  jobsPerHour: number
  historyHours: number
}

/**
 * Reads the state in `directory`, or begins a story `historyHours` ago. Another seed or rate than
 * last time holds from now on: what has happened stays as it was.
 * @throws {Error} naming the file, when it is not one of ours.
 */
export async function openState(directory: string, start: StartOfStory): Promise<StateFile> {
  await mkdir(directory, { recursive: true })
  const file = join(directory, 'simulator.json')
  const state = (await readState(file)) ?? newState(start)
  const { seed, jobsPerHour } = start
  const last = state.workloads.at(-1)
  if (last?.seed !== seed || last.jobsPerHour !== jobsPerHour) {
    state.workloads.push({ at: Math.ceil(start.now), seed, jobsPerHour })
  }
  let writing = Promise.resolve()
  const save = () => {
    writing = writing.then(
      () => replaceFile(file, JSON.stringify(state, undefined, 2)),
      () => replaceFile(file, JSON.stringify(state, undefined, 2)),
    )
    return writing
  }
  await save()
  return { state, save }
}

async function readState(file: string): Promise<State | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new Error(`${file}: not a state of the simulator`, { cause })
  }
}

/** The story begins on a whole minute, with idle machines. */
function newState({ now, seed, jobsPerHour, historyHours }: StartOfStory): State {
  const epoch = Math.floor(now / 60) * 60 - Math.round(historyHours * 3600)
  return {
    epoch,
    workloads: [{ at: epoch, seed, jobsPerHour }],
    actions: [],
    slots: [],
    recordedUntil: epoch,
    acceptedEvents: 0,
  }
}
