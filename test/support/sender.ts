import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import pLimit from 'p-limit'

/** Sends requests from a process of its own, so that it takes no time from the receiver's. */
export interface Sender {
  /** Hands over the bodies, so that `run` does nothing but send. */
  load(bodies: readonly Uint8Array[]): Promise<void>
  /** Posts each body once, `inFlight` at a time, and expects 204 for each. */
  run(url: string, inFlight: number): Promise<Sent>
  close(): void
}

export interface Sent {
  /** From the first request to the last answer. */
  seconds: number
  /** Of each request, ascending. */
  latenciesMs: number[]
}

export function startSender(): Sender {
  const child = fork(fileURLToPath(import.meta.url), {
    execArgv: ['--import=tsx'],
    serialization: 'advanced',
  })
  return {
    async load(bodies) {
      await ask(child, { bodies })
    },
    run: (url, inFlight) => ask(child, { url, inFlight }),
    close: () => child.disconnect(),
  }
}

async function ask(child: ChildProcess, message: object): Promise<Sent> {
  const answer = once(child, 'message')
  child.send(message)
  const [sent] = (await answer) as [Sent | { error: string }]
  if ('error' in sent) throw new Error(`sender: ${sent.error}`)
  return sent
}

async function send(bodies: readonly Uint8Array[], url: string, inFlight: number): Promise<Sent> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const limit = pLimit(inFlight)
  const began = performance.now()
  const latenciesMs = await Promise.all(bodies.map((body) => limit(() => post(url, body, agent))))
  const seconds = (performance.now() - began) / 1000
  agent.destroy()
  return { seconds, latenciesMs: latenciesMs.sort((a, b) => a - b) }
}

function post(url: string, body: Uint8Array, agent: Agent): Promise<number> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' }
    request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 204) resolve(performance.now() - began)
        else reject(new Error(`status ${response.statusCode}`))
      })
    })
      .on('error', reject)
      .end(body)
  })
}

type Order = { bodies: readonly Uint8Array[] } | { url: string; inFlight: number }

function serve(): void {
  let loaded: readonly Uint8Array[] = []
  process.on('message', async (order: Order) => {
    if ('bodies' in order) {
      loaded = order.bodies
      process.send?.({ seconds: 0, latenciesMs: [] })
      return
    }
    const answer = send(loaded, order.url, order.inFlight)
    process.send?.(await answer.catch((error: unknown) => ({ error: String(error) })))
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve()
