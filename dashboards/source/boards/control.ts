import { type Board, cabinet, inCabinet, transitionAnnotation } from '../board.ts'

const inRange = `t.created_at >= $__timeFrom()::timestamptz
  and t.created_at < $__timeTo()::timestamptz`

export const control: Board = {
  uid: 'joulebridge-control',
  title: 'Power control',
  description: 'Transitions and their tasks, limits in force, what was switched and why.',
  variables: [cabinet],
  from: 'now-24h',
  annotations: [transitionAnnotation],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Tasks at work',
          description: 'Components whose power is being changed now.',
          unit: 'none',
          width: 6,
          targets: [{ promql: 'sum(joulebridge_power_tasks_in_flight)' }],
        },
        {
          kind: 'stat',
          title: 'Oldest open task',
          description: 'Since when the oldest task waits or works; 0 when all have ended.',
          unit: 's',
          width: 6,
          targets: [{ promql: 'max(joulebridge_power_oldest_task_seconds)' }],
          limits: { above: { warning: 'site:task_age_seconds:warning' } },
          alerts: ['TransitionTaskStuck'],
        },
        {
          kind: 'table',
          title: 'How tasks ended',
          description: 'Tasks of the transitions in the time shown, and how long they took.',
          unit: 'none',
          width: 12,
          height: 4,
          targets: [
            {
              sql: `select t.operation, k.state, count(*)::int4 as tasks,
  avg(extract(epoch from k.ended_at - k.started_at))::float8 as mean_seconds
from task k
join transition t using (transition_id)
where ${inRange}
group by t.operation, k.state order by tasks desc`,
            },
          ],
          columns: [
            { name: 'operation', title: 'Operation' },
            { name: 'state', title: 'State' },
            { name: 'tasks', title: 'Tasks', unit: 'none' },
            { name: 'mean_seconds', title: 'Mean time', unit: 's' },
          ],
          alerts: ['TransitionTaskFailed'],
          mayBeEmpty: 'nothing was switched',
        },
      ],
    },
    {
      title: 'Transitions',
      panels: [
        {
          kind: 'table',
          title: 'Transitions',
          description: 'Accepted requests, newest first, with the state of their tasks.',
          unit: 'none',
          width: 24,
          height: 9,
          targets: [
            {
              sql: `select t.transition_id, t.created_at, t.operation, t.status, t.total,
  t.succeeded, t.failed, t.unsupported, t.open
from transition_summary t
where ${inRange}
order by t.created_at desc limit 200`,
            },
          ],
          columns: [
            { name: 'transition_id', title: 'Transition' },
            { name: 'created_at', title: 'Accepted', unit: 'dateTimeAsIso' },
            { name: 'operation', title: 'Operation' },
            { name: 'status', title: 'Status' },
            { name: 'total', title: 'Tasks', unit: 'none' },
            { name: 'succeeded', title: 'Succeeded', unit: 'none' },
            { name: 'failed', title: 'Failed', unit: 'none' },
            { name: 'unsupported', title: 'Unsupported', unit: 'none' },
            { name: 'open', title: 'Open', unit: 'none' },
          ],
          mayBeEmpty: 'nothing was switched',
        },
        {
          kind: 'table',
          title: 'What was sent, and what came back',
          description: 'The steps of the tasks, newest first: each with the reason for the next.',
          unit: 'none',
          width: 24,
          height: 10,
          targets: [
            {
              sql: `select s.at, t.operation, k.xname, s.sent, s.received, s.next, s.reason
from task_step s
join task k using (task_id)
join transition t using (transition_id)
where ${inRange}
order by s.at desc, k.xname limit 300`,
            },
          ],
          columns: [
            { name: 'at', title: 'Time', unit: 'dateTimeAsIso' },
            { name: 'operation', title: 'Operation' },
            { name: 'xname', title: 'Component' },
            { name: 'sent', title: 'Sent' },
            { name: 'received', title: 'Received' },
            { name: 'next', title: 'Next' },
            { name: 'reason', title: 'Why' },
          ],
          mayBeEmpty: 'nothing was switched',
        },
      ],
    },
    {
      title: 'Limits',
      panels: [
        {
          kind: 'series',
          title: 'Power limits in force',
          description: 'Limits of nodes and accelerators that are set.',
          unit: 'watt',
          width: 12,
          min: 0,
          targets: [
            {
              promql: `max by (xname, control) (
  cray_power_limit_watts{${inCabinet}, mode!="Disabled"} > 0)`,
              legend: '{{xname}} {{control}}',
            },
          ],
          mayBeEmpty: 'no limit is set',
        },
        {
          kind: 'series',
          title: 'Errors of devices',
          description: 'Requests of power control that devices refused or did not answer.',
          unit: 'ops',
          width: 12,
          min: 0,
          targets: [
            {
              promql:
                'sum by (reason) (rate(joulebridge_power_device_errors_total[$__rate_interval]))',
              legend: '{{reason}}',
            },
          ],
          mayBeEmpty: 'no request failed',
        },
        {
          kind: 'stat',
          title: 'Oldest open limit',
          description: 'Since when the oldest component of a request for limits waits or works.',
          unit: 's',
          width: 6,
          height: 8,
          targets: [{ promql: 'max(joulebridge_power_cap_oldest_component_seconds)' }],
          limits: { above: { warning: 'site:power_cap_age_seconds:warning' } },
          alerts: ['PowerCapStuck'],
        },
        {
          kind: 'table',
          title: 'How requests for limits ended',
          description: 'Components of the requests in the time shown, with what went wrong.',
          unit: 'none',
          width: 18,
          targets: [
            {
              sql: `select p.type, c.state, c.error, count(*)::int4 as components,
  max(c.ended_at) as last_ended_at
from power_cap p
join power_cap_component c using (cap_id)
where p.created_at >= $__timeFrom()::timestamptz and p.created_at < $__timeTo()::timestamptz
group by p.type, c.state, c.error order by components desc limit 100`,
            },
          ],
          columns: [
            { name: 'type', title: 'Type' },
            { name: 'state', title: 'State' },
            { name: 'error', title: 'Error' },
            { name: 'components', title: 'Components', unit: 'none' },
            { name: 'last_ended_at', title: 'Last ended', unit: 'dateTimeAsIso' },
          ],
          alerts: ['PowerCapFailed'],
          mayBeEmpty: 'no limit was read or set',
        },
      ],
    },
    {
      title: 'Audit',
      panels: [
        {
          kind: 'table',
          title: 'Who asked for what, and what was done',
          description: 'The audit, newest first: requests, decisions, commands and how each ended.',
          unit: 'none',
          width: 24,
          height: 10,
          targets: [
            {
              sql: `select at, event, user_name, operation, xname, reason, state_before,
  state_after, sent, outcome
from audit
where at >= $__timeFrom()::timestamptz and at < $__timeTo()::timestamptz
order by at desc, audit_id desc limit 300`,
            },
          ],
          columns: [
            { name: 'at', title: 'Time', unit: 'dateTimeAsIso' },
            { name: 'event', title: 'Event' },
            { name: 'user_name', title: 'Who' },
            { name: 'operation', title: 'Operation' },
            { name: 'xname', title: 'Component' },
            { name: 'reason', title: 'Why' },
            { name: 'state_before', title: 'Before' },
            { name: 'state_after', title: 'After' },
            { name: 'sent', title: 'Sent' },
            { name: 'outcome', title: 'Outcome' },
          ],
          mayBeEmpty: 'nothing was asked for',
        },
      ],
    },
  ],
}
