#!/usr/bin/env bash
# Builds /opt/venv in the first stage of the image with the same installer as everywhere.
# Usage: install.sh cuda|cpu TORCH_INDEX CUDA_ARCHITECTURES MAX_JOBS TORCH_SHA256 mmcv|builtin
# All but the first may be empty; the operators are then compiled for GPUs, built in for the CPU.
set -euo pipefail
torch=$1
ops=${6:-}
[ -n "$ops" ] || { [ "$torch" = cpu ] && ops=builtin || ops=mmcv; }
export PIP_CACHE_DIR=/var/cache/pip RANKDET_CACHE=/var/cache/rankdet
[ -z "$2" ] || export RANKDET_TORCH_INDEX=$2
[ "$torch" = cpu ] || export TORCH_CUDA_ARCH_LIST=$3
[ -z "$4" ] || export MAX_JOBS=$4
[ -z "$5" ] || export RANKDET_TORCH_SHA256=$5
# A provided wheel is used instead of compiling; a wheel compiled here stays in the build's cache.
mkdir -p "$RANKDET_CACHE/wheels"
for folder in /wheels/python*; do
    [ ! -d "$folder" ] || cp -rn "$folder" "$RANKDET_CACHE/wheels/"
done
python3 envs/install.py --torch "$torch" --ops "$ops" --venv /opt/venv --dependencies-only
if [ "$torch" != cpu ] && [ "$ops" = mmcv ]; then
    docker/check-architectures.sh "$3"
fi
