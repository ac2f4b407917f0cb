#!/usr/bin/env bash
# Start a real SLURM with one node on this machine, as root: without systemd, cgroups or accounting, with fake GPUs and
# more CPUs than the machine has. Partitions: cpu, gpu, and spot. Jobs in spot are requeued if cpu needs the resources.
# `slurm-up.sh controller` restarts a stopped controller, which still knows its jobs.
set -euo pipefail

fail() {
    echo "slurm-up.sh: $1" >&2
    exit 1
}

mark="# of reprior's tests: tests/slurm/slurm-down.sh removes it"
node=$(hostname -s)
cpus=64 gpus=12 # more than the machine has, so that jobs do not wait for each other

start_controller() {
    rm -f /run/slurm/slurmctld.pid
    /usr/sbin/slurmctld "$@" -f /etc/slurm/slurm.conf
    for _ in $(seq 100); do
        timeout 5 scontrol ping 2>/dev/null | grep -q ' UP' && return
        sleep 0.2
    done
    fail "slurmctld does not answer: $(tail -n 5 /var/log/slurm/slurmctld.log)"
}

if [ "${1:-}" = controller ]; then
    start_controller
    exit
fi

if [ -e /etc/slurm/slurm.conf ] && ! grep -qF "$mark" /etc/slurm/slurm.conf; then
    fail "this machine has a SLURM of its own: /etc/slurm/slurm.conf"
fi

mkdir -p /etc/slurm /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /run/munge /run/slurm
for i in $(seq 0 $((gpus - 1))); do
    [ -e "/dev/fakegpu$i" ] || mknod "/dev/fakegpu$i" c 1 3 # like /dev/null
done

# A requeued job waits as long as a credential is valid (cred_expire): by default two minutes.
# Without DefMemPerCPU, a job that requests no memory gets all of it.
# MinJobAge: how long squeue knows a finished job. Snakemake asks squeue, because there is no accounting.
cat >/etc/slurm/slurm.conf <<CONF
$mark
ClusterName=ci
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=20
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
MinJobAge=3600
DefMemPerCPU=256
KillWait=3
InactiveLimit=0
GresTypes=gpu
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=1000000 Gres=gpu:fake:$gpus State=UNKNOWN
PartitionName=cpu Nodes=$node Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
PartitionName=gpu Nodes=$node Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
PartitionName=spot Nodes=$node Default=NO MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=requeue
CONF
echo "NodeName=$node Name=gpu Type=fake File=/dev/fakegpu[0-$((gpus - 1))]" >/etc/slurm/gres.conf
echo "CgroupPlugin=cgroup/v1" >/etc/slurm/cgroup.conf

chown munge: /run/munge
chmod 0755 /run/munge
[ -s /etc/munge/munge.key ] || /usr/sbin/mungekey --create
# munged does not run as root. Start it in a folder that its user may enter.
if ! munge -n </dev/null >/dev/null 2>&1; then
    (cd / && setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged)
    touch /run/slurm/our-munged
fi
for _ in $(seq 50); do
    munge -n </dev/null >/dev/null 2>&1 && break
    sleep 0.1
done

timeout 5 scontrol ping 2>/dev/null | grep -q ' UP' || start_controller -i
kill -0 "$(cat /run/slurm/slurmd.pid 2>/dev/null)" 2>/dev/null || /usr/sbin/slurmd -f /etc/slurm/slurm.conf
for _ in $(seq 100); do
    case $(timeout 5 sinfo -h -o %T 2>/dev/null | head -n 1) in idle | mixed | allocated) exit ;; esac
    sleep 0.2
done
fail "the node does not come up: $(timeout 5 sinfo -R 2>&1) $(tail -n 5 /var/log/slurm/slurmd.log)"
