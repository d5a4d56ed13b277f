-- Power limits that were asked for and read, and who asked for what.

create table power_cap (
  cap_id uuid primary key,
  type text not null check (type in ('snapshot', 'patch')),
  created_at timestamptz not null,
  expires_at timestamptz not null check (expires_at > created_at),
  user_name text not null check (user_name <> ''),
  reason text,
  request_id uuid not null,
  idempotency_key text unique check (length(idempotency_key) between 1 and 255),
  request_digest bytea not null check (length(request_digest) = 32)
);
create index power_cap_created_at on power_cap (created_at);
create index power_cap_expires_at on power_cap (expires_at);

comment on table power_cap is
  'An accepted request to read or to set power limits; its status follows from its components '
  '(power_cap_summary).';
comment on column power_cap.cap_id is 'Names it in the API: taskID.';
comment on column power_cap.type is 'snapshot: read; patch: set, then read back.';
comment on column power_cap.created_at is 'When the request was accepted.';
comment on column power_cap.expires_at is
  'When the record is removed; a component still open then fails.';
comment on column power_cap.user_name is 'Who asked.';
comment on column power_cap.reason is 'Why, in the words of who asked; null: not told.';
comment on column power_cap.request_id is 'The HTTP request, as in audit.';
comment on column power_cap.idempotency_key is
  'The caller''s Idempotency-Key: one record for each.';
comment on column power_cap.request_digest is
  'SHA-256 of the parsed request, to tell a repeat from another request with the same key.';

create table power_cap_component (
  component_id bigint generated always as identity primary key,
  cap_id uuid not null references power_cap on delete cascade,
  xname text not null,
  device text,
  wanted jsonb check (jsonb_typeof(wanted) = 'object'),
  state text not null check (state in
    ('new', 'in-progress', 'succeeded', 'failed', 'unsupported')),
  error text,
  limits jsonb,
  controls jsonb,
  operations integer not null default 1 check (operations > 0),
  sent_at timestamptz,
  ended_at timestamptz,
  lease_owner uuid,
  lease_until timestamptz,
  unique (cap_id, xname),
  check ((ended_at is null) = (state in ('new', 'in-progress'))),
  check (state not in ('new', 'in-progress') or device is not null),
  check ((lease_owner is null) = (lease_until is null))
);
create index power_cap_component_open on power_cap_component (component_id)
  where state in ('new', 'in-progress');
create index power_cap_component_leased on power_cap_component (device)
  where lease_until is not null;

comment on table power_cap_component is 'One component''s share of a power_cap.';
comment on column power_cap_component.component_id is 'Ours: in order of creation.';
comment on column power_cap_component.cap_id is 'The power_cap it is a share of.';
comment on column power_cap_component.xname is 'The component.';
comment on column power_cap_component.device is
  'The controller that is asked; null where there is none and it ended at once.';
comment on column power_cap_component.wanted is
  'Limits asked for, in watts by name of the control, 0: none; null: they are only read.';
comment on column power_cap_component.state is
  'new and in-progress are open; all others are ends and never left.';
comment on column power_cap_component.error is 'Why it failed; null: it did not.';
comment on column power_cap_component.limits is
  'hostLimitMax, hostLimitMin and powerupPower of the node in watts, as far as the device tells; '
  'null: not read.';
comment on column power_cap_component.controls is
  'What was read last: name, currentValue, maximumValue and minimumValue of each control, in '
  'watts; null: not read.';
comment on column power_cap_component.operations is
  'What it counts for in the counts: a snapshot counts controls.';
comment on column power_cap_component.sent_at is
  'When limits were last sent to the device, written before they leave; null: never.';
comment on column power_cap_component.ended_at is 'When it ended; null: it is open.';
comment on column power_cap_component.lease_owner is
  'The process at work on this component, until lease_until.';
comment on column power_cap_component.lease_until is
  'Until when lease_owner alone may work on it.';

create view power_cap_summary as
select cap_id, type, created_at, expires_at, user_name, reason, counts.*,
  case
    when counts.open = 0 then 'completed'
    when counts.new = counts.total then 'new'
    else 'in-progress'
  end as status
