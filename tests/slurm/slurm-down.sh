#!/usr/bin/env bash
# Stop what slurm-up.sh started and remove its settings. With settings and no controller, SLURM commands would wait.
set -uo pipefail

mark="# of reprior's tests: tests/slurm/slurm-down.sh removes it"
grep -qsF "$mark" /etc/slurm/slurm.conf || exit 0

timeout 10 scancel --user=root 2>/dev/null
daemons=(/run/slurm/slurmd.pid /run/slurm/slurmctld.pid)
[ -e /run/slurm/our-munged ] && daemons+=(/run/munge/munged.pid)
for daemon in "${daemons[@]}"; do
    pid=$(cat "$daemon" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null
    for _ in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null
done
rm -rf /etc/slurm/{slurm,gres,cgroup}.conf /var/spool/slurmctld /var/spool/slurmd /dev/fakegpu* /run/slurm/our-munged
