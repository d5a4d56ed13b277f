-- What people ask for most, with the unit in each column's name. Values are the latest, at most
-- five minutes old: what has fallen silent has no row.

create or replace view node_power as
select l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc, l.labels ->> 'source' as source,
  l.time, l.value as power_watts
from latest('cray_node_power_watts', '{}') l;
comment on view node_power is 'What each node draws now, at its input.';
comment on column node_power.xname is 'The node.';
comment on column node_power.bmc is 'The controller that said so.';
comment on column node_power.source is 'How it was read: redfish, sysfs, ...';
comment on column node_power.time is 'Time of the sample.';
comment on column node_power.power_watts is 'Power in watts.';

create or replace view node_energy_counter as
select l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc, l.labels ->> 'source' as source,
  l.time, l.value as energy_joules
from latest('cray_node_energy_joules_total', '{}') l;
comment on view node_energy_counter is
  'The energy counter of each node now. It starts from zero when the controller does: for the '
  'energy of an interval use node_energy().';
comment on column node_energy_counter.xname is 'The node.';
comment on column node_energy_counter.bmc is 'The controller that said so.';
comment on column node_energy_counter.source is 'How it was read: redfish, sysfs, ...';
comment on column node_energy_counter.time is 'Time of the sample.';
comment on column node_energy_counter.energy_joules is 'Joules since the counter''s start.';

create or replace view node_power_hour as
select s.labels ->> 'xname' as xname, s.labels ->> 'bmc' as bmc, s.labels ->> 'source' as source,
  h.hour, h.n as samples, h.mean as mean_watts, h.min as min_watts, h.max as max_watts,
  h.area as energy_joules
from series s
join sample_hour h on h.series_id = s.id
where s.metric = 'cray_node_power_watts';
comment on view node_power_hour is
  'What each node drew by the hour, for as long as roll-ups are kept; complete some hours after '
  'the hour''s end.';
comment on column node_power_hour.xname is 'The node.';
comment on column node_power_hour.bmc is 'The controller that said so.';
comment on column node_power_hour.source is 'How it was read: redfish, sysfs, ...';
comment on column node_power_hour.hour is 'Start of the hour.';
comment on column node_power_hour.samples is 'Number of samples.';
comment on column node_power_hour.mean_watts is 'Mean of the samples in watts.';
comment on column node_power_hour.min_watts is 'Least sample in watts.';
comment on column node_power_hour.max_watts is 'Greatest sample in watts.';
comment on column node_power_hour.energy_joules is
  'Integral of the power in joules; gaps of more than 300 s add nothing.';

create or replace view cabinet_power as
select p.cabinet, min(p.time) as time, sum(p.watts) filter (where p.part = 'Input') as input_watts,
  sum(p.watts) filter (where p.part = 'Output') as output_watts,
  sum(p.watts) filter (where p.part = 'node') as node_watts,
  (count(*) filter (where p.part = 'node'))::int4 as nodes
from (
  select substring(l.labels ->> 'xname' from '^x\d+') as cabinet, l.labels ->> 'side' as part,
    l.time, l.value as watts
  from latest('cray_chassis_power_watts', '{}') l
  union all
  select substring(n.xname from '^x\d+'), 'node', n.time, n.power_watts from node_power n
) p
group by p.cabinet;
comment on view cabinet_power is
  'What each cabinet draws now. Sums of what is there: compare nodes with the number you expect.';
comment on column cabinet_power.cabinet is 'The cabinet, such as x1000.';
comment on column cabinet_power.time is 'Time of the oldest sample in the sums.';
comment on column cabinet_power.input_watts is
  'AC input of the rectifiers of all its chassis, watts.';
comment on column cabinet_power.output_watts is 'DC output of these rectifiers, watts.';
comment on column cabinet_power.node_watts is 'Input of its nodes, watts.';
comment on column cabinet_power.nodes is 'Number of nodes in node_watts.';

