-- Power control of whole trees: what a component waits for, which half of a restart it is in, what
-- its device said, and what confirmed the end.

alter table transition
  add column forced boolean not null default false,
  add column deadline_seconds jsonb,
  add column ended_at timestamptz;

update transition set ended_at = coalesce(
  (select max(ended_at) from task where task.transition_id = transition.transition_id), created_at)
where not exists (
  select from task
  where task.transition_id = transition.transition_id and state in ('new', 'in-progress'));

create index transition_open on transition (transition_id) where ended_at is null;

comment on column transition.forced is
  'Whether Off, Init and Hard-Restart may use ForceOff where nothing graceful is offered.';
comment on column transition.deadline_seconds is
  'Seconds for an action, by its name, in place of deadline_minutes.';
comment on column transition.ended_at is
  'When its last task was seen to have ended; null: some are open, or it was not looked at yet.';

alter table task
  drop constraint task_action_check,
  add constraint task_action_check check (action in
    ('on', 'gracefulshutdown', 'forceoff', 'gracefulrestart', 'forcerestart')),
  add column phase text not null default 'off' check (phase in ('off', 'on')),
  add column parents text[] not null default '{}',
  add column has_children boolean not null default false,
  add column observed_before text,
  add column observed text,
  add column mark text,
  add column is_proven boolean not null default false,
  add column confirmed_by text check (confirmed_by in ('power_state', 'telemetry', 'both')),
  add column watts_before float8,
  add column watts_after float8;

update task set phase = 'on'
from transition
where transition.transition_id = task.transition_id
  and (operation = 'On' or action = 'on');

comment on column task.phase is
  'off until the component is off, where the operation has such a half; on for the rest.';
comment on column task.parents is
  'Components of the same transition that this one lies in, or is fed by: on after them, off '
  'before them.';
comment on column task.has_children is 'Whether it is a parent in the same transition.';
comment on column task.observed_before is
  'PowerState that the device reported when it was first asked; null where it reported none.';
comment on column task.observed is
  'PowerState that the device reported last; null where it reported none, or did not answer.';
comment on column task.mark is
  'What the device said of its last restart when it was first asked.';
comment on column task.is_proven is
  'Whether a restart was seen to happen: off, silence, or a later time of the last restart.';
comment on column task.confirmed_by is
  'What showed the state that a task succeeded with: what the device reported, power that was '
  'measured, or both; null: nothing.';
comment on column task.watts_before is
  'Newest power that was measured before the last command, W; null: none.';
comment on column task.watts_after is
  'Power that was measured after the state was reached, W; null: none.';

create index task_confirmable on task (ended_at)
  where state = 'succeeded' and sent_at is not null and watts_after is null;
create index task_sent_on on task (sent_at) where action = 'on';

alter table task_step
  drop constraint task_step_next_check,
  add constraint task_step_next_check check (next in ('reset', 'wait', 'yield', 'finish'));
