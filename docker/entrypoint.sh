#!/usr/bin/env bash
# Starts `rankdet` in the image; `snakemake`, `python`, `torchrun`, `bash` and `sh` are started as
# they are. Before hours of work it looks for what a container commonly lacks, says all that is
# wrong and what to do, and ends with 2. RANKDET_SKIP_CHECKS=1 leaves the checks out.
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
    would die with 'Bus error'. Add --shm-size 8g (or --ipc=host), or give rankdet --workers 0."
    fi
}

check_gpu() {
    if [ "$image" = cpu ]; then
        problem "this is the CPU image, on which preset $1 takes days to months: use the CUDA image, or
    RANKDET_SKIP_CHECKS=1 if you mean it."
    elif ! nvidia-smi -L >/dev/null 2>&1; then
        problem "no GPU reaches this container. Add --gpus all (the host needs its NVIDIA driver and
    nvidia-container-toolkit); with Apptainer add --nv."
    elif ! python -c 'import torch; torch.ones(1, device="cuda")' >/dev/null 2>&1; then
        problem "there is a GPU, but torch cannot use it. Driver:
    $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>&1 | head -n 1)
    $(python -c 'import torch; print("torch needs one for CUDA", torch.version.cuda)' 2>&1)
    Update the host's driver, or build the image on an older CUDA."
    fi
}

check_results() {
    local probe
    if [ ! -d "$results" ]; then
        problem "there is no $results: mount a folder to write to, -v RESULTS:$results"
    elif ! probe=$(mktemp -p "$results" .probe.XXXXXX 2>/dev/null); then
        problem "$results cannot be written: it belongs to $(stat -c %u:%g "$results"), this container
    runs as $(id -u):$(id -g). Add --user \"\$(id -u):\$(id -g)\", or mount it without :ro."
    else
        rm -f "$probe"
        if ! mountpoint -q "$results"; then
            problem "nothing is mounted at $results: what is trained would vanish with the container.
    Add -v RESULTS:$results"
        fi
    fi
}

check_data() {
    if [ ! -d "$data" ]; then
        problem "there is no $data: mount the data set, -v DATA:$data:ro"
    elif ! ls "$data" >/dev/null 2>&1; then
        problem "$data cannot be read: it belongs to $(stat -c %u:%g "$data"), this container runs as
    $(id -u):$(id -g). Add --user \"\$(id -u):\$(id -g)\""
    elif [ ! -e "$data/dataset.json" ] && [ ! -d "$data/annotations" ]; then
        problem "$data holds neither annotations/ (COCO layout) nor a dataset.json of \`rankdet prepare\`:
    mount the data set, -v DATA:$data:ro"
    fi
}

check_compiler() {
    case " $* " in
        *" --compile "*)
            command -v "${CC:-gcc}" >/dev/null ||
                problem "--compile needs a C compiler when it runs, and this image has none: leave it out,
    or install gcc in an image of your own on top of this one."
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

# The workflow reads and writes where it is started; an empty folder gets the image's copy.
lay_out_workflow() {
    if [ ! -e Snakefile ] && [ -z "$(option -s "$@")$(option --snakefile "$@")" ]; then
        if [ "$PWD" = "$results" ]; then
            check_results
        fi
        [ "${#problems[@]}" -eq 0 ] || return 0
        cp -r "$workflow/Snakefile" "$workflow/workflow" "$workflow/configs" .
        echo "rankdet: copied the workflow to $PWD; its settings are configs/pipeline.yaml" >&2
    fi
}

# Weights may come along with the data. Not for the workflow, whose paths are its own.
choose_backbones() {
    if [ -z "${RANKDET_BACKBONES:-}" ]; then
        RANKDET_BACKBONES=$results/backbones
        if [ -d "$data/backbones" ] && [ ! -d "$RANKDET_BACKBONES" ]; then
            RANKDET_BACKBONES=$data/backbones
        fi
    fi
    export RANKDET_BACKBONES
}

# Matplotlib's settings and font list: in the caller's home where there is one (Apptainer), else in a
# folder that only this user can read, under a name that nobody could make before. It is gone with the
# container.
choose_matplotlib_folder() {
    if [ -z "${MPLCONFIGDIR:-}" ] && [ ! -O "${HOME:-}" ]; then
        MPLCONFIGDIR=$(mktemp -d -t matplotlib.XXXXXXXXXX)
        export MPLCONFIGDIR
    fi
}

tell_and_stop() {
    [ "${#problems[@]}" -gt 0 ] || return 0
    echo "rankdet: this container cannot do that:" >&2
    printf '  - %s\n' "${problems[@]}" >&2
    exit 2
}

[ "${1:-}" != rankdet ] || shift
skip=${RANKDET_SKIP_CHECKS:-}
choose_matplotlib_folder
case "${1:-}" in
    python | torchrun | bash | sh) exec "$@" ;;
    snakemake)
        lay_out_workflow "$@"
        ;;
    train | predict)
        case " $* " in
            *" --help "* | *" -h "*) ;;
            *) [ -n "$skip" ] || check_experiment "$@" ;;
        esac
        ;;
esac
tell_and_stop
case "${1:-}" in
    snakemake) exec "$@" ;;
    *)
        choose_backbones
        exec rankdet "$@"
        ;;
esac