create or replace view temperature as
select m.metric, l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc,
  coalesce(l.labels ->> 'name', l.labels ->> 'probe', l.labels ->> 'processor',
    l.labels ->> 'domain', l.labels ->> 'sensor') as name,
  l.labels ->> 'context' as context, l.labels, l.time, l.value as temperature_celsius
from (values ('cray_sensor_temperature_celsius'), ('cray_server_temperature_celsius'),
  ('cray_processor_temperature_celsius'), ('cray_pdu_temperature_celsius'),
  ('cray_pm_temperature_celsius')) as m (metric)
cross join lateral latest(m.metric, '{}') l;
comment on view temperature is 'What every thermometer shows now.';
comment on column temperature.metric is 'The metric it comes from.';
comment on column temperature.xname is 'The place that is measured.';
comment on column temperature.bmc is 'The controller that said so.';
comment on column temperature.name is 'What the device calls the thermometer, or what it measures.';
comment on column temperature.context is
  'Redfish PhysicalContext, such as LiquidInlet for the coolant supply; null: not told.';
comment on column temperature.labels is 'All labels of the series.';
comment on column temperature.time is 'Time of the sample.';
comment on column temperature.temperature_celsius is 'Degrees Celsius.';

create or replace view humidity as
select m.metric, l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc,
  coalesce(l.labels ->> 'name', l.labels ->> 'probe', l.labels ->> 'sensor') as name, l.labels,
  l.time, l.value as humidity_ratio
from (values ('cray_sensor_humidity_ratio'), ('cray_server_humidity_ratio'),
  ('cray_pdu_humidity_ratio')) as m (metric)
cross join lateral latest(m.metric, '{}') l;
comment on view humidity is 'What every hygrometer shows now.';
comment on column humidity.metric is 'The metric it comes from.';
comment on column humidity.xname is 'The place that is measured.';
comment on column humidity.bmc is 'The controller that said so.';
comment on column humidity.name is 'What the device calls the hygrometer.';
comment on column humidity.labels is 'All labels of the series.';
comment on column humidity.time is 'Time of the sample.';
comment on column humidity.humidity_ratio is 'Relative humidity, 0 to 1.';

create or replace view pdu_outlet as
select l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc, l.labels ->> 'outlet' as outlet,
  max(l.time) as time,
  max(l.value) filter (where m.quantity = 'power_watts') as power_watts,
  max(l.value) filter (where m.quantity = 'current_amperes') as current_amperes,
  max(l.value) filter (where m.quantity = 'voltage_volts') as voltage_volts,
  max(l.value) filter (where m.quantity = 'energy_joules_total') as energy_joules
from (values ('power_watts'), ('current_amperes'), ('voltage_volts'), ('energy_joules_total'))
  as m (quantity)
cross join lateral latest('cray_pdu_outlet_' || m.quantity, '{}') l
group by 1, 2, 3;
comment on view pdu_outlet is 'Each outlet of each PDU now.';
comment on column pdu_outlet.xname is 'The PDU.';
comment on column pdu_outlet.bmc is 'The controller that said so.';
comment on column pdu_outlet.outlet is 'The outlet, as the PDU names it.';
comment on column pdu_outlet.time is 'Time of the newest of the samples.';
comment on column pdu_outlet.power_watts is 'Active power in watts.';
comment on column pdu_outlet.current_amperes is 'Current in amperes.';
comment on column pdu_outlet.voltage_volts is 'Voltage in volts.';
comment on column pdu_outlet.energy_joules is 'Joules since the counter''s start.';

create or replace view pdu_phase as
select l.labels ->> 'xname' as xname, l.labels ->> 'bmc' as bmc, l.labels ->> 'mains' as mains,
  l.labels ->> 'phase' as phase,
  max(l.time) as time,
  max(l.value) filter (where m.quantity = 'power_watts') as power_watts,
  max(l.value) filter (where m.quantity = 'current_amperes') as current_amperes,
  max(l.value) filter (where m.quantity = 'voltage_volts') as voltage_volts,
  max(l.value) filter (where m.quantity = 'energy_joules_total') as energy_joules
