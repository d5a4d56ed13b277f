import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { createPowerClient, type PowerClient } from './client.ts'
import { type Operation, operations } from './operation.ts'
import {
  describeAudit,
  describeCap,
  describePlan,
  describeProgress,
  describeStatus,
  describeTransition,
  hasFailed,
  parseRecord,
  type WorkRecord,
} from './print.ts'
import { expandXnames } from './xname-range.ts'

interface Flags {
  url: string
  tokenFile?: string
  caFile?: string
  certFile?: string
  keyFile?: string
  json?: boolean
  watch?: boolean
  reason?: string
  dryRun?: boolean
  confirm?: number
  override?: boolean
  deadline?: number
  recursive?: boolean
  prereq?: boolean
  allowForce?: boolean
  allowRunningJobs?: boolean
  limit?: [string, number][]
  node?: number
  accelerators?: number
}

interface Output {
  say(text: string): void
  env: NodeJS.ProcessEnv
}

/** `joulebridge power`: a client of power control, ours or HPE's. */
export function powerCommand(output: Output): Command {
  const power = new Command('power').description('ask for and change power and power limits')
  const add = (name: string, description: string, run: Run) => {
    const command = connected(power.command(name).description(description))
    return command.action(async (...given: unknown[]) => {
      const [operands, flags] = [given.slice(0, -2) as string[], given.at(-2) as Flags]
      await run(await createPowerClient(flags, output.env), flags, operands)
    })
  }
  add(
    'status',
    'the power state of components, as their devices report it now',
    status(output),
  ).argument('[xnames]', 'such as x1000c0s[0-7]b0n0; without any, all')
  for (const operation of operations) {
    const command = add(operation.toLowerCase(), `${operation} by PCS`, change(operation, output))
    careful(command.argument('<xnames>', 'such as x1000c0s[0-7]b0n0,x3000c0s1b0n0'))
      .option('--deadline <minutes>', 'for each phase; 0: do not confirm', number)
      .option('--recursive', 'also all that is known within them')
      .option('--prereq', 'also all around them that has a switch')
      .option('--allow-force', 'ForceOff where nothing graceful is offered')
      .option('--allow-running-jobs', 'also nodes on which a job runs')
  }
  careful(add('cap', 'set power limits, or read them where none is given', cap(output)))
    .argument('<xnames>', 'nodes, such as x1000c0s[0-7]b0n0')
    .option('--node <watts>', 'Node Power Limit; 0: none', number)
    .option('--accelerators <watts>', 'of each of accelerators 0 to 3; 0: none', number)
    .option('--limit <name=watts>', 'any other by its name; may be given again', addLimit)
  add('show', 'a transition or power-cap task by its id', show(output))
    .argument('<id>')
    .option('--watch', 'follow it to its end')
  add('abort', 'send nothing more for a transition', abort(output)).argument('<id>')
  add('audit', 'who asked for what, and what was done about it', auditOf(output)).argument(
    '[xname]',
    'of this component only',
  )
  return power
}

type Run = (client: PowerClient, flags: Flags, operands: readonly string[]) => Promise<void>

function connected(command: Command): Command {
  return command
    .option('--url <url>', 'where power control answers', 'http://127.0.0.1:28007')
    .option('--token-file <file>', 'its token; else the variable JOULEBRIDGE_CONTROL_TOKEN')
    .option('--ca-file <file>', 'PEM of the authorities to trust')
    .option('--cert-file <file>', 'PEM of our own certificate')
    .option('--key-file <file>', 'PEM of its key')
    .option('--json', 'the answers of the HTTP API as they come')
}

function careful(command: Command): Command {
  return command
    .option('--watch', 'follow it to its end; exit with 1 where not all succeeded')
    .option('--reason <text>', 'why; kept in the audit')
    .option('--dry-run', 'show the plan; send nothing')
    .option('--confirm <count>', 'the number of components, where the site wants it', number)
    .option('--override', 'also protected components')
}

function status({ say }: Output): Run {
  return async (client, { json }, [xnames]) => {
    const body = xnames === undefined ? {} : { xname: expandXnames(xnames) }
    const answer = await client('POST', '/power-status', body)
    say(json ? pretty(answer) : describeStatus(answer))
  }
}

