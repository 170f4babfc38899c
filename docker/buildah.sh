#!/usr/bin/env bash
# Builds the CPU image without a Docker daemon and without an image registry: Buildah with chroot
# isolation, on a Debian base created with debootstrap. Needs root and the Debian packages
# buildah and debootstrap. The tests and the record in results/reference/image use it.
# Usage: buildah.sh TAG CONTEXT [options of `buildah bud`]
#   STORE          folder of images and layers            default ./.containers
#   BASE_ARCHIVE   the Debian base, created if missing    default $STORE/debian-bookworm.tar
set -euo pipefail
tag=${1:?TAG} context=${2:?CONTEXT}
shift 2
mkdir -p "${STORE:=.containers}"
STORE=$(cd "$STORE" && pwd)
mkdir -p "$STORE/tmp"
cat >"$STORE/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$STORE/root"
runroot = "$STORE/run"
CONF
export CONTAINERS_STORAGE_CONF=$STORE/storage.conf TMPDIR=$STORE/tmp
base=localhost/debian:bookworm
archive=${BASE_ARCHIVE:-$STORE/debian-bookworm.tar}

make_base() {
    local rootfs=$STORE/rootfs mirror
    mirror=$(grep -shm1 '^URIs:' /etc/apt/sources.list.d/debian.sources | awk '{print $2}')
    rm -rf "$rootfs"
    debootstrap --variant=minbase bookworm "$rootfs" ${mirror:+"$mirror"} >"$STORE/debootstrap.log"
    # As in Debian's own images: no fsync after each file.
    echo force-unsafe-io >"$rootfs/etc/dpkg/dpkg.cfg.d/image-build"
    rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
    mkdir -p "$(dirname "$archive")"
    tar -C "$rootfs" -cf "$archive.part" . && mv "$archive.part" "$archive"
    rm -rf "$rootfs"
}

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    [ -f "$archive" ] || make_base
    container=$(buildah from scratch)
    buildah add -q "$container" "$archive" / >/dev/null
    buildah config --cmd /bin/bash "$container"
    buildah commit -q "$container" "$base" >/dev/null
    buildah rm "$container" >/dev/null
fi

# Use this machine's pip settings (a certificate, folders of wheels) in the build too. Volumes exist
# only during RUN steps; --env would be stored in the image.
volumes=()
{
    echo "[global]"
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        echo "cert = /run/build-ca.crt"
    fi
    echo "timeout = 180"
} >"$STORE/pip.conf"
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    volumes+=(--volume /etc/ssl/certs/ca-certificates.crt:/run/build-ca.crt:ro)
fi
wheels=${PIP_FIND_LINKS:-$(python3 -m pip config get global.find-links 2>/dev/null || true)}
for folder in $wheels; do
    if [ -d "$folder" ]; then
        echo "find-links = $folder" >>"$STORE/pip.conf"
        volumes+=(--volume "$folder:$folder:ro")
    fi
done
volumes+=(--volume "$STORE/pip.conf:/etc/pip.conf:ro")

exec buildah bud --isolation chroot --format docker --layers -t "$tag" "${volumes[@]}" \
    --build-arg BASE_BUILD="$base" --build-arg BASE_RUNTIME="$base" --build-arg TORCH=cpu \
    --build-arg TORCH_INDEX="${RANKDET_TORCH_INDEX:-}" "$@" "$context"
