# syntax=docker/dockerfile:1
# The operator: a small image without any deep-learning library.
#
#   docker build -t kubetune/operator -f images/operator.Dockerfile .
ARG BASE=docker.io/library/python:3.12-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY trainer trainer
RUN python3 -m venv /opt/kubetune \
 && /opt/kubetune/bin/pip install -q -c constraints.txt '.[operator]' \
 && /opt/kubetune/bin/python -m compileall -q /opt/kubetune \
 && /opt/kubetune/bin/pip uninstall -q -y pip
# The build fails when the operator does not load, or when anything has brought torch along.
RUN /opt/kubetune/bin/python -c 'import kubetune_operator.runtime' \
 && ! /opt/kubetune/bin/python -c 'import torch' 2>/dev/null

FROM ${BASE}
LABEL org.opencontainers.image.title="KubeTune operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/kubetune /opt/kubetune
ENV PATH=/opt/kubetune/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Numbers, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["kubetune-operator"]
