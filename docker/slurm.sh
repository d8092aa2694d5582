#!/usr/bin/env bash
# sbatch docker/slurm.sh [STUDY] [key=value ...]: a Ray cluster over the nodes of one job, and a study.
#
# Submit from the repository's folder, on storage that the nodes share, after `./reproduce.sh setup`
# and `docker/secrets.sh ~/.lacuna`. TRACKING_URI names an MLflow server that the nodes reach.
#SBATCH --job-name=lacuna
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --output=lacuna-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this with sbatch}"
: "${TRACKING_URI:?set it to an MLflow server that all nodes reach, such as http://10.0.0.5:5000}"
. docker/node.sh

on_head() { srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "$@"; }

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head=${nodes[0]}
ip=$(on_head hostname --ip-address | tr ' ' '\n' | grep -m 1 '^[0-9.]*$')
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may meet on one node
address=$ip:$port
share=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_PER_TASK:-0}" --disable-usage-stats)

on_head ray start --head --block --node-ip-address="$ip" --port="$port" \
    --include-dashboard=false --temp-dir="/tmp/ray-$SLURM_JOB_ID" "${share[@]}" &
for _ in $(seq 60); do
    on_head ray health-check --address "$address" 2>/dev/null && break
    sleep 2
done
for node in "${nodes[@]:1}"; do
    # A node that was cut off and declared dead ends its raylet; the loop lets it join again.
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" bash -c \
        'while :; do ray start --block "$@"; sleep 1; done' worker --address="$address" "${share[@]}" &
done

status=0
on_head ./reproduce.sh "${@:-mini}" "address=$address" "tracking_uri=$TRACKING_URI" || status=$?
kill $(jobs -p) 2>/dev/null || true
exit "$status"
