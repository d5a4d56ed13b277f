import { z } from 'zod'
import { auditEvents } from '../audit.ts'
import { actions, operations, parseOperation } from '../operation.ts'
import { endStates, openStates } from '../task.ts'

/*
 * What goes over the wire: requests are parsed by these schemas, and the OpenAPI document is made
 * from them. Names, enums and hyphens are those of HPE's Power Control Service, version 1.
 */

const xname = z.string().max(64).meta({ description: 'Name of a place, such as x1000c0s0b0n0.' })
const reason = z
  .string()
  .max(1000)
  .nullish()
  .meta({ description: 'Why; kept in the audit. Not in PCS.' })
const dryRun = z.boolean().nullish().meta({
  description: 'Answer with the whole plan, and store and send nothing. Not in PCS.',
})
const override = z.boolean().nullish().meta({
  description: 'Also protected components; needs the right override. Not in PCS.',
})
const confirm = z.int().min(0).nullish().meta({
  description:
    'The number of components: needed for more than the setting confirm_above. Not in PCS.',
})

const operation = z
  .string()
  .meta({ description: `One of ${operations.join(', ')}, in any case.` })
  .transform((text, context) => {
    const found = parseOperation(text)
    if (found !== undefined) return found
    const message = `${JSON.stringify(text)} is no operation; there are ${operations.join(', ')}`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })

const seconds = z.number().positive().max(31_536_000)

export const transitionBody = z.object({
  operation,
  taskDeadlineMinutes: z
    .int()
    .min(-525_600)
    .max(525_600)
    .nullish()
    .transform((minutes) => minutes ?? 5)
    .meta({ description: 'For each phase of a task; 0: do not confirm; negative: no deadline.' }),
  location: z
    .array(z.object({ xname, deputyKey: z.string().nullish() }))
    .nullish()
    .transform((location) => location ?? [])
    .meta({ description: 'The components. There are no reservations: a deputyKey is ignored.' }),
  deadlineSeconds: z
    .partialRecord(z.enum(actions), seconds)
    .nullish()
    .meta({ description: 'In place of the minutes, by what is brought about. Not in PCS.' }),
  recursive: z
    .boolean()
    .nullish()
    .meta({ description: 'Also all that is known within the components. Not in PCS.' }),
  prereq: z
    .boolean()
    .nullish()
    .meta({ description: 'Also all around the components that has a switch. Not in PCS.' }),
  allowForce: z.boolean().nullish().meta({
    description: 'ForceOff where a component offers nothing graceful. Not in PCS.',
  }),
  allowRunningJobs: z
    .boolean()
    .nullish()
    .meta({ description: 'Also components on which a job runs. Not in PCS.' }),
  reason,
  dryRun,
  override,
  confirm,
})

export const snapshotBody = z.object({
  xnames: z.array(xname).min(1, 'expected at least one xname'),
  reason,
  dryRun,
})

export const patchBody = z.object({
  components: z
    .array(
      z.object({
        xname,
        controls: z.array(
          z.object({
            name: z.string().min(1, 'expected the name of a control').max(200),
            value: z.int('expected whole watts').min(0, 'expected watts, 0 or more'),
          }),
        ),
      }),
    )
    .min(1, 'expected at least one component'),
  reason,
  dryRun,
  override,
  confirm,
})

export const shownPowerStates = ['on', 'off', 'undefined'] as const
export const managementStates = ['available', 'unavailable'] as const

/** Filters are checked apart, for PCS has words of its own for bad ones. */
export const powerStatusBody = z.object({
  xname: z
    .union([z.string().transform((one) => [one]), z.array(z.string())])
    .nullish()
    .transform((xnames) => xnames ?? [])
    .meta({ description: 'The components; without any, all that are known.' }),
  powerStateFilter: z
    .string()
    .nullish()
    .meta({ description: shownPowerStates.join(', ') }),
  managementStateFilter: z
    .string()
    .nullish()
    .meta({ description: managementStates.join(', ') }),
})

const limit = z.coerce.number().int().min(1).max(20_000).optional()
const cursor = z
  .string()
  .max(200)
  .optional()
  .meta({ description: 'nextCursor of the page before.' })
const time = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .optional()

const transitionStatuses = ['new', 'in-progress', 'completed', 'aborted', 'abort-signaled'] as const

export const transitionsQuery = z.object({
  limit,
  cursor,
  status: z.enum(transitionStatuses).optional(),
  xname: xname.optional(),
  from: time,
  to: time,
})
export const transitionQuery = z.object({
  steps: z.enum(['true', 'false']).optional().meta({ description: 'Tell every step of a task.' }),
})
export const pageQuery = z.object({ limit, cursor })
export const auditQuery = z.object({
  limit,
  cursor: z
    .string()
    .regex(/^\d{1,18}$/, 'expected the nextCursor of an answer')
    .optional(),
  xname: xname.optional(),
  id: z.guid().optional().meta({ description: 'transitionID or taskID.' }),
  user: z.string().max(200).optional(),
  from: time,
  to: time,
})

