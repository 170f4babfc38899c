#!/usr/bin/env bash
# Builds an image for distribution: base images pinned by digest, from a checkout without changes,
# with version and revision as labels. The digests are in bases.csv, written by record-bases.sh.
# Usage: release.sh gpu|cpu [options of `docker build`]
set -euo pipefail
cd "$(dirname "$0")/.."
bases=${BASES:-docker/bases.csv}

refuse() {
    echo "release: $1" >&2
    exit 2
}

# The image $1 with its digest.
pinned() {
    local digest
    digest=$(awk -F, -v image="$1" '$1 == image {print $2}' "$bases")
    [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
        refuse "expected a digest of the base image $1 in $bases; got '$digest'; run docker/record-bases.sh"
    echo "$1@$digest"
}

# The image that argument $1 of the Dockerfile names.
of_dockerfile() { sed -n "s/^ARG $1=//p" Dockerfile; }

kind=${1:-}
case $kind in
    gpu)
        build=$(of_dockerfile BASE_BUILD) runtime=$(of_dockerfile BASE_RUNTIME)
        suffix="" options=()
        ;;
    cpu)
        build=$(sed -n 's/^ *BASE_BUILD: *//p' docker/compose.yaml) runtime=$build
        suffix=-cpu options=(--build-arg TORCH=cpu)
        ;;
    *) refuse "expected gpu or cpu; got '$kind'" ;;
esac
shift
for argument in "$@"; do
    case $argument in
        *BASE_BUILD=* | *BASE_RUNTIME=*)
            refuse "expected the base images of $bases; got $argument; change them there"
            ;;
    esac
done
build=$(pinned "$build")
runtime=$(pinned "$runtime")
[ -z "$(git status --porcelain)" ] ||
    refuse "expected a checkout without changes; got uncommitted changes; commit them (git status)"
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/rankdet/__init__.py)
exec docker build -t "rankdet:$version$suffix" --build-arg BASE_BUILD="$build" \
    --build-arg BASE_RUNTIME="$runtime" --build-arg VERSION="$version" \
    --build-arg REVISION="$(git rev-parse --short=12 HEAD)" "${options[@]}" "$@" .
