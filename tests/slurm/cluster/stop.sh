#!/usr/bin/env bash
# Stop the cluster that start.sh started in FOLDER: only the processes whose ids it left there.
set -uo pipefail
folder=$(cd "${1:?FOLDER}" && pwd)
[ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ] || exit 0
squeue -h -o %i 2>/dev/null | while read -r job; do scancel "$job"; done
# A step that outlives its daemon would report to the next cluster on this machine, which then
# drains its nodes.
for ((t = 0; t < 100; t++)); do
    [ -z "$(squeue -h -o %i 2>/dev/null)" ] && break
    sleep 0.2
done
for file in "$folder"/run/slurmd-*.pid "$folder"/run/slurmctld.pid "$folder"/run/munged.pid; do
    [ -s "$file" ] && kill "$(cat "$file")" 2>/dev/null
done
sleep 1
rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
