-- Of tables whose migrations, which are never edited, left some columns without a word.
comment on table schema_migration is 'The migrations that this database has been through.';
comment on column schema_migration.version is 'Number at the start of the file''s name.';
comment on column schema_migration.name is 'Name of the file.';
comment on column schema_migration.sha256 is 'SHA-256 of the file: it may not change afterwards.';
comment on column schema_migration.applied_at is 'When it was applied.';
comment on column schema_migration.functions_sha256 is
  'In the latest row: SHA-256 of the functions and views that are there. Null has them made anew.';

comment on column transition.transition_id is 'Names the transition in the API.';
comment on column transition.created_at is 'When the request was accepted.';
comment on column task.task_id is 'Ours: in order of creation.';
comment on column task.transition_id is 'The transition it is a share of.';
comment on column task.xname is 'The component.';
comment on column task.description is 'What is happening, or how it ended, in words for people.';
comment on column task.error is 'Why it failed; null: it did not.';
comment on column task.started_at is 'When work on it began; null: not yet.';
comment on column task.sent_at is 'When the newest command was sent.';
comment on column task.ended_at is 'When it ended; null: it is open.';
comment on column task.steps is 'Number of its rows in task_step.';
comment on column task.lease_until is 'Until when lease_owner alone may work on it.';
comment on column task_step.task_id is 'The task.';
comment on column task_step.step is 'Number of the step within the task, from 1.';
comment on column task_step.at is 'When it was taken.';
comment on column task_step.received is 'What the device answered.';
comment on column task_step.next is
  'reset: a command follows; wait: look again later; finish: ended.';
comment on column task_step.reason is 'Why.';
comment on column transition_summary.transition_id is 'transition.transition_id.';
comment on column transition_summary.operation is 'transition.operation.';
comment on column transition_summary.deadline_minutes is 'transition.deadline_minutes.';
comment on column transition_summary.created_at is 'transition.created_at.';
comment on column transition_summary.expires_at is 'transition.expires_at.';
comment on column transition_summary.abort_signaled_at is 'transition.abort_signaled_at.';
comment on column transition_summary.total is 'Number of its tasks.';
comment on column transition_summary.open is 'Tasks that are new or in progress.';
comment on column transition_summary.new is 'Tasks not begun.';
comment on column transition_summary.in_progress is 'Tasks at work.';
comment on column transition_summary.succeeded is 'Tasks that reached what was asked for.';
comment on column transition_summary.failed is 'Tasks that failed, timed out or were cancelled.';
comment on column transition_summary.unsupported is
  'Tasks whose component cannot do the operation.';
comment on column transition_summary.status is
  'new, in-progress, completed, abort-signaled or aborted.';
