-- Power control: what was asked for, each component's share of it, and every step taken.

create table transition (
  transition_id uuid primary key,
  operation text not null check (operation in
    ('On', 'Off', 'Soft-Off', 'Soft-Restart', 'Hard-Restart', 'Init', 'Force-Off')),
  deadline_minutes integer not null,
  created_at timestamptz not null,
  expires_at timestamptz not null check (expires_at > created_at),
  abort_signaled_at timestamptz,
  idempotency_key text unique check (length(idempotency_key) between 1 and 255),
  request_digest bytea not null check (length(request_digest) = 32)
);

comment on table transition is
  'An accepted request to change power; its status follows from its tasks '
  '(transition_summary).';
comment on column transition.operation is
  'What to do, in the words of HPE''s Power Control Service.';
comment on column transition.deadline_minutes is
  'Time for each phase of a task; 0: do not confirm; negative: until expires_at.';
comment on column transition.expires_at is
  'When the record is removed; a task still open then ends as timed-out.';
comment on column transition.abort_signaled_at is
  'When an abort was asked for; no reset is sent after it.';
comment on column transition.idempotency_key is
  'The caller''s Idempotency-Key: one transition for each.';
comment on column transition.request_digest is
  'SHA-256 of the parsed request, to tell a repeat from another request with the same key.';

create index transition_created_at on transition (created_at);
create index transition_expires_at on transition (expires_at);

create table task (
  task_id bigint generated always as identity primary key,
  transition_id uuid not null references transition on delete cascade,
  xname text not null,
  device text,
  state text not null check (state in
    ('new', 'in-progress', 'succeeded', 'failed', 'timed-out', 'unsupported', 'cancelled')),
  description text not null default '',
  error text,
  held_by uuid,
  action text check (action in ('on', 'gracefulshutdown', 'forceoff')),
  reset_type text,
  command text not null default 'none' check (command in
    ('none', 'sending', 'accepted', 'unknown')),
  tries integer not null default 0 check (tries >= 0),
  silences integer not null default 0 check (silences >= 0),
  started_at timestamptz,
  sent_at timestamptz,
  deadline_at timestamptz,
  ended_at timestamptz,
  steps integer not null default 0,
  lease_owner uuid,
  lease_until timestamptz,
  unique (transition_id, xname),
  check ((ended_at is null) = (state in ('new', 'in-progress'))),
  check (state not in ('new', 'in-progress') or device is not null),
  check ((lease_owner is null) = (lease_until is null))
);

comment on table task is 'One component''s share of a transition.';
comment on column task.device is
  'The controller that is asked; null where there is none and the task ended at once.';
comment on column task.state is
  'new and in-progress are open; all others are ends and never left.';
comment on column task.held_by is
  'The transition that was at work on the component, for which this task was refused.';
comment on column task.action is
  'What is being brought about now; restarts go through off to on.';
comment on column task.reset_type is
  'Redfish ResetType of the newest command, as the device spells it.';
comment on column task.command is
  'The newest command: sending is written before it leaves, so that after a crash it may or '
  'may not have been sent.';
comment on column task.tries is 'How often the present action was sent.';
comment on column task.silences is 'Reads without an answer in a row, before any command.';
comment on column task.deadline_at is 'When the present action is given up or forced.';
comment on column task.lease_owner is 'The process at work on this task, until lease_until.';

-- At most one open task for a component, whichever process accepts the request.
create unique index task_open_xname on task (xname) where state in ('new', 'in-progress');
create index task_open on task (task_id) where state in ('new', 'in-progress');
create index task_leased_device on task (device) where lease_until is not null;

create table task_step (
  task_id bigint not null references task on delete cascade,
  step integer not null check (step > 0),
  at timestamptz not null,
  sent text,
  received text not null,
  next text not null check (next in ('reset', 'wait', 'finish')),
  reason text not null,
  primary key (task_id, step)
);

comment on table task_step is
  'What was sent, what came back, and what was therefore done next. Looks that changed '
  'nothing leave no row.';
comment on column task_step.sent is 'The request to the device; null where none was made.';

create view transition_summary as
select transition_id, operation, deadline_minutes, created_at, expires_at, abort_signaled_at,
  tasks.*,
  case
    when abort_signaled_at is not null and tasks.open > 0 then 'abort-signaled'
    when abort_signaled_at is not null then 'aborted'
    when tasks.open = 0 then 'completed'
    when tasks.new = tasks.total then 'new'
    else 'in-progress'
  end as status
from transition
cross join lateral (
  select count(*)::integer as total,
    (count(*) filter (where state in ('new', 'in-progress')))::integer as open,
    (count(*) filter (where state = 'new'))::integer as new,
    (count(*) filter (where state = 'in-progress'))::integer as in_progress,
    (count(*) filter (where state = 'succeeded'))::integer as succeeded,
    (count(*) filter (where state in ('failed', 'timed-out', 'cancelled')))::integer as failed,
    (count(*) filter (where state = 'unsupported'))::integer as unsupported
  from task
  where task.transition_id = transition.transition_id
) as tasks;

comment on view transition_summary is
  'Transitions with the counts of their tasks and the status that follows from them.';
