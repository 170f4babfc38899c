# syntax=docker/dockerfile:1
# The image for GPU machines; other build arguments make a CPU image of the same file, or one for
# other GPUs (docs/containers.md). torch's wheels bring their own CUDA libraries, which is why the
# last stage needs only the small base. Both bases must be the same release of a distribution.
ARG BASE_BUILD=nvidia/cuda:13.0.2-devel-ubuntu24.04
ARG BASE_RUNTIME=nvidia/cuda:13.0.2-base-ubuntu24.04


FROM ${BASE_BUILD} AS build
# cuda or cpu
ARG TORCH=cuda
# mmcv (compiled) or builtin (rankdet.ops, nothing is compiled); empty is mmcv for cuda, builtin for cpu
ARG OPS=
# another package index for torch; empty is pip's own
ARG TORCH_INDEX=
# of torch's file, where envs/ cannot know it (envs/README.md); empty is unchecked
ARG TORCH_SHA256=
# compute capabilities that mmcv is compiled for; +PTX lets later GPUs translate the last one
ARG CUDA_ARCHITECTURES="8.0 8.6 9.0+PTX"
# compile processes; empty is all cores
ARG MAX_JOBS=
# Versions of Debian's packages are those of the base's release: a pin would vanish from the mirrors.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/rankdet
# The environment alone first: a change of the sources does not compile mmcv again.
COPY envs envs
COPY docker/install.sh docker/check-architectures.sh docker/
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=cache,target=/var/cache/rankdet \
    --mount=type=bind,source=docker/wheels,target=/wheels \
    docker/install.sh "${TORCH}" "${TORCH_INDEX}" "${CUDA_ARCHITECTURES}" "${MAX_JOBS}" \
        "${TORCH_SHA256}" "${OPS}"
COPY . .
RUN rm -rf docker/wheels \
    && /opt/venv/bin/python -m pip install -q --no-build-isolation --no-deps -e . \
    && /opt/venv/bin/python -m compileall -q src


FROM ${BASE_RUNTIME} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -m 1777 /home/rankdet && mkdir -p /data /results && chown 1000:1000 /results
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/rankdet /opt/rankdet

ARG TORCH=cuda
# HOME, USER and the caches work for any user id: `--user`, and Apptainer, which runs as the caller.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/rankdet USER=rankdet LOGNAME=rankdet \
    PYTHONUNBUFFERED=1 \
    RANKDET_TORCH=${TORCH} RANKDET_DATA=/data RANKDET_RESULTS=/results
USER 1000:1000
# No image without working operators: imports them, runs NMS and RoIAlign, looks for the heads.
RUN MPLCONFIGDIR=$(mktemp -d) && export MPLCONFIGDIR \
    && rankdet doctor --software \
    && rm -r "$MPLCONFIGDIR"

ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
ARG BASE_RUNTIME
ENV RANKDET_REVISION=${REVISION}
LABEL org.opencontainers.image.title="rankdet" \
      org.opencontainers.image.description="Ranking-based losses for object detection" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_RUNTIME}"
WORKDIR /results
ENTRYPOINT ["tini", "-s", "--", "/opt/rankdet/docker/entrypoint.sh"]
CMD ["--help"]
