#!/usr/bin/env bash
# Start a Slurm cluster of virtual nodes on this machine, with pretended GPUs. For tests only:
# scheduling is real, limits on memory, processors and devices are not enforced.
#   start.sh FOLDER [NODES=2] [GPUS_PER_NODE=2]
# Needs root and Debian's packages munge slurmctld slurmd slurm-client.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?FOLDER}"
folder=$(cd "$1" && pwd)
nodes=${2:-2} gpus=${3:-2}
host=$(hostname -s)
# In the default place and not through SLURM_CONF: the executor takes SLURM_* out of a job's
# environment.
if [ -e /etc/slurm/slurm.conf ]; then
    echo "there is a Slurm already: /etc/slurm/slurm.conf" >&2
    exit 3
fi
mkdir -p "$folder"/{run,log,state,dev} /etc/slurm

if ! munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1; then
    install -d -o munge -g munge -m 755 /run/munge
    setpriv --reuid munge --regid munge --init-groups \
        /usr/sbin/munged --force --pid-file=/run/munge/munged.pid
    cp /run/munge/munged.pid "$folder/run/munged.pid"
fi

{
    sed "s|@HOST@|$host|g; s|@FOLDER@|$folder|g" "$here/slurm.conf.in"
    for ((i = 1; i <= nodes; i++)); do
        printf 'NodeName=gpu%02d NodeHostname=%s NodeAddr=127.0.0.1 Port=%d ' "$i" "$host" $((17000 + i))
        printf 'CPUs=4 RealMemory=64000 Gres=gpu:h100:%d State=UNKNOWN\n' "$gpus"
    done
    names=$(seq -f 'gpu%02g' -s, 1 "$nodes")
    echo "PartitionName=gpu Nodes=$names Default=YES MaxTime=2-00:00:00 DefMemPerCPU=500 State=UP"
    echo "PartitionName=cpu Nodes=$names MaxTime=1-00:00:00 DefMemPerCPU=500 State=UP"
} >"$folder/slurm.conf"

# A line with a count only is reported as no GPU; with a device file each (copies of /dev/null)
# CUDA_VISIBLE_DEVICES is set per job.
echo "AutoDetect=off" >"$folder/gres.conf"
for ((i = 1; i <= nodes; i++)); do
    name=$(printf 'gpu%02d' "$i")
    mkdir -p "$folder/spool-$name"
    first=$(((i - 1) * gpus)) last=$((i * gpus - 1))
    for ((d = first; d <= last; d++)); do
        [ -e "$folder/dev/gpu$d" ] || mknod "$folder/dev/gpu$d" c 1 3
    done
    echo "NodeName=$name Name=gpu Type=h100 File=$folder/dev/gpu[$first-$last]" >>"$folder/gres.conf"
done
# -f: of a cluster that was killed, a link to nothing is left.
ln -sf "$folder/slurm.conf" /etc/slurm/slurm.conf
ln -sf "$folder/gres.conf" /etc/slurm/gres.conf

slurmctld
for ((i = 1; i <= nodes; i++)); do slurmd -N "$(printf 'gpu%02d' "$i")"; done
for ((t = 0; t < 150; t++)); do
    [ "$(sinfo -h -p gpu -t idle -o %D)" = "$nodes" ] && exit 0
    sleep 0.2
done
echo "the nodes did not become idle" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
