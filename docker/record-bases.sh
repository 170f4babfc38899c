#!/usr/bin/env bash
# Gets the digest of each base image from the image registry and writes it to bases.csv, for
# release.sh. A digest identifies the content; a tag can be moved. Review the change before you
# commit it.
# Usage: record-bases.sh            Needs docker with buildx, or skopeo.
set -euo pipefail
bases=${BASES:-$(dirname "$0")/bases.csv}

digest_of() {
    if command -v docker >/dev/null && docker buildx version >/dev/null 2>&1; then
        docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'
    elif command -v skopeo >/dev/null; then
        skopeo inspect --format '{{.Digest}}' "docker://docker.io/$1"
    else
        echo "record-bases: needs docker with buildx, or skopeo" >&2
        return 1
    fi
}

new=$(mktemp "$bases.XXXXXX")
trap 'rm -f "$new"' EXIT
echo "image,digest" >"$new"
# Read the list first: the programs called below would consume it as their input.
mapfile -t images < <(tail -n +2 "$bases" | cut -d, -f1)
for image in "${images[@]}"; do
    digest=$(digest_of "$image") || exit 1
    if ! [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
        echo "record-bases: expected a digest of $image; got '$digest'" >&2
        exit 1
    fi
    echo "$image,$digest" >>"$new"
done
chmod --reference="$bases" "$new"
mv "$new" "$bases"
