import { Agent } from 'node:https'
import fetch from 'node-fetch'
import { z } from 'zod'
import { withDeadline } from '../../service/deadline.ts'
import type { Seconds } from '../load.ts'
import {
  addCollection,
  addFixed,
  link,
  redfishError,
  root,
  type SimulatedDevice,
} from '../resources.ts'
import { eventBodies, powerStateBody, powerStates } from './event-messages.ts'

const eventService = `${root}/EventService`
const subscriptions = `${eventService}/Subscriptions`
const manager = `${root}/Managers/BMC`
const managerReset = `${manager}/Actions/Manager.Reset`

const eventTypes = ['StatusChange', 'ResourceUpdated', 'ResourceAdded', 'ResourceRemoved', 'Alert']
const retryAttempts = 3
const retrySeconds = 60
const answerSeconds = 10
const mostSubscriptions = 16
const mostOnTheirWay = 64
const stateTickMs = 500

const subscriptionBody = z.object({
  Context: z.string().default(''),
  Destination: z.url({ protocol: /^https?$/ }),
  Protocol: z.literal('Redfish'),
  EventTypes: z.array(z.enum(eventTypes)).default([]),
  RegistryPrefixes: z.array(z.string()).default([]),
})
type Subscription = z.output<typeof subscriptionBody> & { id: number }

export interface EventReply {
  status: number
  body?: unknown
  headers?: Record<string, string>
}

export interface EventServiceOptions {
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  /** From one push to the next. */
  intervalSeconds: number
}

/**
 * The events of a Cray controller: it keeps subscriptions until its own restart, and pushes what
 * its sensors took to those for CrayTelemetry, and changes of power states to those for no registry
 * in particular. What cannot be delivered is tried three times more.
 */
export class EventService {
  readonly #device: SimulatedDevice
  readonly #options: EventServiceOptions
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #closing = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Devices look at no certificate. */
  readonly #agent = new Agent({ rejectUnauthorized: false, keepAlive: true })
  #nextId = 1
  #onTheirWay = 0
  /** Everything up to here has been pushed. */
  #told: Seconds = 0
  /** Undefined: nobody wants to know. */
  #toldStates: Map<string, string> | undefined

  constructor(device: SimulatedDevice, options: EventServiceOptions) {
    this.#device = device
    this.#options = options
    this.#addResources()
    // What keeps the process running is the server, not its events.
    const push = setInterval(() => this.#push(), options.intervalSeconds * 1000).unref()
    this.#timers.add(push)
    this.#timers.add(setInterval(() => this.#pushStates(), stateTickMs).unref())
  }

  /** Whether a request makes or deletes a subscription, or restarts the controller. */
  takes(method: string | undefined, path: string): boolean {
    if (method === 'DELETE') return this.#subscriptions.has(path)
    return method === 'POST' && (path === subscriptions || path === managerReset)
  }

  /** To a request that it takes. */
  answer(method: string | undefined, path: string, body: unknown): EventReply {
    if (method === 'DELETE') return this.#remove(path)
    return path === managerReset ? this.#restart() : this.#subscribe(body)
  }

  close(): void {
    this.#closing.abort()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#agent.destroy()
  }

  #addResources(): void {
    const { resources } = this.#device
    addFixed(resources, eventService, 'EventService.v1_0_5.EventService', {
      DeliveryRetryAttempts: retryAttempts,
      DeliveryRetryIntervalSeconds: retrySeconds,
      Description: 'Event Service',
      EventTypesForSubscription: eventTypes,
      Id: 'EventService',
      Name: 'Event Service',
      ServiceEnabled: true,
      Subscriptions: link(subscriptions),
    })
    this.#list()
  }

  #list(): void {
    const ids = [...this.#subscriptions.values()].map(({ id }) => String(id))
    addCollection(this.#device.resources, subscriptions, 'EventDestination', ids)
  }

  #subscribe(given: unknown): EventReply {
    const body = subscriptionBody.safeParse(given)
    if (!body.success || this.#subscriptions.size >= mostSubscriptions) {
      const message = 'The subscription cannot be made.'
      return { status: 400, body: redfishError('PropertyValueNotInList', message, []) }
    }
    if (this.#subscriptions.size === 0) this.#told = this.#options.asOf()
    const id = this.#nextId++
    const path = `${subscriptions}/${id}`
    this.#subscriptions.set(path, { ...body.data, id })
    addFixed(this.#device.resources, path, 'EventDestination.v1_2_1.EventDestination', {
      ...body.data,
      Id: String(id),
      Name: `Subscription ${id}`,
    })
    this.#list()
    const made = this.#device.resources.get(path)?.(0)
    return { status: 201, body: made, headers: { Location: path } }
  }

  #remove(path: string): EventReply {
    this.#subscriptions.delete(path)
    this.#device.resources.delete(path)
    this.#list()
    return { status: 204 }
  }

  /** Subscriptions do not outlive it. */
  #restart(): EventReply {
    for (const path of [...this.#subscriptions.keys()]) this.#remove(path)
    this.#nextId = 1
    return { status: 204 }
  }

  /** Without power it tells nothing, and knows none of its subscriptions afterwards. */
  #isDown(): boolean {
    const isDown = this.#device.isUp?.(this.#options.asOf()) === false
    if (isDown) this.#restart()
    return isDown
  }

  #push(): void {
    if (this.#subscriptions.size === 0 || this.#isDown()) return
    const to = this.#options.asOf()
    const from = this.#told
    this.#told = to
    for (const [path, { Context: context, RegistryPrefixes }] of this.#subscriptions) {
      if (!RegistryPrefixes.includes('CrayTelemetry')) continue
      for (const body of eventBodies(this.#device, { context, from, to })) {
        this.#deliver(path, JSON.stringify(body), retryAttempts)
      }
    }
  }

  #pushStates(): void {
    if (this.#subscriptions.size > 0 && this.#isDown()) return
    const wanted = [...this.#subscriptions].filter(
      ([, { RegistryPrefixes }]) => RegistryPrefixes.length === 0,
    )
    const before = this.#toldStates
    const states = wanted.length > 0 ? powerStates(this.#device, this.#options.asOf()) : undefined
    this.#toldStates = states
    if (before === undefined || states === undefined) return
    for (const [part, state] of states) {
      if (before.get(part) === state) continue
      for (const [path, { Context: context }] of wanted) {
        this.#deliver(path, JSON.stringify(powerStateBody(part, state, { context })), retryAttempts)
      }
    }
  }

  #deliver(path: string, body: string, retries: number): void {
    const subscription = this.#subscriptions.get(path)
    if (subscription === undefined || this.#onTheirWay >= mostOnTheirWay) return
    this.#onTheirWay++
    this.#post(subscription.Destination, body)
      .catch(() => {
        if (retries > 0 && !this.#closing.signal.aborted) this.#tryAgain(path, body, retries - 1)
      })
      .finally(() => {
        this.#onTheirWay--
      })
  }

  #tryAgain(path: string, body: string, retries: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#deliver(path, body, retries)
    }, retrySeconds * 1000)
    this.#timers.add(timer)
  }

  async #post(destination: string, body: string): Promise<void> {
    const tls = destination.startsWith('https:') ? { agent: this.#agent } : {}
    const headers = { 'content-type': 'application/json' }
    await withDeadline(answerSeconds * 1000, [this.#closing.signal], async (signal) => {
      signal.throwIfAborted()
      const response = await fetch(destination, { method: 'POST', body, headers, signal, ...tls })
      await response.text()
      if (!response.ok) throw new Error(`HTTP ${response.status}`)
    })
  }
}
