import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What is counted of each kind of work: transitions in tasks, power-cap tasks in components. */
export interface WorkMetrics {
  /** By kind of work. */
  accepted: Counter
  /** By kind and outcome. */
  ended: Counter
  inFlight: Gauge
  duration: Histogram
  deviceErrors: Counter<'reason'>
}

/** Name and help of each; `kind` is the label that tells kinds apart. */
type WorkNames = Record<keyof WorkMetrics | 'oldest', readonly [name: string, help: string]> & {
  kind: string
}

/** `oldestSeconds` is asked at each scrape; without the database the gauge has no value. */
export function registerWorkMetrics(
  registry: Registry,
  { kind, ...names }: WorkNames,
  oldestSeconds: () => Promise<number>,
): WorkMetrics {
  const described = (each: keyof typeof names) => {
    const [name, help] = names[each]
    return { name, help, registers: [registry] }
  }
  new Gauge({
    ...described('oldest'),
    async collect() {
      this.reset()
      await oldestSeconds().then(
        (seconds) => this.set(seconds),
        () => this.remove(),
      )
    },
  })
  const buckets = [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600]
  return {
    accepted: new Counter({ ...described('accepted'), labelNames: [kind] }),
    ended: new Counter({ ...described('ended'), labelNames: [kind, 'outcome'] }),
    inFlight: new Gauge(described('inFlight')),
    duration: new Histogram({ ...described('duration'), labelNames: [kind], buckets }),
    deviceErrors: new Counter({ ...described('deviceErrors'), labelNames: ['reason'] }),
  }
}

export interface ControlMetrics extends WorkMetrics {
  transitionsEnded: Counter<'operation' | 'outcome'>
  transitionDuration: Histogram<'operation'>
}

export function registerControlMetrics(
  registry: Registry,
  oldestSeconds: () => Promise<number>,
): ControlMetrics {
  const registers = [registry]
  return {
    ...registerWorkMetrics(registry, taskMetrics, oldestSeconds),
    transitionsEnded: new Counter({
      name: 'joulebridge_power_transitions_ended_total',
      help: 'Transitions whose last task has ended: succeeded, partial, failed or aborted.',
      labelNames: ['operation', 'outcome'],
      registers,
    }),
    transitionDuration: new Histogram({
      name: 'joulebridge_power_transition_duration_seconds',
      help: 'From the acceptance of a transition to the end of its last task.',
      labelNames: ['operation'],
      buckets: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600],
      registers,
    }),
  }
}

const taskMetrics: WorkNames = {
  kind: 'operation',
  accepted: ['joulebridge_power_transitions_total', 'Transitions accepted by this process.'],
  ended: [
    'joulebridge_power_tasks_total',
    'Tasks that this process has brought to their end, by how they ended.',
  ],
  inFlight: ['joulebridge_power_tasks_in_flight', 'Tasks that this process is working on.'],
  duration: [
    'joulebridge_power_task_duration_seconds',
    'From the claim of a task by this process to its end.',
  ],
  deviceErrors: [
    'joulebridge_power_device_errors_total',
    'Requests to devices that failed: no answer, or an answer that refuses.',
  ],
  oldest: [
    'joulebridge_power_oldest_task_seconds',
    'Age of the oldest task that has not ended; 0 when all have.',
  ],
}

export const capMetrics: WorkNames = {
  kind: 'type',
  accepted: ['joulebridge_power_cap_tasks_total', 'Power-cap tasks accepted by this process.'],
  ended: [
    'joulebridge_power_cap_components_total',
    'Components of power-cap tasks that this process has brought to their end.',
  ],
  inFlight: [
    'joulebridge_power_cap_components_in_flight',
    'Components of power-cap tasks that this process is working on.',
  ],
  duration: [
    'joulebridge_power_cap_component_duration_seconds',
    'From the claim of a component by this process to its end.',
  ],
  deviceErrors: [
    'joulebridge_power_cap_device_errors_total',
    'Requests for power limits that failed: no answer, or an answer that refuses.',
  ],
  oldest: [
    'joulebridge_power_cap_oldest_component_seconds',
    'Age of the oldest component of a power-cap task that has not ended; 0: all have.',
  ],
}
