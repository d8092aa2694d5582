# The image: CUDA's driver hooks, Python, the locked packages, a compiler, this repository.
#
#   docker build -t lacuna:0.1.0 .                      add --target devel for nvcc, --target cluster for Ray's servers
#   docker run --rm --shm-size 1g -v "$PWD/results:/results" --user "$(id -u):$(id -g)" lacuna:0.1.0 [STUDY] [key=value ...]
#
# Behind a proxy or mirror, pip's configuration and a CA bundle go in as secrets, of which no layer keeps anything:
#   --secret id=pip_conf,src=/etc/pip.conf --secret id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt
#
# Only what old BuildKit and buildah parse too: no syntax line, no here-documents, no COPY --link. Tested by
# docker/check_image.sh.
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04@sha256:7c7413a56200486f71f181cad9310f6fd31b6bb21816ade15fc9c1e1e927a5c1
ARG DEVEL_IMAGE=nvidia/cuda:13.0.3-devel-ubuntu24.04@sha256:b7ae301dea2c162444795462ce17a05f6a516e5a75944b57af5b88540a1a2266

# --- the environment: rebuilt only when docker/environment.sh or a lock changes ---------------------
FROM ${BASE_IMAGE} AS environment
ARG BASE_IMAGE
# g++ and Python's headers compile DeepSpeed's and Triton's helpers at run time. The packages are as new as
# the distribution has them: an archive of old ones is nothing that a rebuild could rely on.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends \
        ca-certificates g++ python3 python3-dev python3-venv tini && \
    rm -rf /var/lib/apt/lists/* && \
    install -d -m 1777 /results

# torch's wheels bring CUDA's libraries, so the base needs none; TORCH=cpu installs requirements-cpu.lock, where pip
# finds a CPU build of torch. setup.log names package indices: it goes.
ARG TORCH=cuda
COPY docker/environment.sh docker/requirements.lock docker/requirements-cpu.lock /opt/lacuna/docker/
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi && \
    export PIP_CACHE_DIR=/var/cache/pip LACUNA_TORCH="$TORCH" LACUNA_VENV=/opt/venv root=/opt/lacuna && \
    bash -euo pipefail -c '. /opt/lacuna/docker/environment.sh; torch=$(wanted_torch); build' && \
    rm -f /opt/venv/setup.log

# The command lacuna, of the source that the targets below copy.
COPY pyproject.toml /opt/lacuna/
RUN export LACUNA_VENV=/opt/venv root=/opt/lacuna && \
    bash -euo pipefail -c '. /opt/lacuna/docker/environment.sh; install_project' && \
    touch /opt/venv/fixed && \
    rm -f /opt/venv/setup.log

# Whoever runs it may have no name and no home here. What is compiled at run time must not go to /tmp, where
# Docker forbids to execute files.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    USER=lacuna \
    PYTHONPATH=/opt/lacuna \
    PYTHONDONTWRITEBYTECODE=1 \
    GIT_PYTHON_REFRESH=quiet \
    LACUNA_VENV=/opt/venv \
    LACUNA_ARTIFACTS=/results \
    LACUNA_UI_HOST=0.0.0.0 \
    HF_HOME=/results/huggingface \
    TORCH_EXTENSIONS_DIR=/results/compiled/torch \
    TRITON_CACHE_DIR=/results/compiled/triton
LABEL org.opencontainers.image.title="lacuna" \
      org.opencontainers.image.description="A reproducibility artifact and testbed for localized unlearning in language models" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
WORKDIR /results
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/lacuna/reproduce.sh"]
CMD ["mini"]

# --- target devel: nvcc and CUDA's headers, for DeepSpeed's CUDA operators or flash-attention -----------
FROM ${DEVEL_IMAGE} AS toolkit

FROM environment AS devel-environment
COPY --from=toolkit /usr/local/cuda-13.0 /usr/local/cuda-13.0
ENV CUDA_HOME=/usr/local/cuda-13.0 \
    PATH=/usr/local/cuda-13.0/bin:$PATH

FROM devel-environment AS devel
COPY . /opt/lacuna
USER 10001:10001

# --- target cluster: Ray's job server and autoscaler (docs/operations.md) --------------------
FROM environment AS cluster-environment
COPY docker/requirements-cluster.lock /opt/lacuna/docker/
# KubeRay starts Ray in a login shell, which would forget PATH. What pip keeps is a mount, in no layer.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi && \
    PIP_CACHE_DIR=/var/cache/pip python -m pip install --no-deps --require-hashes --no-build-isolation \
        --requirement /opt/lacuna/docker/requirements-cluster.lock && \
    echo "export PATH=$PATH" > /etc/profile.d/lacuna.sh

FROM cluster-environment AS cluster
COPY . /opt/lacuna
USER 10001:10001

# --- the default target -----------------------------------------------------------------------------------
FROM environment AS lacuna
COPY . /opt/lacuna
ARG REVISION=unknown
LABEL org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
