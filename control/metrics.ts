import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface ControlMetrics {
  transitions: Counter<'operation'>
  transitionsEnded: Counter<'operation' | 'outcome'>
  transitionDuration: Histogram<'operation'>
  tasks: Counter<'operation' | 'outcome'>
  tasksInFlight: Gauge
  taskDuration: Histogram<'operation'>
  deviceErrors: Counter<'reason'>
}

/** `oldestSeconds` is asked at each scrape; without the database the gauge has no value. */
export function registerControlMetrics(
  registry: Registry,
  oldestSeconds: () => Promise<number>,
): ControlMetrics {
  const registers = [registry]
  new Gauge({
    name: 'joulebridge_power_oldest_task_seconds',
    help: 'Age of the oldest task that has not ended; 0 when all have.',
    registers,
    async collect() {
      this.reset()
      await oldestSeconds().then(
        (seconds) => this.set(seconds),
        () => this.remove(),
      )
    },
  })
  return {
    transitions: new Counter({
      name: 'joulebridge_power_transitions_total',
      help: 'Transitions accepted by this process.',
      labelNames: ['operation'],
      registers,
    }),
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
    tasks: new Counter({
      name: 'joulebridge_power_tasks_total',
      help: 'Tasks that this process has brought to their end, by how they ended.',
      labelNames: ['operation', 'outcome'],
      registers,
    }),
    tasksInFlight: new Gauge({
      name: 'joulebridge_power_tasks_in_flight',
      help: 'Tasks that this process is working on.',
      registers,
    }),
    taskDuration: new Histogram({
      name: 'joulebridge_power_task_duration_seconds',
      help: 'From the claim of a task by this process to its end.',
      labelNames: ['operation'],
      buckets: [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600],
      registers,
    }),
    deviceErrors: new Counter({
      name: 'joulebridge_power_device_errors_total',
      help: 'Requests to devices that failed: no answer, or an answer that refuses.',
      labelNames: ['reason'],
      registers,
    }),
  }
}
