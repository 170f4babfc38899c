#!/usr/bin/env bash
# Fails unless mmcv's operators contain machine code for every requested compute capability. Without
# it, the first training on that GPU fails with "no kernel image is available".
# Usage: check-architectures.sh "8.0 9.0+PTX"   (PYTHON: the environment's interpreter; needs CUDA's cuobjdump)
set -euo pipefail
python=${PYTHON:-/opt/venv/bin/python}
library=$("$python" -c 'import torch, mmcv._ext; print(mmcv._ext.__file__)')
code=$(cuobjdump --list-elf "$library")
for architecture in ${1//;/ }; do
    name=sm_${architecture%+PTX}
    name=${name//./}
    if ! grep -q "\.${name}a\?\." <<<"$code"; then
        echo "mmcv's operators lack $name (CUDA_ARCHITECTURES=\"$1\"):" \
            "remove wheels that were built for other GPUs from docker/wheels" >&2
        exit 1
    fi
done
echo "mmcv's operators contain machine code for $1"