from (values ('power_watts'), ('current_amperes'), ('voltage_volts'), ('energy_joules_total'))
  as m (quantity)
cross join lateral latest('cray_pdu_phase_' || m.quantity, '{}') l
group by 1, 2, 3, 4;
comment on view pdu_phase is 'Each phase of each PDU''s mains now.';
comment on column pdu_phase.xname is 'The PDU.';
comment on column pdu_phase.bmc is 'The controller that said so.';
comment on column pdu_phase.mains is 'The mains, as the PDU names them.';
comment on column pdu_phase.phase is 'The phase, as the PDU names it.';
comment on column pdu_phase.time is 'Time of the newest of the samples.';
comment on column pdu_phase.power_watts is 'Active power in watts.';
comment on column pdu_phase.current_amperes is 'Current in amperes.';
comment on column pdu_phase.voltage_volts is 'Voltage in volts.';
comment on column pdu_phase.energy_joules is 'Joules since the counter''s start.';

create or replace view job_summary as
select j.cluster, j.job_id, j.user_name, j.account, j.partition, j.name, j.state, j.started_at,
  j.ended_at, j.runs, e.nodes_expected as nodes, e.nodes_with_data, e.joules as energy_joules,
  e.joules_low as energy_low_joules, e.joules_high as energy_high_joules, e.coverage_ratio,
  e.method, e.resets
from (
  select r.cluster, r.job_id, (array_agg(r.user_name order by r.started_at desc))[1] as user_name,
    (array_agg(r.account order by r.started_at desc))[1] as account,
    (array_agg(r.partition order by r.started_at desc))[1] as partition,
    (array_agg(r.name order by r.started_at desc))[1] as name,
    (array_agg(r.state order by r.started_at desc))[1] as state,
    min(r.started_at) as started_at,
    (array_agg(r.ended_at order by r.started_at desc))[1] as ended_at,
    count(*)::int4 as runs, array_agg(r.id) as run_ids
  from job r
  group by r.cluster, r.job_id
) j
cross join lateral job_energy(j.run_ids, now(), 300) e
where e.whole;
comment on view job_summary is
  'Jobs, all runs of a job in one row, with their energy until now as job_energy() has it. Filter '
  'by cluster and job_id, user_name or started_at: for each job that is left it is computed.';
comment on column job_summary.cluster is 'Name of the scheduler''s cluster.';
comment on column job_summary.job_id is 'The scheduler''s number of the job.';
comment on column job_summary.user_name is 'Login name of the job''s user.';
comment on column job_summary.account is 'Account that is charged.';
comment on column job_summary.partition is 'Partition or queue of the last run.';
comment on column job_summary.name is 'What the user calls the job.';
comment on column job_summary.state is 'How the last run ended, in the scheduler''s words.';
comment on column job_summary.started_at is 'When the first run got its nodes.';
comment on column job_summary.ended_at is 'When the last run gave them back; null while it runs.';
comment on column job_summary.runs is 'Number of runs: more than one after a requeue.';
comment on column job_summary.nodes is 'Number of nodes that it held.';
comment on column job_summary.nodes_with_data is 'Those of them that were measured.';
comment on column job_summary.energy_joules is 'Energy in joules; null: nothing was measured.';
comment on column job_summary.energy_low_joules is
  'What it is at least, by the readings around each edge, in joules.';
comment on column job_summary.energy_high_joules is 'What it is at most; null: unbounded.';
comment on column job_summary.coverage_ratio is
  'Node-seconds with readings / node-seconds held, 0 to 1.';
comment on column job_summary.method is 'counter, in-band, power, mixed or none.';
comment on column job_summary.resets is 'Restarts and implausible steps of counters.';
