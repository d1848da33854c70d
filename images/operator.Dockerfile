# syntax=docker/dockerfile:1
# The operator: a small image without any deep-learning library.
#
#   docker build -t kubetune/operator -f images/operator.Dockerfile .
ARG BASE=docker.io/library/python:3.12-slim

# The libraries: a layer that stays while our code changes. Of the Kubernetes client only what is loaded is compiled:
# the classes of its 800 kinds would take another 60 MB.
FROM ${BASE} AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY pyproject.toml constraints.txt images/requirements.py ./
RUN python3 -m venv /build \
 && python3 -m venv --without-pip /opt/kubetune \
 && python3 requirements.py operator > requirements.txt \
 && /build/bin/pip --python /opt/kubetune/bin/python install -q --no-compile -c constraints.txt -r requirements.txt \
 && /opt/kubetune/bin/python -m compileall -q -x 'kubernetes/(aio/)?client/(api|models)/' /opt/kubetune

# Our code, by itself below /code.
FROM libraries AS code
COPY README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY trainer trainer
RUN /build/bin/pip --python /opt/kubetune/bin/python install -q --no-deps --no-compile --prefix=/code . \
 && python3 -m compileall -q -s /code -p /opt/kubetune /code
# The build fails when the operator does not load, or when anything has brought torch along.
RUN cp -a /code/. /opt/kubetune/ \
 && /opt/kubetune/bin/python -c 'import kubetune_operator.runtime' \
 && ! /opt/kubetune/bin/python -c 'import torch' 2>/dev/null

FROM ${BASE}
LABEL org.opencontainers.image.title="KubeTune operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=libraries /opt/kubetune /opt/kubetune
COPY --from=code /code /opt/kubetune
# The user has no entry in /etc/passwd, and no home but /tmp: whoever asks for a name or a home finds it here.
ENV PATH=/opt/kubetune/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    USER=kubetune
# Numbers, so that `runAsNonRoot` can be checked without a look into the image.
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["kubetune-operator"]
