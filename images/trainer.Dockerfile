# syntax=docker/dockerfile:1
# The trainer: everything that a run needs is in it; nothing is downloaded when it runs but the user's model and data.
#
#   docker build -t kubetune/trainer -f images/trainer.Dockerfile .
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu ...    # for nodes without a GPU, a tenth the size
ARG BASE=docker.io/library/python:3.12-slim

# The libraries: a layer of gigabytes that stays, on the builder and on every node, while our code changes.
FROM ${BASE} AS libraries
ARG TORCH_INDEX=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python3 -m venv /build \
 && python3 -m venv --without-pip /opt/kubetune
COPY constraints.txt ./
RUN /build/bin/pip --python /opt/kubetune/bin/python install -q -c constraints.txt \
      ${TORCH_INDEX:+--index-url $TORCH_INDEX} torch
COPY pyproject.toml images/requirements.py ./
RUN python3 requirements.py trainer > requirements.txt \
 && /build/bin/pip --python /opt/kubetune/bin/python install -q -c constraints.txt -r requirements.txt \
 && /opt/kubetune/bin/python -c 'import torch, transformers'

# Our code, by itself below /code.
FROM libraries AS code
COPY README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY trainer trainer
RUN /build/bin/pip --python /opt/kubetune/bin/python install -q --no-deps --prefix=/code . \
 && cp -a /code/. /opt/kubetune/ \
 && /opt/kubetune/bin/python -c 'import kubetune_trainer.__main__'

FROM ${BASE}
LABEL org.opencontainers.image.title="KubeTune trainer" \
      org.opencontainers.image.licenses="Apache-2.0"
# torch.compile makes its kernels with a C compiler.
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY --from=libraries /opt/kubetune /opt/kubetune
COPY --from=code /code /opt/kubetune
ENV PATH=/opt/kubetune/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HOME=/tmp \
    USER=kubetune
USER 65532:65532
WORKDIR /tmp
# The operator says `python -m kubetune_trainer /etc/kubetune/run.json`; by hand: docker run ... run.json
ENTRYPOINT ["python", "-m", "kubetune_trainer"]