function change(operation: Operation, output: Output): Run {
  return async (client, flags, [xnames = '']) => {
    const { deadline, recursive, prereq, allowForce, allowRunningJobs } = flags
    const answer = await client('POST', '/transitions', {
      operation,
      location: expandXnames(xnames).map((xname) => ({ xname })),
      ...(deadline !== undefined && { taskDeadlineMinutes: deadline }),
      ...care(flags),
      ...given({ recursive, prereq, allowForce, allowRunningJobs }),
    })
    await tell(answer, { client, flags, output })
  }
}

function cap(output: Output): Run {
  return async (client, flags, [xnames = '']) => {
    const { reason, dryRun } = flags
    const names = expandXnames(xnames)
    const controls = limitsOf(flags)
    const components = names.map((xname) => ({ xname, controls }))
    const answer =
      controls.length === 0
        ? await client('POST', '/power-cap/snapshot', {
            xnames: names,
            ...given({ reason, dryRun }),
          })
        : await client('PATCH', '/power-cap', { components, ...care(flags) })
    // Who only reads wants to see what there is.
    const watch = controls.length === 0 || flags.watch === true
    await tell(answer, { client, output, flags: { ...flags, watch } })
  }
}

function limitsOf({ node, accelerators, limit = [] }: Flags) {
  const each = accelerators === undefined ? [] : [0, 1, 2, 3]
  const all: [string, number | undefined][] = [
    ...(node === undefined ? [] : [['Node Power Limit', node] as [string, number]]),
    ...each.map((k): [string, number | undefined] => [`Accelerator${k} Power Limit`, accelerators]),
    ...limit,
  ]
  return all.map(([name, value]) => ({ name, value }))
}

function show(output: Output): Run {
  return async (client, flags, [id = '']) => {
    const isTransition = await client('GET', `/transitions/${id}`).then(
      () => true,
      () => false,
    )
    const name = isTransition ? 'transitionID' : 'taskID'
    await tell({ [name]: id }, { client, flags, output })
  }
}

function abort({ say }: Output): Run {
  return async (client, _flags, [id = '']) => {
    await client('DELETE', `/transitions/${id}`)
    say(`transition ${id}: nothing more is sent`)
  }
}

function auditOf({ say }: Output): Run {
  return async (client, { json }, [xname]) => {
    const query = xname === undefined ? '' : `&xname=${encodeURIComponent(xname)}`
    const answer = await client('GET', `/audit?limit=100${query}`)
    say(json ? pretty(answer) : describeAudit(answer))
  }
}

interface Telling {
  client: PowerClient
  flags: Flags
  output: Output
}

const watchSeconds = 1

/** What was accepted or planned; with --watch what becomes of it, a line for each change. */
async function tell(answer: unknown, { client, flags, output }: Telling): Promise<void> {
  const { say } = output
  const { transitionID, taskID, dryRun } = acceptedAnswer.parse(answer)
  if (dryRun) return say(flags.json ? pretty(answer) : describePlan(answer))
  const path = transitionID === undefined ? `/power-cap/${taskID}` : `/transitions/${transitionID}`
  let record = await client('GET', path)
  let shown = ''
  const follow = () => {
    const progress = describeProgress(parseRecord(record))
    if (!flags.json && flags.watch && progress !== shown) say(progress)
    shown = progress
  }
  follow()
  while (flags.watch && !isDone(parseRecord(record))) {
    await sleep(watchSeconds * 1000)
    record = await client('GET', path)
    follow()
  }
  const describe = transitionID === undefined ? describeCap : describeTransition
  say(flags.json ? pretty(record) : describe(record))
  if (flags.watch && hasFailed(parseRecord(record))) process.exitCode = 1
}

const acceptedAnswer = z.object({
  transitionID: z.string().optional(),
  taskID: z.string().optional(),
  dryRun: z.boolean().optional(),
})

function isDone({ status }: WorkRecord): boolean {
  return status === 'completed' || status === 'aborted'
}

/** PCS refuses none of what it does not know; what is not asked for is not sent all the same. */
function care({ reason, dryRun, confirm, override }: Flags): object {
  return given({ reason, dryRun, confirm, override })
}

function given(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2)
}

/** @throws {InvalidArgumentError} */
function number(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value)) return value
  throw new InvalidArgumentError('Expected a whole number.')
}

/** @throws {InvalidArgumentError} */
function addLimit(text: string, before: [string, number][] = []): [string, number][] {
  const [, name, watts] = /^(.+)=(\d+)$/.exec(text) ?? []
  if (name === undefined) throw new InvalidArgumentError('Expected NAME=WATTS.')
  return [...before, [name, Number(watts)]]
}
