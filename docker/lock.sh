#!/usr/bin/env bash
# Rewrites docker/requirements.lock (torch with CUDA), docker/requirements-cpu.lock (without), and
# docker/requirements-cluster.lock (what a cluster needs on top of either).
#
#   docker/lock.sh               after a change of pyproject.toml; keeps every other version
#   docker/lock.sh --upgrade     takes the newest versions pyproject.toml allows (options go to uv)
#
# Needs uv (UV=... names another) and a Python whose pip is configured to find a CPU build of torch
# (PYTHON=... names another). The locks hold versions and hashes, never where a file came from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${UV:-uv}
python=${PYTHON:-python3}
full=docker/requirements.lock
cpu=docker/requirements-cpu.lock
cluster=docker/requirements-cluster.lock
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

resolve() { # resolve INPUT PYTHON_VERSION [option ...]: rewrites $scratch/lock, keeping what it pins
    "$uv" pip compile "$1" --output-file "$scratch/lock" --no-header --no-annotate --quiet \
        --python-version "$2" --python-platform x86_64-manylinux_2_28 --generate-hashes "${@:3}"
}

resolve_all() { # resolve_all INPUT [option ...]: the oldest Python chooses, the newer ones must agree
    local version
    resolve "$1" 3.11 "${@:2}"
    cp "$scratch/lock" "$scratch/oldest"
    for version in 3.12 3.13; do
        resolve "$1" "$version" "${@:2}"
        diff "$scratch/oldest" "$scratch/lock" >&2 || {
            echo "docker/lock.sh: Python $version needs other packages than 3.11 (above)" >&2
            exit 1
        }
    done
}

names_of() { sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' "$1"; }

if [ -f "$full" ]; then cp "$full" "$scratch/lock"; fi
resolve_all pyproject.toml --extra dev --extra gguf "$@"
cp "$scratch/lock" "$scratch/full"

# Only the packages that the full lock lacks; those they share have its versions.
if [ -f "$cluster" ]; then cp "$cluster" "$scratch/lock"; fi
resolve_all docker/requirements-cluster.in --constraint "$scratch/full" "$@"
awk 'NR == FNR { if (/^[a-z]/) known[$1]; next } /^[a-z]/ { keep = !($1 in known) } keep' \
    "$scratch/full" "$scratch/lock" >"$scratch/cluster"

# The CPU build of torch is a version of its own ("+cpu") and needs no CUDA package. Its wheels are
# hashed as pip finds them: a Python whose wheel is not offered here uses the full lock instead.
torch=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$scratch/full")+cpu
for version in 3.11 3.12 3.13; do
    "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$scratch/torch" \
        --platform manylinux_2_28_x86_64 --python-version "$version" "torch==$torch" \
        2>"$scratch/pip-$version" || echo "docker/lock.sh: no torch $torch for Python $version" >&2
done
wheels=("$scratch"/torch/*.whl)
[ -f "${wheels[0]}" ] || { cat "$scratch/pip-3.11" >&2; exit 1; }

{
    awk '/^[a-z]/ { keep = !/^(torch|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } keep' "$scratch/full"
    printf 'torch==%s' "$torch"
    for wheel in "${wheels[@]}"; do
        printf ' \\\n    --hash=sha256:%s' "$(sha256sum "$wheel" | cut -d ' ' -f 1)"
    done
    echo
} >"$scratch/cpu"
mv "$scratch/full" "$full"
mv "$scratch/cpu" "$cpu"
mv "$scratch/cluster" "$cluster"
for lock in "$full" "$cpu" "$cluster"; do
    echo "wrote $lock ($(names_of "$lock" | wc -l) packages)"
done