const count = z.int().min(0)
export const taskCounts = z.object({
  total: count,
  new: count,
  'in-progress': count,
  failed: count,
  succeeded: count,
  'un-supported': count,
})
export type TaskCounts = z.output<typeof taskCounts>

const stamp = z.iso.datetime()
const id = z.guid()
const nextCursor = z.string().optional()

export const accepted = z.object({ transitionID: id, operation: z.enum(operations) })
const transition = accepted.extend({
  createTime: stamp,
  automaticExpirationTime: stamp,
  transitionStatus: z.enum(transitionStatuses).meta({
    description: 'completed says only that it has ended: see taskCounts.',
  }),
  taskCounts,
  result: z
    .enum(['succeeded', 'partial', 'failed'])
    .optional()
    .meta({ description: 'How it went, once it has ended. Not in PCS.' }),
})
export const transitions = z.object({ transitions: z.array(transition), nextCursor })
const task = z.looseObject({
  xname: z.string(),
  taskStatus: z.enum(['new', 'in-progress', 'failed', 'succeeded', 'unsupported']),
  taskStatusDescription: z.string(),
  error: z.string().optional(),
  state: z.enum([...openStates, ...endStates]).optional(),
  resetType: z.string().optional(),
  startTime: stamp.optional(),
  sentTime: stamp.optional(),
  endTime: stamp.optional(),
  powerStateBefore: z.string().optional(),
  powerState: z.string().optional(),
  confirmedBy: z.enum(['power_state', 'telemetry', 'both']).optional(),
  wattsBefore: z.number().optional(),
  wattsAfter: z.number().optional(),
  parents: z.array(z.string()).optional(),
  heldBy: id.optional(),
})
export const transitionRecord = transition.extend({ tasks: z.array(task) })
export const abort = z.object({ abortStatus: z.literal('Accepted - abort initiated') })

const planned = z.object({
  order: z.int().optional().meta({ description: 'Tasks of one number go together, 1 first.' }),
  xname: z.string(),
  action: z.enum(['send', 'skip', 'wait', 'blocked']),
  reason: z.string(),
  parents: z.array(z.string()).optional(),
  method: z.string().optional(),
  url: z.string().optional(),
  body: z.unknown().optional(),
  rampWatts: z.number().optional().meta({
    description: 'What a node that is turned on counts as, where there is a ramp in watts.',
  }),
  rampWattsFrom: z.enum(['power_limit', 'measured', 'watts_per_node']).optional(),
})
export const plan = z.object({
  dryRun: z.literal(true),
  operation: z.string(),
  plan: z.array(planned),
})
export type PlanEntry = z.input<typeof planned>

export const powerStatus = z.object({
  status: z.array(
    z.object({
      xname: z.string(),
      powerState: z.enum([...shownPowerStates, '']),
      managementState: z.enum([...managementStates, '']),
      error: z.string(),
      supportedPowerTransitions: z.array(z.enum(operations)),
      lastUpdated: z.union([stamp, z.literal('')]),
      observedAt: stamp.optional().meta({ description: 'When the device was asked.' }),
      changedAt: stamp.optional().meta({ description: 'When the state was first seen.' }),
    }),
  ),
})

export const capAccepted = z.object({ taskID: id })
const capTask = capAccepted.extend({
  type: z.enum(['snapshot', 'patch']),
  taskCreateTime: stamp,
  automaticExpirationTime: stamp,
  taskStatus: z.enum(['new', 'in-progress', 'completed']),
  taskCounts: taskCounts.meta({ description: 'Controls of a snapshot, components of a patch.' }),
  user: z.string().optional(),
  reason: z.string().optional(),
})
export const capTasks = z.object({ tasks: z.array(capTask), nextCursor })
const watts = z.number().optional()
const capComponent = z.object({
  xname: z.string(),
  error: z.string().optional(),
  limits: z.object({ hostLimitMax: watts, hostLimitMin: watts, powerupPower: watts }).optional(),
  powerCapLimits: z
    .array(
      z.object({
        name: z.string(),
        currentValue: z.number().meta({ description: 'As read, in watts; 0: no limit.' }),
        maximumValue: watts,
        minimumValue: watts,
      }),
    )
    .optional(),
  state: z.string().optional(),
  endTime: stamp.optional(),
})
export const capRecord = capTask.extend({ components: z.array(capComponent) })

export const health = z.object({
  KvStore: z.string(),
  DistLocking: z.string(),
  StateManager: z.string(),
  Vault: z.string(),
  TaskRunner: z.string(),
})

export const auditRecords = z.object({
  audit: z.array(z.looseObject({ auditID: z.string(), time: stamp, event: z.enum(auditEvents) })),
  nextCursor,
})

/** RFC 9457; PCS's own description calls `status` `statusCode`, its wire does not. */
export const problem = z.object({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string().optional(),
})

export const anything = z.looseObject({})