from power_cap
cross join lateral (
  select coalesce(sum(operations), 0)::integer as total,
    (count(*) filter (where state in ('new', 'in-progress')))::integer as open,
    coalesce(sum(operations) filter (where state = 'new'), 0)::integer as new,
    coalesce(sum(operations) filter (where state = 'in-progress'), 0)::integer as in_progress,
    coalesce(sum(operations) filter (where state = 'succeeded'), 0)::integer as succeeded,
    coalesce(sum(operations) filter (where state = 'failed'), 0)::integer as failed,
    coalesce(sum(operations) filter (where state = 'unsupported'), 0)::integer as unsupported
  from power_cap_component
  where power_cap_component.cap_id = power_cap.cap_id
) as counts;

comment on view power_cap_summary is
  'Requests for power limits with the counts of their operations and the status that follows.';
comment on column power_cap_summary.cap_id is 'power_cap.cap_id.';
comment on column power_cap_summary.type is 'power_cap.type.';
comment on column power_cap_summary.created_at is 'power_cap.created_at.';
comment on column power_cap_summary.expires_at is 'power_cap.expires_at.';
comment on column power_cap_summary.user_name is 'power_cap.user_name.';
comment on column power_cap_summary.reason is 'power_cap.reason.';
comment on column power_cap_summary.total is 'Number of its operations.';
comment on column power_cap_summary.open is 'Components that are new or in progress.';
comment on column power_cap_summary.new is 'Operations not begun.';
comment on column power_cap_summary.in_progress is 'Operations at work.';
comment on column power_cap_summary.succeeded is 'Operations that were done.';
comment on column power_cap_summary.failed is 'Operations that failed.';
comment on column power_cap_summary.unsupported is
  'Operations on components that have no power limit.';
comment on column power_cap_summary.status is
  'new, in-progress or completed, which says only that it has ended.';

create table audit (
  audit_id bigint generated always as identity primary key,
  at timestamptz not null,
  event text not null check (event in
    ('requested', 'accepted', 'refused', 'aborted', 'sent', 'ended')),
  user_name text,
  address text,
  request_id uuid,
  operation text,
  reason text,
  work_id uuid,
  xname text,
  state_before text,
  state_after text,
  sent text,
  outcome text,
  detail jsonb
);
create index audit_at on audit (at);
create index audit_work_id on audit (work_id) where work_id is not null;
create index audit_xname on audit (xname, at) where xname is not null;
create index audit_request_id on audit (request_id) where request_id is not null;

comment on table audit is
  'Who asked for what, and what was done about it. Rows are only ever added: the database refuses '
  'to change or to remove one. They outlive the transitions that they tell of.';
comment on column audit.audit_id is 'Ours: in order of writing.';
comment on column audit.at is 'When it happened.';
comment on column audit.event is
  'requested: written before the request is decided; accepted, refused: the decision; aborted: its '
  'end was asked for; sent: written before a command leaves for a device; ended: how it went.';
comment on column audit.user_name is 'Who asked; null: the row is about work under way.';
comment on column audit.address is 'Where the request came from.';
comment on column audit.request_id is 'The HTTP request; its rows have the same.';
comment on column audit.operation is
  'On, Off and so on; snapshot or patch for power limits; null where there is none.';
comment on column audit.reason is 'Why, in the words of who asked; null: not told.';
comment on column audit.work_id is 'transition.transition_id or power_cap.cap_id.';
comment on column audit.xname is 'The component; null: the row is about the whole request.';
comment on column audit.state_before is 'State before, such as On, or limits in watts.';
comment on column audit.state_after is 'State after, as the device reports it.';
comment on column audit.sent is 'The request to the device: method, path and body.';
comment on column audit.outcome is 'How it went: a state, an HTTP status, or why not.';
comment on column audit.detail is 'The rest, such as the components that were asked for.';

create function refuse_audit_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'audit: % is refused, rows are only ever added', lower(tg_op)
    using errcode = 'insufficient_privilege';
end
$$;
comment on function refuse_audit_change() is 'Keeps the rows of audit as they are.';

create trigger audit_keeps_rows before update or delete on audit
  for each row execute function refuse_audit_change();
create trigger audit_keeps_all before truncate on audit
  for each statement execute function refuse_audit_change();
