/** slurm.conf up to the nodes, with `$R`, `$CONTROL`, `$DAEMON` and `$DBD` to be filled in. */
export const slurmConf = (lines: readonly string[]) => `ClusterName=nidtest
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$R/munge/socket
SlurmctldPort=$CONTROL
SlurmdPort=$DAEMON
StateSaveLocation=$R/state
SlurmdSpoolDir=$R/spool/%n
SlurmctldPidFile=$R/run/slurmctld.pid
SlurmdPidFile=$R/run/slurmd-%n.pid
SlurmctldLogFile=$R/log/slurmctld.log
SlurmdLogFile=$R/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=5,sched_interval=5,permit_job_expansion
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
JobRequeue=0
MessageTimeout=60
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD
AccountingStoragePass=$R/munge/socket
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2,energy=1
PrologFlags=Alloc,Contain
${lines.join('\n')}`

/** slurmdbd.conf, with `$R` to be filled in. */
export const databaseConf = (mysql: number, dbd: number) => `AuthType=auth/munge
AuthInfo=socket=$R/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=${dbd}
SlurmUser=root
LogFile=$R/log/slurmdbd.log
PidFile=$R/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=${mysql}
StorageUser=slurm
StorageLoc=slurm_acct_db
`
