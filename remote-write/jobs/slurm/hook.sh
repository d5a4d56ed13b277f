#!/bin/sh
# Writes down that a job starts or ends, for `joulebridge slurm ship` to tell. In slurm.conf:
#   PrologSlurmctld=/etc/slurm/joulebridge-hook.sh
#   EpilogSlurmctld=/etc/slurm/joulebridge-hook.sh
# A script that is there already may call this one. It needs a POSIX sh and coreutils, and always
# exits 0: a PrologSlurmctld that fails requeues the job.
spool=/var/spool/joulebridge

umask 077
exec </dev/null >/dev/null 2>&1
trap '' HUP INT PIPE TERM
cd "$spool" || exit 0
at=$(date +%s.%N)
name=${at%.*}${at#*.}-${SLURM_SCRIPT_CONTEXT:-unknown}-${SLURM_JOB_ID:-0}-$$
# Values may hold anything but NUL. The last word shows that none is missing.
if { printf 'JOULEBRIDGE_TIME=%s\0' "$at" && env -0 && printf 'JOULEBRIDGE_END=1\0'; } >".$name"
then
  mv -f ".$name" "$name" || rm -f ".$name"
else
  rm -f ".$name"
fi
exit 0
