#!/usr/bin/env bash
# Starts `rankdet` in the image; `snakemake`, `python`, `torchrun`, `bash` and `sh` are started
# directly. Before a training or prediction it checks for common container problems, reports all of
# them with a fix, and exits with 2. RANKDET_SKIP_CHECKS=1 skips the checks.
set -euo pipefail

data=${RANKDET_DATA:-/data} results=${RANKDET_RESULTS:-/results}
workflow=${RANKDET_WORKFLOW:-/opt/rankdet}
image=${RANKDET_TORCH:-cuda}
problems=()

problem() { problems+=("$1"); }

# The value of option $1 among the other arguments, as `--name value` or `--name=value`.
option() {
    local name=$1 argument
    shift
    while [ $# -gt 0 ]; do
        argument=$1
        shift
        case $argument in
            "$name") echo "${1:-}" && return ;;
            "$name="*) echo "${argument#*=}" && return ;;
        esac
    done
}

check_shared_memory() {
    local mib
    mib=$(df -m --output=size /dev/shm 2>/dev/null | tail -n 1 | tr -d ' ') || true
    if [ "${mib:-0}" -lt 1024 ]; then
        problem "shared memory is ${mib:-0} MiB: data-loading processes pass images through it and
    would crash with 'Bus error'. Add --shm-size 8g (or --ipc=host), or use rankdet --workers 0."
    fi
}

check_gpu() {
    if [ "$image" = cpu ]; then
        problem "this is the CPU image, on which preset $1 takes days to months: use the CUDA image, or
    set RANKDET_SKIP_CHECKS=1 to run it anyway."
    elif ! nvidia-smi -L >/dev/null 2>&1; then
        problem "no GPU is available in this container. Add --gpus all (the host needs its NVIDIA driver and
    nvidia-container-toolkit); with Apptainer add --nv."
    elif ! python -c 'import torch; torch.ones(1, device="cuda")' >/dev/null 2>&1; then
        problem "there is a GPU, but torch cannot use it. Driver:
    $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>&1 | head -n 1)
    $(python -c 'import torch; print("torch needs one for CUDA", torch.version.cuda)' 2>&1)
    Update the host's driver, or build the image with an older CUDA."
    fi
}

check_results() {
    local probe
    if [ ! -d "$results" ]; then
        problem "$results does not exist: mount a folder for the results, -v RESULTS:$results"
    elif ! probe=$(mktemp -p "$results" .probe.XXXXXX 2>/dev/null); then
        problem "$results is not writable: it belongs to $(stat -c %u:%g "$results"), this container
    runs as $(id -u):$(id -g). Add --user \"\$(id -u):\$(id -g)\", or mount it without :ro."
    else
        rm -f "$probe"
        if ! mountpoint -q "$results"; then
            problem "nothing is mounted at $results: the results would be lost with the container.
    Add -v RESULTS:$results"
        fi
    fi
}

check_data() {
    if [ ! -d "$data" ]; then
        problem "$data does not exist: mount the data set, -v DATA:$data:ro"
    elif ! ls "$data" >/dev/null 2>&1; then
        problem "$data is not readable: it belongs to $(stat -c %u:%g "$data"), this container runs as
    $(id -u):$(id -g). Add --user \"\$(id -u):\$(id -g)\""
    elif [ ! -e "$data/dataset.json" ] && [ ! -d "$data/annotations" ]; then
        problem "$data contains neither annotations/ (COCO layout) nor a dataset.json of \`rankdet prepare\`:
    mount the data set, -v DATA:$data:ro"
    fi
}

check_compiler() {
    case " $* " in
        *" --compile "*)
            command -v "${CC:-gcc}" >/dev/null ||
                problem "--compile needs a C compiler at run time, and this image has none: leave it out,
    or build your own image with gcc on top of this one."
            ;;
    esac
}

check_experiment() {
    local preset
    preset=$(option --preset "$@")
    case $preset in
        paper | published | mini | overfit)
            [ "$(option --workers "$@")" = 0 ] || check_shared_memory
            [ -n "$(option --data "$@")" ] || check_data
            ;;
    esac
    check_compiler "$@"
    case $preset in paper | published) check_gpu "$preset" ;; esac
    if [ -z "$(option --out "$@")" ] || [ -z "$(option --work-dir "$@")" ]; then
        check_results
    fi
}

# The workflow runs in the current folder; an empty folder gets a copy of the workflow.
copy_workflow() {
    if [ ! -e Snakefile ] && [ -z "$(option -s "$@")$(option --snakefile "$@")" ]; then
        if [ "$PWD" = "$results" ]; then
            check_results
        fi
        [ "${#problems[@]}" -eq 0 ] || return 0
        cp -r "$workflow/Snakefile" "$workflow/workflow" "$workflow/configs" .
        echo "rankdet: copied the workflow to $PWD; its settings are configs/pipeline.yaml" >&2
    fi
}

# Weights may be in the data folder. Not for the workflow, which has its own paths.
choose_backbones() {
    if [ -z "${RANKDET_BACKBONES:-}" ]; then
        RANKDET_BACKBONES=$results/backbones
        if [ -d "$data/backbones" ] && [ ! -d "$RANKDET_BACKBONES" ]; then
            RANKDET_BACKBONES=$data/backbones
        fi
    fi
    export RANKDET_BACKBONES
}

# Matplotlib's settings and font list: in the user's home if there is one (Apptainer), else in a new
# private folder with an unpredictable name, which is deleted with the container.
choose_matplotlib_folder() {
    if [ -z "${MPLCONFIGDIR:-}" ] && [ ! -O "${HOME:-}" ]; then
        MPLCONFIGDIR=$(mktemp -d -t matplotlib.XXXXXXXXXX)
        export MPLCONFIGDIR
    fi
}

report_and_stop() {
    [ "${#problems[@]}" -gt 0 ] || return 0
    echo "rankdet: this container is not set up for this command:" >&2
    printf '  - %s\n' "${problems[@]}" >&2
    exit 2
}

[ "${1:-}" != rankdet ] || shift
skip=${RANKDET_SKIP_CHECKS:-}
choose_matplotlib_folder
case "${1:-}" in
    python | torchrun | bash | sh) exec "$@" ;;
    snakemake)
        copy_workflow "$@"
        ;;
    train | predict)
        case " $* " in
            *" --help "* | *" -h "*) ;;
            *) [ -n "$skip" ] || check_experiment "$@" ;;
        esac
        ;;
esac
report_and_stop
case "${1:-}" in
    snakemake) exec "$@" ;;
    *)
        choose_backbones
        exec rankdet "$@"
        ;;
esac
